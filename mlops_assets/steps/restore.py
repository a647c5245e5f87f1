"""Bring `data/` and `models/` of the user's checkout back to a version; what lay there is kept beside it.

First everything new is made complete under `.before-restore/<time>/new`, then each folder is exchanged by two renames
that a plan on disk lists. Killed in between, the next call goes on with that plan, so nothing is lost half-way.
"""

import json
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.failures import PermanentFailure, TransientFailure
from mlops_assets.steps.other_clones import take_over
from mlops_assets.versioning.dvc.objects import ObjectFolder, file_md5
from mlops_assets.versioning.git.pipeline_commit import METRICS
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.versioning.versions import Version, find_version

KEPT = ".before-restore"
_PLAN = "plan.json"
_BASE = "restored.json"
"""Names the version that the checkout was brought back to, and the branch's tip at that time."""


@dataclass(frozen=True)
class Restored:
    """What came back: the version, the paths that changed, and where their former content is kept."""

    version: Version
    changed: tuple[str, ...]
    kept: Path | None


def restore(
    repository: VersionRepository,
    name: str,
    *,
    live_model: str | None = None,
    at_phase: Callable[[str], None] = lambda _: None,
) -> Restored:
    """Bring back what the commit, data version or model version `name` holds; apps that it lacks stay as they are.

    Raises `UnknownVersion`, or `PermanentFailure` where neither cache nor remote has the data; nothing changed then.
    """
    from mlops_assets.reviews.stored.erase import drop_erased
    from mlops_assets.reviews.stored.privacy import Erased

    root = repository.user_root
    with repository.locked():
        finish_restore(root)
        repository.prepare()
        version = find_version(repository.versions(live_model), name)
        fetch_objects(repository, version)
        stamp = f"{repository.now():%Y%m%dT%H%M%SZ}-{version.commit[:12]}"
        place = root / KEPT / stamp
        number = 1
        while place.exists():
            number += 1
            place = root / KEPT / f"{stamp}-{number}"
        changed = _make_new(repository, version, place / "new")
        drop_erased(place / "new" / "data", Erased.load(root / "data" / "raw"))
        at_phase("new content complete")
        _write_base(root, version.commit, repository.clone.branch.tip())
        if not changed:
            shutil.rmtree(place, ignore_errors=True)
            return Restored(version, (), None)
        _write_plan(place, changed)
        at_phase("planned")
        _exchange(root, place, at_phase)
        kept = [path for path in changed if (place / path).exists()]
        if not kept:
            shutil.rmtree(place)
        return Restored(version, tuple(changed), place if kept else None)


def finish_restore(root: Path) -> list[Path]:
    """Go on with restores that were killed: exchange what is left of a plan, drop what never became one."""
    finished = []
    for place in sorted((root / KEPT).glob("*/")) if (root / KEPT).is_dir() else []:
        if (place / _PLAN).is_file():
            _exchange(root, place, lambda _: None)
            finished.append(place)
        elif (place / "new").is_dir():
            shutil.rmtree(place)
    return finished


def settle(
    repository: VersionRepository,
    data: Path,
    report: Callable[[str], None] = lambda _: None,
    *,
    shares: bool = True,
) -> list[str]:
    """Make the checkout ready for a run: end what a killed restore began, bring back apps that it lacks.

    An app that the newest version holds and that has no folder here, as in a fresh clone, comes back with its raw and
    validated reviews: without them the next version would hold less. Reviews of versions that other clones made are
    taken over. Where the newest version's data is out of reach, that is reported. The paths that came back.

    A run that shares nothing does not ask origin.
    """
    from mlops_assets.reviews.stored.erase import drop_erased
    from mlops_assets.reviews.stored.privacy import ERASED, Erased

    root = repository.user_root
    with repository.locked():
        finished = finish_restore(root)
        if problem := repository.look_at_origin(share=shares):
            report(problem)
        base = repository.base()
        if base.anew:
            report(base.anew)
        back: list[str] = []
        known_here = [base.commit] if base.commit and base.commit not in base.foreign else []
        for commit in [*base.foreign, *known_here]:
            raw = repository.stored_files("data/raw", commit)
            absent = {app for app in map(_app_of, raw) if app and not (data / "raw" / app).is_dir()}
            back += _bring_back(repository, commit, absent, root / KEPT / "absent") if absent else []
            known = Erased.load(data / "raw")
            if ERASED in raw and not (listed := Erased.read(raw[ERASED])) <= known:
                (known | listed).save(data / "raw")
                drop_erased(data)
            elif back or finished:
                drop_erased(data)
            if commit in base.foreign:
                take_over(raw, data / "raw", report)
        repository.taken_over()
    for path in back:
        report(f"{path} was absent here and came back from the newest version")
    return back


