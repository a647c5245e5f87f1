"""Files on disk: replaced whole and durably, their SHA-256, and a stamp that changes when they are written."""

import filecmp
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

Stamp = tuple[int, int, int]
"""Size in bytes, time of writing in nanoseconds, inode."""


def replace_file(path: Path, content: str | bytes, *, mode: int | None = None) -> None:
    """Write `path` whole or not at all, durably, with its folder; text as UTF-8.

    Without a `mode` the file gets the process's default permissions. With one, it has that mode from its first byte on.
    """
    with replacing(path, mode=mode) as scratch:
        scratch.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """An empty file beside `path` that takes its name when the block ends, and is removed if the block fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own for each writer: two processes that write the same file must not share a scratch file.
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        os.close(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode))
        if mode is not None:
            scratch.chmod(mode)  # The umask took bits from the mode above.
        yield scratch
        sync(scratch)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file's content, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def equal_bytes(path: Path, other: Path) -> bool:
    """Whether two files have the same content."""
    return filecmp.cmp(path, other, shallow=False)


def stamp(path: Path | os.DirEntry[str]) -> Stamp:
    """What tells a file apart from a later one under the same name, without reading it."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino
