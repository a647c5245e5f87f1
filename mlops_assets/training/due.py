"""Whether a model must be trained again, and why."""

from dataclasses import asdict, dataclass
from pathlib import Path

from mlops_assets import artifact
from mlops_assets.artifact import BrokenArtifact, TrainedWith
from mlops_assets.training.metrics import Metrics

_WORDS = {
    "dataset_version": "the validated data changed",
    "label_rule": "the label rule changed",
    "recipe": "the recipe changed",
    "code": "the training code changed",
}


@dataclass(frozen=True)
class Due:
    """A decision with its reason."""

    due: bool
    reason: str

    def __bool__(self) -> bool:
        return self.due


def training_due(model: Path, metrics: Path, wanted: TrainedWith, *, force: bool) -> Due:
    """Compare what the model in folder `model` was trained with against `wanted`. File times play no part."""
    if force:
        return Due(True, "force_retrain is set")
    if not (model / artifact.MANIFEST).is_file():
        return Due(True, "there is no model yet")
    try:
        manifest = artifact.read(model)
    except BrokenArtifact as broken:
        return Due(True, f"the model is damaged: {broken}")
    had, wants = asdict(manifest.trained_with), asdict(wanted)
    changes = [f"{_WORDS[name]} ({had[name]} -> {wants[name]})" for name in wants if had[name] != wants[name]]
    if changes:
        return Due(True, ", ".join(changes))
    measured = Metrics.read(metrics)
    if measured is None or measured.model_version != artifact.model_version(model):
        return Due(True, f"{metrics.name} is not of this model")
    return Due(False, f"data {wanted.dataset_version}, recipe {wanted.recipe} and code {wanted.code} are unchanged")
