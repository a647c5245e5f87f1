"""The format of a backup: one tar.gz whose manifest names every file with its size and hash."""

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mlops_assets.failures import PermanentFailure, TransientFailure
from mlops_assets.files import replacing, sha256

FORMAT = 1
MANIFEST = "manifest.json"


class ArchiveBroken(PermanentFailure):
    """The file is not a complete backup; nothing was taken from it."""


class NotWritten(TransientFailure):
    """No room, or no permission, to write; no part of the archive is left."""


@dataclass(frozen=True)
class File:
    """One file below the archive's root."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an archive holds: when it was made (ISO time in UTC), by which versions, how many of what, every file."""

    made_at: str
    versions: Mapping[str, str]
    counts: Mapping[str, int]
    files: tuple[File, ...]
    format: int = FORMAT

    def has(self, name: str) -> bool:
        """Whether there is a file of this name, or a folder."""
        return any(file.name == name or file.name.startswith(f"{name}/") for file in self.files)


def write_archive(
    target: Path, folder: Path, made_at: str, versions: Mapping[str, str], counts: Mapping[str, int]
) -> Manifest:
    """Every file below `folder` as the archive `target`, which appears whole or not at all, readable by its owner."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotWritten(f"{target.parent} is no folder to write to ({error}): choose another with TO=") from error
    try:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files = tuple(File(path.relative_to(folder).as_posix(), path.stat().st_size, sha256(path)) for path in paths)
        manifest = Manifest(made_at, dict(versions), dict(counts), files)
        content = json.dumps(asdict(manifest), indent=1).encode()
        with replacing(target, mode=0o600) as scratch, tarfile.open(scratch, mode="w:gz", compresslevel=6) as tar:
            entry = tarfile.TarInfo(MANIFEST)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
            for path, file in zip(paths, files, strict=True):
                tar.add(path, arcname=file.name, recursive=False)
    except OSError as error:
        raise NotWritten(
            f"{target} could not be written ({error}): make room, or choose another folder with TO="
        ) from error
    return manifest


def unpack_archive(archive: Path, into: Path) -> Manifest:
    """The archive's files below the new folder `into`, each compared with the manifest.

    Raises `ArchiveBroken` if one is missing, changed or not named there.
    """
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:gz") as tar:
            manifest = _read_manifest(tar, archive)
            wanted = {file.name: file for file in manifest.files}
            into.mkdir(parents=True)
            while (member := tar.next()) is not None:
                named = wanted.pop(member.name, None)
                content = tar.extractfile(member) if member.isfile() else None
                if named is None or content is None:
                    raise _broken(archive, f"{member.name!r} is not in its manifest")
                target = into / named.name
                target.parent.mkdir(parents=True, exist_ok=True)
                if (found := _copy(content, target)) != (named.size, named.sha256):
                    raise _broken(archive, f"{named.name} has {found[0]} bytes with another hash than was written")
    except (tarfile.TarError, EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise _broken(archive, str(error)) from error
    except FileNotFoundError as error:
        raise ArchiveBroken(
            f"FILE names no file: {archive}. Nothing was changed; backups/ holds what was made"
        ) from error
    except OSError as error:
        raise NotWritten(f"{archive} could not be unpacked ({error}): make room, then restore again") from error
    if wanted:
        raise _broken(archive, f"{min(wanted)} is missing")
    return manifest


def _read_manifest(tar: tarfile.TarFile, archive: Path) -> Manifest:
    first = tar.next()
    content = tar.extractfile(first) if first is not None and first.name == MANIFEST else None
    if content is None:
        raise _broken(archive, f"it does not begin with {MANIFEST}")
    try:
        about: dict[str, Any] = json.load(content)
        if about["format"] != FORMAT:
            raise _broken(archive, f"its format is {about['format']}, this version reads {FORMAT}")
        files = tuple(File(**file) for file in about["files"])
        manifest = Manifest(about["made_at"], about["versions"], about["counts"], files)
    except (KeyError, TypeError) as error:
        raise _broken(archive, f"its manifest lacks {error}") from error
    for file in files:
        path = PurePosixPath(file.name)
        if path.is_absolute() or ".." in path.parts:
            raise _broken(archive, f"{file.name!r} leads out of its folder")
    return manifest


def _copy(content: Any, target: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as out:
        while block := content.read(1 << 20):
            out.write(block)
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def _broken(archive: Path, why: str) -> ArchiveBroken:
    return ArchiveBroken(f"{archive} is no whole backup: {why}. Nothing was changed; take another file")
