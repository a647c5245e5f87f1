"""Bring back the model that a version chose to serve, and the profile of the reviews that it was trained on."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlops_assets import artifact
from mlops_assets.failures import PermanentFailure
from mlops_assets.training.card import model_card
from mlops_assets.training.champion import Decision, candidates, champion_folder, read_decision, write_decision
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
    last, folder = read_decision(models), champion_folder(models)
    if folder is not None and last is not None and last.model_version == version.champion:
        return version.champion
    found = [(each, kind) for each in known for kind, model in each.models.items() if model == version.champion]
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
    decision = _decision(repository, models, version, manifest)
    (models / "champion.md").write_text(model_card(manifest, version.champion, decision=decision), encoding="utf-8")
    write_decision(models, decision)
    return version.champion


def _decision(repository: VersionRepository, models: Path, version: Version, manifest: artifact.Manifest) -> Decision:
    """The decision that chose the version's champion, as far as the branch knows it, with what the restore changes."""
    reason = f"restored with version {version.commit[:12]}"
    decided = Decision.of(repository.decision(version.commit) or {"model_version": ""})
    if decided.model_version != version.champion:
        decided = Decision(str(version.champion))
    else:
        reason = f"{reason}; decided then: {decided.reason}"
    return replace(
        decided,
        model=manifest.kind,
        dataset_version=manifest.trained_with.dataset_version,
        promoted=True,
        reason=reason,
        since=None,
        candidates=candidates(models),
        models_trained=False,
        commit=version.commit,
        origin=None,
        run_id=version.run_id,
    )


def keep_profile_of(repository: VersionRepository, path: Path, dataset_version: str) -> bool:
    """Make the drift profile of a data version at `path` where there is none; whether it is there.

    It is made of the version's own reviews, and equal reviews give equal profiles.
    """
    if path.is_file():
        return True
    import pandas as pd

    from mlops_assets.reviews.drift.profile import Profile
    from mlops_assets.reviews.stored import columns

    commits = [each.commit for each in repository.versions() if each.dataset_version == dataset_version]
    if not commits:
        return False
    files = repository.stored_files("data/validated", commits[0])
    frames = [columns.read_frame(file) for name, file in sorted(files.items()) if name.endswith(".parquet")]
    path.parent.mkdir(parents=True, exist_ok=True)
    Profile.of(pd.concat(frames, ignore_index=True)).save(path)
    return True
