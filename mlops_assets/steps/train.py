"""Trains a model of one kind on the current data version, unless the one that is there would come out again."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Settings
from mlops_assets.steps.preconditions import refuse_missing_upstream
from mlops_assets.steps.version import (
    current_dataset_version,
    labelled_counts,
    reference_reviews,
    usable_reviews,
)
from mlops_assets.training.due import Due, score_by_people_due, training_due
from mlops_assets.training.kinds import ModelKind, Training
from mlops_assets.training.metrics import Metrics
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.training.references import References

_MISTAKES_AMONG = 2000
"""The newest test reviews that are asked for mistakes: seconds, however many there are."""


@dataclass(frozen=True)
class TrainedModel:
    """The model below `models/`, whether this call trained it and why, and its surest mistakes on test.

    The mistakes are looked up in the reviews that are there and not kept with the model, so that an erased review is
    in neither.
    """

    due: Due
    metrics: Metrics
    mistakes: "pd.DataFrame"


def train(
    kind: ModelKind,
    settings: Settings,
    repository: VersionRepository,
    *,
    run_id: str,
    force: bool,
    report: Callable[[str], None],
    elsewhere: Callable[[], None] | None = None,
) -> TrainedModel:
    """The model of this kind, trained first if it is due.

    Its old metrics go first and the model is put in place whole, so that a failed training leaves no scores behind.
    `elsewhere` calls this function in another process, on the same folders, and is used instead of training here.
    """
    from mlops_assets.params.models import Evaluation
    from mlops_assets.params.operations import RetrainRules
    from mlops_assets.reviews.stored.usable import labelled, unlabelled_texts

    refuse_missing_upstream(kind.asset, settings, repository)
    model, metrics = settings.models / kind.name, settings.models / kind.metrics_file
    counts = labelled_counts(settings, repository)
    wanted = kind.trained_with(
        current_dataset_version(repository),
        settings.label_rule,
        settings.sections,
        training_data=counts.training_data,
        reviews=counts.labelled,
        references=counts.references,
        split=counts.split,
    )
    due = training_due(model, metrics, wanted, settings.section(RetrainRules), settings.now(), force=force)
    reviews = usable_reviews(settings, repository)
    frame = labelled(reviews)
    measured = Metrics.read(metrics)
    people = score_by_people_due(measured, counts.people_texts, counts.people_labels)
    if not due and measured is not None and people:
        measured = measured.with_score_by_people(
            {**_score_by_people(settings, kind, frame), "labels": counts.people_labels}
        )
        measured.write(metrics)
        due = Due(False, f"{due.reason}; {people.reason}")
    if elsewhere is not None and (due or measured is None):
        elsewhere()
        measured = Metrics.read(metrics)
        if measured is None:
            raise PermanentFailure(f"the training elsewhere left no {metrics}: both machines must see the same folder")
    elif due or measured is None:
        metrics.unlink(missing_ok=True)
        scratch = settings.instance_folder / "training" / kind.name
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        training = Training(
            frame=frame,
            folder=scratch,
            trained_with=wanted,
            run_id=run_id,
            report=report,
            checkpoints=settings.instance_folder / "checkpoints" / kind.name,
            rules=settings.section(Evaluation),
            references=references_of(frame, settings, repository),
            unlabelled=unlabelled_texts(reviews),
        )
        trained = kind.train(training, kind.recipe(settings.sections))
        _keep_profile(settings, repository, wanted.dataset_version)
        settings.models.mkdir(exist_ok=True)
        shutil.rmtree(model, ignore_errors=True)
        scratch.replace(model)
        measured = Metrics.of({**trained.metrics, "trained_at": settings.now().isoformat()})
        measured = measured.with_score_by_people(
            {**measured.record.get("people", {"n": 0}), "labels": counts.people_labels}
        )
        measured.write(metrics)
    return TrainedModel(due, measured, _mistakes(frame, settings, kind))


def references_of(frame: "pd.DataFrame", settings: Settings, repository: VersionRepository) -> "References | None":
    """The reviews of reference apps to learn from beside the own ones of `frame`; None without such apps."""
    from mlops_assets.params.models import Evaluation
    from mlops_assets.params.reviews import ReferenceRules
    from mlops_assets.training.judging.evaluate import label_names
    from mlops_assets.training.judging.reference_weight import weighed

    found = reference_reviews(settings, repository)
    if found.empty:
        return None
    wanted, confidence = settings.section(ReferenceRules).own_weight, settings.section(Evaluation).confidence
    return weighed(frame[frame["side"] == "train"], found, label_names(frame), wanted, confidence)


def _score_by_people(settings: Settings, kind: ModelKind, frame: "pd.DataFrame") -> Mapping[str, Any]:
    """The score of the model that is there by the labels that people gave since its training."""
    from mlops_assets.params.models import Evaluation
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.judging.people import score_by_people, texts_of_people

    texts, model = texts_of_people(frame), load(settings.models / kind.name)
    answers = model.probabilities(texts["review_text"].tolist())
    return score_by_people(texts, answers, model.labels, settings.section(Evaluation))


def _mistakes(frame: "pd.DataFrame", settings: Settings, kind: ModelKind) -> "pd.DataFrame":
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.judging.evaluate import mistakes

    test = frame[frame["side"] == "test"].tail(_MISTAKES_AMONG)
    model = load(settings.models / kind.name)
    return mistakes(test, model.probabilities(test["review_text"].tolist()), model.labels)


def _keep_profile(settings: Settings, repository: VersionRepository, dataset_version: str) -> None:
    """The profile of the reviews that a model is trained on, which later ones are compared with."""
    from mlops_assets.reviews.drift.profile import Profile

    path = settings.profile(dataset_version)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        Profile.of(usable_reviews(settings, repository)).save(path)
