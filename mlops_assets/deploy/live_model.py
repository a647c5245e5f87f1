"""Facts about the live model beyond its versions: where its folder is, and whose reviews it was trained on."""

from pathlib import Path
from typing import Any

from mlops_assets import artifact
from mlops_assets.artifact import BrokenArtifact
from mlops_assets.deploy.service import Live
from mlops_assets.settings import Settings
from mlops_assets.trained_on import TrainedOn


def trained_on(settings: Settings, live: Live) -> TrainedOn:
    """Whose reviews the live model was trained on; empty if its folder is missing or does not say."""
    folder = folder_of(settings, live)
    return artifact.read(folder, verify=False).trained_on if folder else TrainedOn()


def live_record(settings: Settings, live: Live | None) -> dict[str, Any] | None:
    """The service for a run's summary: its own answer, and whose reviews its model was trained on."""
    if live is None:
        return None
    known = trained_on(settings, live)
    return {**vars(live), "trained_on": known.record(), "warning": known.warning}


def folder_of(settings: Settings, live: Live) -> Path | None:
    """The live model's folder in its release or, if that was pruned, the champion's if it is the same model."""
    for folder in (settings.releases / live.release_version / "model", settings.models / "champion"):
        try:
            if artifact.model_version(folder) == live.model_version:
                return folder
        except BrokenArtifact:
            continue
    return None
