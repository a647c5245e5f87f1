"""Folders of the private clone made equal to given files; the cost follows what changed.

A record keeps, for every file, its MD5 and the stamps (size, modification time, inode) of the source and of the copy.
If both stamps are as recorded, neither file is opened. Files of the same content are one file on the disk, and after
`dvc add` their object is the same file too (`cache.type` in `dvc/remote.py`).
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replace_file, stamp
from mlops_assets.versioning.dvc.objects import folder_object

RECORD = ".staged.json"

_CHUNK = 1 << 20


class Staging:
    """The staged folders of one clone."""

    def __init__(self, clone: Path) -> None:
        self._clone = clone
        self._path = clone / RECORD
        self._record: dict[str, dict[str, dict]] = self._read()
        self._copies: dict[str, Path] = {}
        """A staged file by the MD5 of its content."""
        self.bytes_copied = 0

    def make(self, folder: str, files: Mapping[str, Path]) -> None:
        """Make `<clone>/<folder>` hold exactly these files, by relative name."""
        target = self._clone / folder
        known = self._record.get(folder, {})
        fresh: dict[str, dict] = {}
        for name, source in sorted(files.items()):
            _refuse_outside(name)
            fresh[name] = self._copied(source, target / name, known.get(name))
        self._remove_others(target, fresh)
        if fresh != known:
            self._record[folder] = fresh
            self._save()

    def forget(self) -> None:
        """Have every file copied again."""
        self._path.unlink(missing_ok=True)

    def object_of(self, folder: str) -> str:
        """The object name that DVC gives to the staged folder."""
        return folder_object({name: entry["md5"] for name, entry in self._record[folder].items()})

    def objects(self, folder: str, files: Mapping[str, Path]) -> dict[str, str]:
        """The MD5 of those of the files that were staged under this name and have not changed since."""
        known = self._record.get(folder, {})
        return {
            name: known[name]["md5"]
            for name, path in files.items()
            if name in known and known[name]["source"] == _stamp_or_none(path)
        }

    def _copied(self, source: Path, copy: Path, known: dict | None) -> dict:
        try:
            source_stamp = list(stamp(source))
        except FileNotFoundError as error:
            raise PermanentFailure(f"{source} is missing: collect it again before it is versioned") from error
        if known and known["source"] == source_stamp and known["copy"] == _stamp_or_none(copy):
            self._copies.setdefault(known["md5"], copy)
            return known
        copy.parent.mkdir(parents=True, exist_ok=True)
        scratch = copy.with_name(copy.name + ".partial")
        digest = hashlib.md5(usedforsecurity=False)
        with source.open("rb") as reading, scratch.open("wb") as writing:
            while chunk := reading.read(_CHUNK):
                digest.update(chunk)
                writing.write(chunk)
        self.bytes_copied += scratch.stat().st_size
        md5 = digest.hexdigest()
        twin = self._copies.setdefault(md5, copy)
        if twin != copy:
            link = copy.with_name(copy.name + ".link.partial")
            with contextlib.suppress(OSError):  # no hard links here: it stays a copy
                os.link(twin, link)
                link.replace(scratch)
        scratch.replace(copy)
        return {"md5": md5, "source": source_stamp, "copy": list(stamp(copy))}

    def _remove_others(self, target: Path, wanted: Mapping[str, object]) -> None:
        target.mkdir(parents=True, exist_ok=True)
        for root, folders, names in os.walk(target, topdown=False):
            for name in names:
                path = Path(root, name)
                if path.relative_to(target).as_posix() not in wanted:
                    path.unlink()
            for name in folders:
                path = Path(root, name)
                if path.is_symlink():
                    path.unlink()
                else:
                    with contextlib.suppress(OSError):  # not empty: it holds wanted files
                        path.rmdir()

    def _save(self) -> None:
        replace_file(self._path, json.dumps(self._record))

    def _read(self) -> dict[str, dict[str, dict]]:
        try:
            return json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}  # everything is copied again, which is right and only slower


def _refuse_outside(name: str) -> None:
    if name.startswith("/") or ".." in Path(name).parts or name.endswith(".partial"):
        raise PermanentFailure(f"{name!r} must be a relative path inside the version, not .partial: rename the file")


def _stamp_or_none(path: Path) -> list[int] | None:
    try:
        return list(stamp(path))  # as JSON has it
    except (FileNotFoundError, NotADirectoryError):
        return None
