"""Bring data, models and service back to a version; make the checkout ready for a run."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets import artifact
from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replace_file
from mlops_assets.settings import Settings
from mlops_assets.versioning.checkout import KEPT, Exchange, app_of, finish_exchanges, new_exchange, write_differing
from mlops_assets.versioning.dvc.objects import file_md5
from mlops_assets.versioning.git.pipeline_commit import LABELS, REFERENCE_RAW, REFERENCE_VALIDATED
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.versioning.versions import Version, find_version

if TYPE_CHECKING:
    from mlops_assets.deploy.service import Service
    from mlops_assets.reviews.stored.store import ReviewStore
    from mlops_assets.training.champion import Decision
    from mlops_assets.versioning.git.history import GitHistory


_COLLECTED = (("data/raw", "data/validated"), (REFERENCE_RAW, REFERENCE_VALIDATED))
"""The outputs of raw and validated reviews: of the apps, and of reference apps."""
_BASE = "restored.json"
"""Names the version that the checkout was brought back to, and the branch's tip at that time."""


@dataclass(frozen=True)
class Restored:
    """What came back: the version, the paths that changed, and the folder that keeps their former content."""

    version: Version
    changed: tuple[str, ...]
    kept: Path | None


def restore(
    repository: VersionRepository,
    name: str,
    *,
    at_phase: Callable[[str], None] = lambda _: None,
) -> Restored:
    """Bring back what the commit, data version or model version `name` holds; apps that it lacks stay as they are.

    Raises `UnknownVersion`, or `PermanentFailure` if neither cache nor remote has the data; nothing has changed then.
    """
    from mlops_assets.reviews.labels.table import FOLDER, LabelTable
    from mlops_assets.reviews.stored.erase import drop_erased, mask_stored
    from mlops_assets.reviews.stored.privacy import Erased

    root = repository.user_root
    with repository.locked():
        finish_exchanges(root)
        tip = repository.prepare()
        version = find_version(repository.versions(), name)
        _download(repository, version)
        exchange = new_exchange(root, f"{repository.now():%Y%m%dT%H%M%SZ}-{version.commit[:12]}", at_phase)
        changed = write_differing(repository.clone, version, exchange.new)
        drop_erased(exchange.new / "data", Erased.load(root / "data" / "raw"))
        mask_stored(exchange.new / "data")
        LabelTable(exchange.new / "data" / FOLDER).keep_erased(LabelTable(root / "data" / FOLDER))
        at_phase("new content complete")
        replace_file(root / KEPT / _BASE, json.dumps({"commit": version.commit, "tip": tip}))
        if changed and exchange.run(changed):
            return Restored(version, tuple(changed), exchange.folder)
        shutil.rmtree(exchange.folder)
        return Restored(version, tuple(changed), None)


def restored_commit(repository: VersionRepository) -> str | None:
    """The version that the checkout was brought back to if no newer version was made since, else None."""
    path = repository.user_root / KEPT / _BASE
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    return str(record["commit"]) if record["tip"] == repository.prepare() else None


def restore_service(
    settings: Settings,
    repository: VersionRepository,
    service: "Service",
    git_history: "GitHistory",
    version: Version,
    report: Callable[[str], None],
) -> str | None:
    """Make the version's champion the champion again and, unless SKIP_DEPLOY is set, live; its model version."""
    from mlops_assets.deploy.release import image_tags
    from mlops_assets.steps.package import champion_release
    from mlops_assets.training.champion import last_decision

    model = restore_champion(repository, settings.models, version, repository.versions())
    if model is None:
        report("This version chose no model to serve yet: the service stays as it is.")
        return None
    trained_on = last_decision(settings.models).dataset_version
    keep_profile_of(repository, settings.profile(trained_on), trained_on)
    release = champion_release(settings)
    if settings.skip_deploy:
        report(f"Model {model} is the champion again; SKIP_DEPLOY is set, so the service stays as it is.")
        return model
    done = service.deploy(release, report, caused_by=f"make restore {version.commit[:12]}", at_once=True)
    report(f"Model {done.model_version} serves at {done.url}")
    # The tags last: a registry that is down does not keep the model from serving.
    service.package(release, image_tags(release.model_version, *git_history.head()), report)
    return model


