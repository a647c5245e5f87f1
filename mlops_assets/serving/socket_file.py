"""Addresses of Unix sockets in folders of any depth."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST_PATH = 100  # a Unix socket's address holds 108 bytes on Linux, 104 on macOS


@contextmanager
def unix_address(path: Path) -> Iterator[str]:
    """An address for the socket file `path` that is short enough however deep the folder lies."""
    if len(os.fsencode(path)) < _LONGEST_PATH or not sys.platform.startswith("linux"):
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
