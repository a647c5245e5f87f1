"""Whether a model must be trained again, and why."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from mlops_assets import artifact
from mlops_assets.artifact import BrokenArtifact, TrainedWith
from mlops_assets.params.operations import RetrainRules
from mlops_assets.training.metrics import LEAST_LABELLED, Metrics

_WORDS = {
    "label_rule": "the label rule changed",
    "recipe": "the recipe changed",
    "code": "the training code changed",
    "references": "the reference apps or their weight changed",
}


@dataclass(frozen=True)
class Due:
    """A decision with its reason."""

    due: bool
    reason: str

    def __bool__(self) -> bool:
        return self.due


def training_due(
    model: Path, metrics: Path, wanted: TrainedWith, rules: RetrainRules, now: datetime, *, force: bool
) -> Due:
    """Compare what the model in folder `model` was trained with against `wanted`. File times play no part."""
    if force:
        return Due(True, "force_retrain is set")
    if not (model / artifact.MANIFEST).is_file():
        return Due(True, "there is no model yet")
    try:
        had = artifact.read(model).trained_with
    except BrokenArtifact as broken:
        return Due(True, f"the model is damaged: {broken}")
    measured = Metrics.read(metrics)
    changes = [
        f"{words} ({getattr(had, name) or 'none'} -> {getattr(wanted, name) or 'none'})"
        for name, words in _WORDS.items()
        if getattr(had, name) != getattr(wanted, name)
    ]
    if not changes and (measured is None or measured.model_version != artifact.model_version(model)):
        changes = [f"{metrics.name} is not of this model"]
    if changes or measured is None:
        return Due(True, ", ".join(changes))
    if had.training_data == wanted.training_data:
        same = f"recipe {wanted.recipe} and code {wanted.code} are unchanged"
        return Due(False, f"training data {wanted.training_data}, {same}")
    return _enough(had, wanted, measured.trained_at, rules, now)


def score_by_people_due(measured: Metrics | None, texts: int, labels: str) -> Due:
    """Whether a model with these metrics is to be scored anew by people's labels of `texts` held-out texts."""
    has_none = measured is None or not measured.people.n
    if measured is None or measured.people_labels == labels or (has_none and texts < LEAST_LABELLED):
        return Due(False, "")
    return Due(True, f"people labelled {texts} held-out texts: the score by people is measured anew")


def _enough(had: TrainedWith, wanted: TrainedWith, trained_at: str | None, rules: RetrainRules, now: datetime) -> Due:
    """Whether the changed training data is enough for a training, and the last one long enough ago."""
    # An edited text changes no number, and counts as a change of one review. So do new reviews of reference apps.
    more = wanted.reviews - had.reviews
    changed = max(1, abs(more))
    edited = (
        "other texts or labels, or other reviews of the reference apps"
        if wanted.references
        else "other texts or labels"
    )
    number = f"{more:+d} labelled reviews" if more else edited
    if changed < rules.new_reviews:
        return Due(False, f"{number} since the training, retrain.new_reviews is {rules.new_reviews}")
    last = datetime.fromisoformat(trained_at) if trained_at else None
    following = last + timedelta(hours=rules.at_most_every_hours) if last else now
    if last and last <= now < following:  # a training in the future was made under another clock (NOW)
        allowed = f"retrain.at_most_every_hours allows the next training at {following:%F %R}"
        return Due(False, f"{number} since the training; {allowed}")
    return Due(True, f"the training data changed ({had.training_data or '?'} -> {wanted.training_data}): {number}")