def restore_champion(
    repository: VersionRepository, models: Path, version: Version, known: Sequence[Version]
) -> str | None:
    """Put the version's champion into `models/champion`, with its record and card; its model version.

    The decision that chose it comes back with it. It may have been trained for an earlier version: `known` (newest
    first) tells which. None if the version names no champion. Killed half-way, record and folder differ, and the
    next run decides anew.
    """
    from mlops_assets.training.card import model_card
    from mlops_assets.training.champion import champion_folder, read_decision, write_decision

    if version.champion is None:
        return None
    last = read_decision(models)
    if champion_folder(models) is not None and last is not None and last.model_version == version.champion:
        return version.champion
    repository.fetch_model(version.champion, models / "champion", known)
    manifest = artifact.read(models / "champion")
    decision = _decision(repository, models, version, manifest)
    (models / "champion.md").write_text(model_card(manifest, version.champion, decision=decision), encoding="utf-8")
    write_decision(models, decision)
    return version.champion


def keep_profile_of(repository: VersionRepository, path: Path, dataset_version: str) -> bool:
    """Make the drift profile of a data version at `path` if there is none; whether it is there afterwards.

    It is made of the version's own reviews, and equal reviews give equal profiles.
    """
    if path.is_file():
        return True
    import pandas as pd

    from mlops_assets.reviews.drift.profile import Profile
    from mlops_assets.reviews.stored import columns

    commits = [version.commit for version in repository.versions() if version.dataset_version == dataset_version]
    if not commits:
        return False
    files = repository.stored_files("data/validated", commits[0])
    frames = [columns.read_frame(file) for name, file in sorted(files.items()) if name.endswith(".parquet")]
    path.parent.mkdir(parents=True, exist_ok=True)
    Profile.of(pd.concat(frames, ignore_index=True)).save(path)
    return True


def _download(repository: VersionRepository, version: Version) -> None:
    """Download the version's objects into the cache of the private clone."""
    for output, name in version.objects.items():
        if not repository.bring(version.commit, [output]):
            elsewhere = repository.elsewhere(version)
            where = f"it lies {elsewhere}" if elsewhere.startswith("in ") else "it was pruned, or the remote lost it"
            raise PermanentFailure(
                f"neither cache nor remote holds {output} of version {version.commit[:12]} "
                f"({name.removesuffix('.dir')[:12]}): {where}; choose another version"
            )


def _decision(repository: VersionRepository, models: Path, version: Version, manifest: artifact.Manifest) -> "Decision":
    """The decision that chose the version's champion, as far as the branch knows it, with what the restore changes."""
    from mlops_assets.training.champion import Decision, candidates

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


