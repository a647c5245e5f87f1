"""Trains a model of one kind on the current data version, unless the one that is there would come out again."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.artifact import TrainedWith
from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Settings
from mlops_assets.steps.preconditions import refuse_missing_upstream
from mlops_assets.steps.version import (
    chosen_reviews,
    current_dataset_version,
    labelled_counts,
    labelled_reviews,
    outline_of_version,
    reference_reviews,
    version_files,
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
    mistakes: "pd.DataFrame | None"
    """None if this call did not train it: then no review is read."""


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
    from mlops_assets.training.budget import with_held_out

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
    measured = Metrics.read(metrics)
    people = score_by_people_due(measured, counts.people_texts, counts.people_labels)
    if not due and measured is not None and people:
        scored = _score_by_people(settings, repository, kind)
        measured = measured.with_score_by_people({**scored, "labels": counts.people_labels})
        measured.write(metrics)
        due = Due(False, f"{due.reason}; {people.reason}")
    if not due and measured is not None:
        return TrainedModel(due, measured, None)
    if elsewhere is not None:
        elsewhere()
        if (measured := Metrics.read(metrics)) is None:
            raise PermanentFailure(f"the training elsewhere left no {metrics}: both machines must see the same folder")
        outlined = outline_of_version(settings, repository)
        test = outlined[outlined["label"].notna() & (outlined["side"] == "test")]
        test = with_held_out(test, settings.section(Evaluation).most_texts)
        return TrainedModel(due, measured, _mistakes(chosen_reviews(test, repository), settings, kind))
    metrics.unlink(missing_ok=True)
    scratch = settings.instance_folder / "training" / kind.name
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    training = _training(kind, settings, repository, scratch, wanted, run_id, report)
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
    return TrainedModel(due, measured, _mistakes(training.frame, settings, kind))


def _training(
    kind: ModelKind,
    settings: Settings,
    repository: VersionRepository,
    folder: Path,
    trained_with: TrainedWith,
    run_id: str,
    report: Callable[[str], None],
) -> Training:
    """The training on the reviews of the version that the recipe allows. Of all others only keys and dates are read."""
    from mlops_assets.params.models import Evaluation
    from mlops_assets.params.reviews import ValidationOptions
    from mlops_assets.reviews.quality.language import with_languages
    from mlops_assets.reviews.stored.usable import unlabelled_texts, with_dates
    from mlops_assets.training import budget, left_out

    outlined, files = outline_of_version(settings, repository), version_files(repository)
    labelled = outlined["label"].notna()
    recipe: Any = kind.recipe(settings.sections)
    rules = settings.section(Evaluation)
    chosen = budget.within(
        with_dates(outlined[labelled], files),
        references_of(settings, repository),
        recipe.most_reviews,
        rules.most_texts,
    )
    others = chosen_reviews(outlined[~labelled & (outlined["side"] == "train")], repository)
    chosen = replace(chosen, frame=chosen_reviews(chosen.frame, repository))
    return Training(
        frame=with_languages(chosen.frame, settings.section(ValidationOptions).language),
        folder=folder,
        trained_with=trained_with,
        run_id=run_id,
        report=report,
        checkpoints=settings.instance_folder / "checkpoints" / kind.name,
        rules=rules,
        references=chosen.references,
        unlabelled=unlabelled_texts(others),
        budget=left_out.on_record(chosen, f"{kind.name}.most_reviews", recipe.most_reviews, rules),
    )


def references_of(settings: Settings, repository: VersionRepository) -> "References | None":
    """The reviews of reference apps to learn from beside the version's own; None without such apps."""
    from mlops_assets.params.models import Evaluation
    from mlops_assets.params.reviews import ReferenceRules
    from mlops_assets.training.judging.evaluate import label_names
    from mlops_assets.training.judging.reference_weight import weighed

    found = reference_reviews(settings, repository)
    if found.empty:
        return None
    frame = labelled_reviews(settings, repository)
    wanted, confidence = settings.section(ReferenceRules).own_weight, settings.section(Evaluation).confidence
    return weighed(frame[frame["side"] == "train"], found, label_names(frame), wanted, confidence)


def _score_by_people(settings: Settings, repository: VersionRepository, kind: ModelKind) -> Mapping[str, Any]:
    """The score of the model that is there by the labels that people gave since its training."""
    from mlops_assets.params.models import Evaluation
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.judging.people import score_by_people, texts_of_people

    outlined = outline_of_version(settings, repository)
    labelled = outlined[outlined["label"].notna() & outlined["person"].notna()]
    texts, model = texts_of_people(chosen_reviews(labelled, repository)), load(settings.models / kind.name)
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
    import numpy as np

    from mlops_assets.reviews.drift.features import Features
    from mlops_assets.reviews.drift.profile import SAMPLE, Profile

    path = settings.profile(dataset_version)
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    outlined = outline_of_version(settings, repository)
    drawn = outlined if len(outlined) <= SAMPLE else outlined.sample(SAMPLE, random_state=0)
    ratings = np.bincount(outlined["rating"], minlength=6)[1:6]
    features = Features.of(chosen_reviews(drawn, repository))
    Profile.of_features(features, reviews=len(outlined), ratings=ratings).save(path)
