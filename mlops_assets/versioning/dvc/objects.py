"""DVC's files on disk: pointers (`data/raw.dvc`), the lists of files of folders, the objects of a cache or remote.

The formats are those of DVC 3 (`files/md5/<2>/<30>`, a folder's list as JSON under `<md5>.dir`).
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from mlops_assets.failures import PermanentFailure

_OBJECT = re.compile(r"[0-9a-f]{32}(\.dir)?")


class BrokenPointer(PermanentFailure):
    """A `.dvc` file that names no folder version."""


@dataclass(frozen=True)
class ObjectFolder:
    """Objects in a folder: a DVC cache, or a remote that is a folder."""

    root: Path

    def path(self, name: str) -> Path:
        return Path(self._place(name))

    def holds(self, name: str) -> bool:
        return os.path.isfile(self._place(name))  # noqa: PTH113  asked of thousands: a Path takes longer than the look

    def _place(self, name: str) -> str:
        return f"{self.root}/files/md5/{name[:2]}/{name[2:]}"

    def is_complete(self, name: str) -> bool:
        """Whether the folder version `<md5>.dir` is here with every file of it."""
        return self.holds(name) and all(map(self.holds, self.listing(name).values()))

    def names(self) -> list[str]:
        """Every object here."""
        found = (path.parent.name + path.name for path in (self.root / "files" / "md5").glob("[0-9a-f][0-9a-f]/*"))
        return sorted(name for name in found if _OBJECT.fullmatch(name))

    def ages(self) -> dict[str, float | None]:
        """Every object with its age in seconds."""
        now = time.time()
        return {name: now - self.path(name).stat().st_mtime for name in self.names()}

    def size(self, names: Iterable[str]) -> int:
        """Bytes of these objects."""
        return sum(self.path(name).stat().st_size for name in names)

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; lists of folders first, so that no list names a file that is gone."""
        for name in sorted(names, key=lambda name: (not name.endswith(".dir"), name)):
            self.path(name).unlink(missing_ok=True)

    def listing(self, name: str) -> dict[str, str]:
        """Relative path to md5 of every file of the folder version `<md5>.dir`; raises FileNotFoundError."""
        return parse_listing(self.path(name).read_bytes())


def parse_listing(raw: bytes) -> dict[str, str]:
    """A folder's list: relative path to md5."""
    return {entry["relpath"]: entry["md5"] for entry in json.loads(raw)}


def folder_object(files: Mapping[str, str]) -> str:
    """The object name that DVC gives to a folder with these files (relative path to md5)."""
    listing = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False).hexdigest() + ".dir"


def pointed_object(pointer: str) -> str:
    """The object that a `.dvc` file names, `<md5>.dir`."""
    try:
        name = yaml.safe_load(pointer)["outs"][0]["md5"]
    except (yaml.YAMLError, TypeError, KeyError, IndexError) as error:
        raise BrokenPointer(f"a .dvc file holds no outs[0].md5, restore it from git: {pointer[:80]!r}") from error
    if not isinstance(name, str) or not _OBJECT.fullmatch(name):
        raise BrokenPointer(f"a .dvc file names {name!r}, which is no object: restore it from git")
    return name


def object_at(path: Path) -> str:
    """The name of the object that lies at this path of a cache or remote."""
    return path.parent.name + path.name


def file_md5(path: Path) -> str:
    """MD5 of a file's content, as DVC names objects."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def damaged(folder: ObjectFolder, names: Iterable[str]) -> list[str]:
    """Those of the objects whose content does not match their name."""
    return [name for name in names if file_md5(folder.path(name)) != name.removesuffix(".dir")]