def settle(
    repository: VersionRepository,
    data: Path,
    report: Callable[[str], None] = lambda _: None,
    *,
    shares: bool = True,
) -> list[str]:
    """End what a killed restore began, mask personal data in stored texts, and bring back apps that the checkout lacks;
    the paths that came back.

    An app that the newest version holds and that has no folder here, as in a fresh clone, comes back with its raw and
    validated reviews: without them the next version would hold less. Reviews of versions that other clones made are
    taken over. If the newest version's data is out of reach, that is reported.

    A run that shares nothing does not ask origin.
    """
    from mlops_assets.reviews.stored.erase import drop_erased, mask_stored
    from mlops_assets.reviews.stored.privacy import ERASED, Erased
    from mlops_assets.reviews.stored.reference import reference_store
    from mlops_assets.reviews.stored.store import ReviewStore

    with repository.locked():
        finished = finish_exchanges(repository.user_root)
        # Before anything is compared with the stored reviews: an unmasked one would look edited.
        if masked := mask_stored(data, copies=[repository.user_root / KEPT]):
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(masked.items()))
            report(
                f"personal data in stored reviews is masked now ({counts}); earlier versions keep it, see docs/files.md"
            )
        if problem := repository.look_at_origin(share=shares):
            report(problem)
        base = repository.base()
        if base.anew:
            report(base.anew)
        back: list[str] = []
        own = [base.commit] if base.commit and base.commit not in base.foreign else []
        for commit in [*base.foreign, *own]:
            raw = repository.stored_files("data/raw", commit)
            found = [path for outputs in _COLLECTED for path in _bring_back(repository, commit, data, outputs)]
            if found:
                back += found
                mask_stored(data)
            known = Erased.load(data / "raw")
            if ERASED in raw and not (listed := Erased.read(raw[ERASED])) <= known:
                (known | listed).save(data / "raw")
                drop_erased(data)
            elif back or finished:
                drop_erased(data)
            if commit in base.foreign:
                take_over(raw, ReviewStore(data / "raw"), report)
                take_over(repository.stored_files(REFERENCE_RAW, commit), reference_store(data), report)
            _take_over_labels(repository, commit, data, report, foreign=commit in base.foreign)
        repository.taken_over()
    for path in back:
        report(f"{path} was absent here and came back from the newest version")
    return back


def take_over(files: Mapping[str, Path], store: "ReviewStore", report: Callable[[str], None]) -> None:
    """Store another clone's raw reviews (relative name to file) that differ from those in `store`.

    Nothing that is stored here is lost: of two states of a review the later one is current, the other is its history.
    """
    from mlops_assets.reviews.stored import columns

    parquet = [name for name in files if name.endswith(".parquet")]
    # A review's history after its newest state: an older state that comes first would count as the newest.
    for name in sorted(parquet, key=lambda name: ("/history/" in name, name)):
        mine = store.folder / name
        if mine.is_file() and file_md5(mine) == file_md5(files[name]):
            continue
        done = store.upsert(app_of(name), columns.read_frame(files[name]))
        if done.new + done.edited + done.updated:
            report(f"{name}: {done.new} new, {done.edited + done.updated} changed reviews of another clone's version")


def _take_over_labels(
    repository: VersionRepository, commit: str, data: Path, report: Callable[[str], None], *, foreign: bool
) -> None:
    """Add the labels in another clone's version to those that are here; in a fresh clone, those in its own version."""
    from mlops_assets.reviews.labels.agreed import agreement
    from mlops_assets.reviews.labels.table import FOLDER, NAME, LabelTable

    if not foreign and (data / FOLDER).is_dir():
        return
    if theirs := repository.stored_files(LABELS, commit).get(NAME):
        table = LabelTable(data / FOLDER)
        if added := table.merge(theirs.read_text(encoding="utf-8")):
            report(f"{added} labels of people came from another version; {agreement(table.given())}")


def _bring_back(repository: VersionRepository, commit: str, data: Path, outputs: tuple[str, str]) -> list[str]:
    """Bring back the apps of a version that have no folder of raw reviews here; the paths of what came."""
    raw = outputs[0]
    held = {app for app in map(app_of, repository.stored_files(raw, commit)) if app}
    apps = {app for app in held if not (data.parent / raw / app).is_dir()}
    if not apps:
        return []
    exchange = Exchange(repository.user_root, repository.user_root / KEPT / "absent")
    shutil.rmtree(exchange.folder, ignore_errors=True)
    back = set[str]()
    for output in outputs:
        for name, path in repository.stored_files(output, commit).items():
            if app_of(name) in apps:
                copy = exchange.new / output / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
                back.add(f"{output}/{app_of(name)}")
    exchange.run(sorted(back))
    # The former content had no raw reviews of the app: leftovers of its validation.
    shutil.rmtree(exchange.folder)
    return sorted(back)
