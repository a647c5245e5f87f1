"""Ask the champion about the reviews of the newest data version."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets import artifact
from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Settings
from mlops_assets.spread.spread import Spread, here
from mlops_assets.steps.plan import predictions_due
from mlops_assets.steps.preconditions import refuse_missing_upstream
from mlops_assets.steps.version import current_dataset_version, split_of_model
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    import numpy as np

    from mlops_assets.reviews.predictions.stored import Predictions, Progress
    from mlops_assets.serving.models.model import Model
    from mlops_assets.training.due import Due


@dataclass(frozen=True)
class Scores:
    """The predictions: whether they had to be made and why, how many texts the model was asked, how far it has come,
    and what all answers say.
    """

    due: "Due"
    texts_scored: int
    progress: "Progress"
    mean_confidence: float
    labels: dict[str, int]

    @property
    def count(self) -> int:
        return sum(self.labels.values())


@dataclass(frozen=True)
class ModelIn:
    """Asks the model in a folder. Each process loads it once, when it first asks."""

    folder: Path
    model_version: str

    def __call__(self, texts: Sequence[str]) -> "np.ndarray":
        return _loaded(self.folder, self.model_version).probabilities(texts)


@lru_cache(maxsize=1)
def _loaded(folder: Path, model_version: str) -> "Model":  # noqa: ARG001  another version in the same folder is another model
    from mlops_assets.serving.models.model import load

    return load(folder)


def score(
    settings: Settings,
    repository: VersionRepository,
    clock: Callable[[], float] = time.time,
    spread: Spread = here,
) -> Scores:
    """Bring `data/predictions` up to date with the champion and the data version, as far as a run's minutes allow.

    `clock` tells seconds, the same ones on every machine to which `spread` hands months.
    """
    from mlops_assets.reviews.predictions.older_file import take_over
    from mlops_assets.reviews.predictions.stored import Predictions

    refuse_missing_upstream("predictions", settings, repository)
    dataset_version = current_dataset_version(repository)
    due = predictions_due(settings, dataset_version)
    take_over(settings.data)
    predictions = Predictions.read(settings.predictions)
    asked = _score(settings, repository, predictions, dataset_version, clock, spread) if due else 0
    months = predictions.months.values()
    labels = sum((Counter(month.labels) for month in months), Counter[str]())
    confidence = sum(month.confidence for month in months)
    return Scores(
        due,
        texts_scored=asked,
        progress=predictions.progress(),
        mean_confidence=round(confidence / max(1, labels.total()), 4),
        labels=dict(sorted(labels.items())),
    )


def _score(
    settings: Settings,
    repository: VersionRepository,
    predictions: "Predictions",
    dataset_version: str,
    clock: Callable[[], float],
    spread: Spread,
) -> int:
    """How many texts the champion was asked."""
    from mlops_assets.params.operations import PredictionRules
    from mlops_assets.reviews.predictions.answer import Answering
    from mlops_assets.reviews.predictions.scoring import Budget, score_months
    from mlops_assets.reviews.stored.months import files_below
    from mlops_assets.training.champion import champion_folder, last_decision

    folder = champion_folder(settings.models)
    if folder is None:
        raise PermanentFailure("there is no champion to predict with: materialize champion_model")
    budget = Budget(settings.section(PredictionRules).most_minutes, clock)

    model_version = last_decision(settings.models).model_version
    now = settings.now()
    answering = Answering(
        model_version,
        artifact.read(folder, verify=False).labels,
        ModelIn(folder, model_version),
        split_of_model(settings, folder),
        since=predictions.first_run(model_version) or now,
        now=now,
    )
    files = files_below(repository.data_folder / "validated")
    asked = score_months(predictions, files, answering, budget.is_spent, spread)
    predictions.save(model_version, dataset_version)
    return asked
