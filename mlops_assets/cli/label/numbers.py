"""How many labels there are, and how many of them can score a model."""

from mlops_assets.reviews.labels.queue import Progress, Queue
from mlops_assets.reviews.labels.table import FOLDER, LabelTable
from mlops_assets.settings import Settings
from mlops_assets.training.metrics import LEAST_LABELLED
from mlops_assets.versioning.repository import VersionRepository


def progress_of(settings: Settings, repository: VersionRepository) -> Progress:
    """Of the table as it is now, by the texts of the newest version."""
    from mlops_assets.reviews.labels.agreed import agreed
    from mlops_assets.reviews.stored.label import LABELS
    from mlops_assets.steps.version import usable_reviews
    from mlops_assets.text import text_digest

    given = LabelTable(settings.data / FOLDER).given()
    held_out: frozenset[str] = frozenset()
    if agreed(given) and repository.dataset_version() is not None:
        rows = usable_reviews(settings, repository)
        held_out = frozenset(map(text_digest, rows[rows["side"] != "train"]["review_text"].unique()))
    queue = Queue((), (), held_out, LABELS[settings.label_rule], LEAST_LABELLED)
    return queue.progress(given, "")
