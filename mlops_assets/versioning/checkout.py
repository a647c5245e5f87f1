"""The user's folders `data/` and `models/`, exchanged for a version's so that a kill in between loses nothing.

First everything new is made complete under `.before-restore/<name>/new`, then each folder is exchanged by two renames
that a plan on disk lists. After a kill, `finish_exchanges` goes on with that plan.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.failures import PermanentFailure, TransientFailure
from mlops_assets.files import replace_file, sync
from mlops_assets.versioning.dvc.objects import ObjectFolder, file_md5
from mlops_assets.versioning.git.pipeline_commit import METRICS, REFERENCE_RAW, REFERENCE_VALIDATED
from mlops_assets.versioning.pipeline_clone import PipelineClone
from mlops_assets.versioning.versions import Version

KEPT = ".before-restore"
_PLAN = "plan.json"
_BY_APP = ("data/raw", "data/validated", REFERENCE_RAW, REFERENCE_VALIDATED)
"""Outputs with a folder for each app."""


@dataclass(frozen=True)
class Exchange:
    """An exchange of folders of the checkout `root`: in `folder/new` the new ones, in `folder` the former ones."""

    root: Path
    folder: Path
    at_phase: Callable[[str], None] = lambda _: None

    @property
    def new(self) -> Path:
        return self.folder / "new"

    def run(self, paths: Sequence[str]) -> bool:
        """Exchange these paths, relative to `root`; whether `folder` holds former content afterwards."""
        for path in paths:
            for file in [self.new / path, *(self.new / path).rglob("*")]:
                sync(file)
        replace_file(self.folder / _PLAN, json.dumps(paths))
        self.at_phase("planned")
        self.finish()
        return any((self.folder / path).exists() for path in paths)

    def finish(self) -> None:
        """Exchange what the plan lists and is not exchanged yet."""
        for path in json.loads((self.folder / _PLAN).read_text(encoding="utf-8")):
            new, current, kept = self.new / path, self.root / path, self.folder / path
            if not new.exists():
                continue  # exchanged before the kill
            if current.exists():
                kept.parent.mkdir(parents=True, exist_ok=True)
                current.rename(kept)
                self.at_phase(f"kept {path}")
            current.parent.mkdir(parents=True, exist_ok=True)
            new.rename(current)
            self.at_phase(f"restored {path}")
        shutil.rmtree(self.new)
        (self.folder / _PLAN).unlink()


def new_exchange(root: Path, name: str, at_phase: Callable[[str], None]) -> Exchange:
    """An exchange with a folder of its own below `.before-restore`."""
    folder, number = root / KEPT / name, 1
    while folder.exists():
        number += 1
        folder = root / KEPT / f"{name}-{number}"
    return Exchange(root, folder, at_phase)


def finish_exchanges(root: Path) -> bool:
    """Go on with exchanges that were killed, and remove new content without a plan; whether there was any plan."""
    finished = False
    for folder in sorted((root / KEPT).glob("*/")):
        if (folder / _PLAN).is_file():
            Exchange(root, folder).finish()
            finished = True
        elif (folder / "new").is_dir():
            shutil.rmtree(folder)
    return finished


def write_differing(clone: PipelineClone, version: Version, new: Path) -> list[str]:
    """Write below `new` what the version holds and the user's checkout does not; the paths to exchange."""
    root, changed = clone.user_root, []
    new.mkdir(parents=True)
    for output, name in version.objects.items():
        for path, files in _folders(output, clone.cache.listing(name)):
            if _content(root / path) != files:
                _copy_out(clone.cache, files, new / path)
                changed.append(path)
    for path in METRICS:
        text = clone.branch.file(version.commit, path)
        if text is not None and _text(root / path) != text:
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def app_of(name: str) -> str:
    """The app of a data file, by its name relative to `data/raw`; empty for a file that belongs to no app."""
    app, _, rest = name.partition("/")
    return app if rest else ""


def _folders(output: str, listing: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """The folders that are exchanged as a whole, a model's, an app's or that of the labels, with their files' MD5."""
    if output not in _BY_APP:
        return [(output, dict(listing))]
    apps: dict[str, dict[str, str]] = {}
    for name, md5 in listing.items():
        if app := app_of(name):
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
