"""Whether the live model has a say in what serves, and what a first model is judged by if it has none."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets import artifact
from mlops_assets.settings import Settings
from mlops_assets.steps.train import references_of
from mlops_assets.steps.version import labelled_reviews
from mlops_assets.trained_on import TrainedOn
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from mlops_assets.reviews.stored.counts import Counts
    from mlops_assets.training.judging.contender import Contender
    from mlops_assets.training.judging.first_model import FirstModel


def first_model(
    settings: Settings,
    repository: VersionRepository,
    counts: "Counts",
    gate: "pd.DataFrame",
    incumbent: Path | None,
    defender: "Contender | None",
    contenders: "Sequence[Contender]",
) -> "FirstModel":
    """Whether the serving model has a say, and what a first model is judged by if it has none.

    The classic recipe is cross-validated if that decides: on a small gate side, for a model without a rival. It is the
    recipe that is cheap enough.
    """
    from mlops_assets.params.models import ClassicRecipe
    from mlops_assets.training.judging.cross_validation import cross_validated
    from mlops_assets.training.judging.first_model import CROSS_VALIDATED, held_out

    say = _say(settings, repository, counts, incumbent, defender)
    classic = next((each for each in contenders if each.name == CROSS_VALIDATED), None)
    first = defender is None or say.no_say is not None or defender.labels != contenders[0].labels
    if classic is None or not first:
        return say
    if not held_out(classic.labels, gate, classic.probabilities, "").small:
        return say
    recipe, references = settings.section(ClassicRecipe), references_of(settings, repository)
    frame = labelled_reviews(settings, repository)
    return replace(say, cross_validated=cross_validated(frame, classic.labels, recipe, references))


def _say(
    settings: Settings,
    repository: VersionRepository,
    counts: "Counts",
    incumbent: Path | None,
    defender: "Contender | None",
) -> "FirstModel":
    """Whether the serving model has a say in what serves these reviews, and why not."""
    from mlops_assets.training.judging.first_model import FirstModel, answers_all_alike, without_say

    if incumbent is None or defender is None:
        return FirstModel(reviews=counts.labelled)
    manifest = artifact.read(incumbent, verify=False)
    serving, data = trained_on(manifest, repository), TrainedOn.of(counts.rows, counts.sources)
    if data.generated and serving.apps and not serving.generated:
        reason = f"it was trained on reviews of {', '.join(serving.apps)}, which no model of generated reviews replaces"
        return FirstModel(stays=reason, reviews=counts.labelled)
    if found := without_say(serving, data):
        return FirstModel(no_say=found[0], same_app=found[1], reviews=counts.labelled)
    if answers_all_alike(incumbent, defender, lambda: labelled_reviews(settings, repository)):
        return FirstModel(no_say="gives one answer to every review", reviews=counts.labelled)
    return FirstModel(reviews=counts.labelled)


def trained_on(manifest: artifact.Manifest, repository: VersionRepository) -> TrainedOn:
    """What the model's folder says, or else what the branch knows of the data that it was trained on."""
    if manifest.trained_on.apps:
        return manifest.trained_on
    dataset_version = manifest.trained_with.dataset_version
    rows = next(
        (each.rows for each in repository.versions() if each.dataset_version == dataset_version and each.rows), {}
    )
    return TrainedOn.of(rows)
