"""Bring back the model that a version chose to serve, and the profile of the reviews that it was trained on."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops_assets import artifact
from mlops_assets.failures import PermanentFailure
from mlops_assets.training.card import model_card
from mlops_assets.training.champion import candidates, read_record, write_record
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.versioning.versions import Version


def restore_champion(
    repository: VersionRepository, models: Path, version: Version, known: Sequence[Version]
) -> str | None:
    """Put the version's champion into `models/champion`, with its record and card; its model version.

    The decision that chose it comes back with it. It may have been trained for an earlier version: `known` (newest
    first) tells which. None where the version names no champion. Killed half-way, record and folder differ, and the
    next run decides anew.
    """
    if version.champion is None:
        return None
    record = read_record(models)
    if (
        record is not None
        and record["model_version"] == version.champion
        and _is(models / "champion", version.champion)
    ):
        return version.champion
    found = [(one, kind) for one in known for kind, model in one.models.items() if model == version.champion]
    if not found:
        raise PermanentFailure(
            f"no version on the branch holds the model {version.champion} that {version.commit[:12]} chose: "
            "choose another version"
        )
    holder, kind = found[0]
    scratch = models / ".champion.restored"
    shutil.rmtree(scratch, ignore_errors=True)
    for name, path in repository.stored_files(f"models/{kind}", holder.commit).items():
        copy = scratch / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    manifest = artifact.read(scratch)
    shutil.rmtree(models / "champion", ignore_errors=True)
    scratch.replace(models / "champion")
    decided = repository.decision(version.commit) or {}
    if decided.get("model_version") != version.champion:
        decided = {}
    told = f"restored with version {version.commit[:12]}"
    restored: dict[str, Any] = {
        **decided,
        "model": manifest.kind,
        "model_version": version.champion,
        "dataset_version": manifest.trained_with.dataset_version,
        "promoted": True,
        "reason": f"{told}; decided then: {decided['reason']}" if decided else told,
        "figures": decided.get("figures", {}),
        "forward": decided.get("forward"),
        "since": None,
        "candidates": candidates(models),
        "models_trained": False,
        "commit": version.commit,
        "run_id": version.run_id,
    }
    (models / "champion.md").write_text(model_card(manifest, version.champion, decision=restored), encoding="utf-8")
    write_record(models, restored)
    return version.champion


def keep_profile_of(repository: VersionRepository, path: Path, dataset_version: str) -> bool:
    """Make the drift profile of a data version at `path` where there is none; whether it is there.

    It is made of the version's own reviews, and equal reviews give equal profiles.
    """
    if path.is_file():
        return True
    import pandas as pd

    from mlops_assets.reviews.drift.profile import Profile
    from mlops_assets.reviews.stored import columns

    commits = [one.commit for one in repository.versions() if one.dataset_version == dataset_version]
    if not commits:
        return False
    files = repository.stored_files("data/validated", commits[0])
    frames = [columns.read_frame(file) for name, file in sorted(files.items()) if name.endswith(".parquet")]
    path.parent.mkdir(parents=True, exist_ok=True)
    Profile.of(pd.concat(frames, ignore_index=True)).save(path)
    return True


def _is(folder: Path, model_version: str) -> bool:
    return (folder / artifact.MANIFEST).is_file() and artifact.model_version(folder) == model_version