def _bring_back(repository: VersionRepository, commit: str, apps: Collection[str], place: Path) -> list[str]:
    back: list[str] = []
    shutil.rmtree(place, ignore_errors=True)
    for output in ("data/raw", "data/validated"):
        for name, path in repository.stored_files(output, commit).items():
            if _app_of(name) in apps:
                copy = place / "new" / output / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
                back.append(f"{output}/{_app_of(name)}")
    back = sorted(set(back))
    _write_plan(place, back)
    _exchange(repository.user_root, place, lambda _: None)
    # What lay there held no raw reviews of the app: leftovers of its validation.
    shutil.rmtree(place)
    return back


def _app_of(name: str) -> str:
    """The app of a file of data, by relative name; empty for a file of no app."""
    app, _, rest = name.partition("/")
    return app if rest else ""


def restored_commit(repository: VersionRepository) -> str | None:
    """The version that the checkout was brought back to, while no newer one has been made since; else None."""
    path = repository.user_root / KEPT / _BASE
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    return str(record["commit"]) if record["tip"] == repository.prepare() else None


def fetch_objects(repository: VersionRepository, version: Version) -> None:
    """Bring the version's objects into the cache of the private clone."""
    for output, name in version.objects.items():
        if not repository.bring(version.commit, [output]):
            place = repository.elsewhere(version)
            where = f"it lies {place}" if place.startswith("in ") else "it was pruned, or the remote lost it"
            raise PermanentFailure(
                f"neither cache nor remote holds {output} of version {version.commit[:12]} "
                f"({name.removesuffix('.dir')[:12]}): {where}; choose another version"
            )


def _make_new(repository: VersionRepository, version: Version, new: Path) -> list[str]:
    """Write what differs from the user's checkout below `new`; the paths to exchange."""
    root, changed = repository.user_root, []
    new.mkdir(parents=True)
    for output, name in version.objects.items():
        for path, files in _units(output, repository.clone.cache.listing(name)):
            if _content(root / path) != files:
                _copy_out(repository.clone.cache, files, new / path)
                changed.append(path)
    for path in METRICS:
        text = repository.clone.branch.file(version.commit, path)
        if text is not None and _text(root / path) != text:
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def _units(output: str, listing: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """What is exchanged as one: a model folder, or an app's folder of data."""
    if not output.startswith("data/"):
        return [(output, dict(listing))]
    apps: dict[str, dict[str, str]] = {}
    for name, md5 in listing.items():
        if app := _app_of(name):
            apps.setdefault(app, {})[name.removeprefix(f"{app}/")] = md5
    return [(f"{output}/{app}", files) for app, files in sorted(apps.items())]


def _content(folder: Path) -> dict[str, str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): file_md5(path) for path in paths}


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _copy_out(cache: ObjectFolder, files: Mapping[str, str], target: Path) -> None:
    for name, md5 in files.items():
        copy = target / name
        if target.resolve() not in copy.resolve().parents:
            raise PermanentFailure(f"the version holds a file {name!r} outside its folder: restore another version")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cache.path(md5), copy)  # never a link: the user's files must not reach into the cache
        if file_md5(copy) != md5:
            cache.path(md5).unlink()
            raise TransientFailure(f"object {md5} in the DVC cache is damaged and was removed: run again to fetch it")


def _write_base(root: Path, commit: str, tip: str | None) -> None:
    scratch = root / KEPT / f"{_BASE}.partial"
    scratch.write_text(json.dumps({"commit": commit, "tip": tip}), encoding="utf-8")
    scratch.replace(root / KEPT / _BASE)


def _write_plan(place: Path, changed: list[str]) -> None:
    for path in changed:
        _sync_all(place / "new" / path)
    scratch = place / "plan.partial"
    with scratch.open("w", encoding="utf-8") as file:
        json.dump(changed, file)
        file.flush()
        os.fsync(file.fileno())
    scratch.rename(place / _PLAN)


def _exchange(root: Path, place: Path, at_phase: Callable[[str], None]) -> None:
    for path in json.loads((place / _PLAN).read_text(encoding="utf-8")):
        new, current, kept = place / "new" / path, root / path, place / path
        if not new.exists():
            continue  # exchanged before the kill
        if current.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            current.rename(kept)
            at_phase(f"kept {path}")
        current.parent.mkdir(parents=True, exist_ok=True)
        new.rename(current)
        at_phase(f"restored {path}")
    shutil.rmtree(place / "new")
    (place / _PLAN).unlink()


def _sync_all(path: Path) -> None:
    for file in [path, *path.rglob("*")]:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
