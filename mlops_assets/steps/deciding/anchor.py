"""Finds the anchor: the model that was live some time ago, as the branch tells, with its files wherever they are."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets import artifact
from mlops_assets.failures import OutsideFailure, PermanentFailure
from mlops_assets.settings import Settings
from mlops_assets.steps.deciding.lineage import anchors_of, reigns_of
from mlops_assets.steps.deciding.say import trained_on
from mlops_assets.steps.version import split_of_model
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops_assets.training.judging.anchor import Anchor
    from mlops_assets.training.judging.contender import Contender


def find_anchor(
    settings: Settings, repository: VersionRepository, gate: "pd.DataFrame", serving: "Contender"
) -> "Anchor | None":
    """The anchor with its answers to the gate side; None before the first decision.

    If the model of that day cannot be had, the oldest one after it that can is the anchor. Without any, decisions go by
    the live model alone, and after two promotions only a better model may be promoted.
    """
    from mlops_assets.training.judging.anchor import Anchor, as_good_since

    reigns = reigns_of(repository)
    known = anchors_of(settings, reigns)
    if not known:
        return None
    wanted, before = known[0], ((repository.decision() or {}).get("figures") or {}).get("anchor") or {}
    found = Anchor(wanted.model_version, f"{wanted.at:%F}", as_good_since(reigns, wanted.model_version))
    for reign in known:
        if reign.model_version == serving.model_version:
            if reign.model_version == wanted.model_version:
                found = replace(found, contender=serving)
            break
        try:
            contender, rows = _answers(settings, repository, reign.model_version, gate, serving.labels)
        except (PermanentFailure, OutsideFailure) as failure:
            # Told in the decision, which goes by stricter rules then. A run does not fail for a model of long ago.
            found = replace(found, why=found.why or str(failure))
            continue
        found = replace(
            found, model_version=reign.model_version, since=f"{reign.at:%F}", contender=contender, rows=rows
        )
        break
    same = before.get("model_version") == found.model_version
    return replace(found, recent=before.get("recent", {}) if same else {})


def _answers(
    settings: Settings, repository: VersionRepository, model: str, gate: "pd.DataFrame", labels: tuple[str, ...]
) -> "tuple[Contender, np.ndarray]":
    """The model's answers to the gate side, and the rows that it did not learn from and that are of its apps.

    Raises `PermanentFailure` if it answers other labels than `labels`.
    """
    from mlops_assets.training.judging.contender import contender

    folder = _folder(settings, repository, model)
    manifest = artifact.read(folder, verify=False)
    if manifest.labels != labels:
        raise PermanentFailure(f"it answers {', '.join(manifest.labels)}")
    apps = trained_on(manifest, repository).apps
    rows = split_of_model(settings, folder).sides_of(gate["review_text"]).isin(["gate", "test"])
    if apps:
        rows &= gate["app_id"].isin(apps)
    return contender("anchor", folder, gate, timed=False), rows.to_numpy(dtype=bool)


def _folder(settings: Settings, repository: VersionRepository, model: str) -> Path:
    """Where the model lies; if nowhere here, it is fetched to `.dagster/anchor`."""
    kept = settings.instance_folder / "anchor"
    folders = [kept, *settings.models.glob("*"), *settings.releases.glob("*/model")]
    for folder in folders:
        known = (folder / artifact.MANIFEST).is_file() and artifact.model_version(folder) == model
        if known and artifact.is_whole(folder):  # a killed run leaves parts, and the branch has the whole
            return folder
    kept.parent.mkdir(parents=True, exist_ok=True)
    repository.fetch_model(model, kept)
    return kept
