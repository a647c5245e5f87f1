"""Ask the champion about every review of the newest data version."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Settings
from mlops_assets.steps.plan import predictions_due
from mlops_assets.steps.preconditions import refuse_missing_upstream
from mlops_assets.steps.version import current_dataset_version, split_of_model, usable_reviews
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    from mlops_assets.training.due import Due


@dataclass(frozen=True)
class Scores:
    """The predictions: whether they had to be made and why, how many texts the model was asked, and what it said."""

    due: "Due"
    dataset_version: str
    texts_scored: int
    count: int
    mean_confidence: float
    labels: dict[str, int]


def score(settings: Settings, repository: VersionRepository) -> Scores:
    """Bring `data/predictions.parquet` up to date with the champion and the data version."""
    from mlops_assets.reviews.stored.predictions import read

    refuse_missing_upstream("predictions", settings, repository)
    dataset_version = current_dataset_version(repository)
    due = predictions_due(settings, dataset_version)
    scored = _write_predictions(settings, repository, dataset_version) if due else 0
    predictions = read(settings.predictions)
    labels = predictions["sentiment"].value_counts().sort_index()
    return Scores(
        due,
        dataset_version,
        texts_scored=scored,
        count=len(predictions),
        mean_confidence=round(float(predictions["confidence"].mean()), 4) if len(predictions) else 0.0,
        labels={str(label): int(n) for label, n in labels.items()},
    )


def _write_predictions(settings: Settings, repository: VersionRepository, dataset_version: str) -> int:
    """How many texts the champion was asked."""
    from mlops_assets.reviews.stored.predictions import About, predict, read, write
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.champion import champion_folder, last_decision

    folder = champion_folder(settings.models)
    if folder is None:
        raise PermanentFailure("there is no champion to predict with: materialize champion_model")
    model_version = last_decision(settings.models).model_version
    model = load(folder)
    about = About(model_version, dataset_version, tuple(model.labels))
    before = About.read(settings.predictions)
    same = before is not None and before.model_version == model_version
    frame, scored = predict(
        usable_reviews(settings, repository),
        model.labels,
        model.probabilities,
        known=read(settings.predictions) if same else None,
        now=settings.now(),
        split=split_of_model(settings, folder),
    )
    write(frame, about, settings.predictions)
    return scored
