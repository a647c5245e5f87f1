"""The machine that the engine runs on: here this one. `ssh_machine.py` reaches another."""

import os
import socket
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlops_assets.failures import OutsideFailure
from mlops_assets.files import replace_file
from mlops_assets.serving.socket_file import unix_address


class EngineDown(OutsideFailure):
    """No engine answers."""


class SharedFolder(Protocol):
    """A folder on the engine's machine that a container mounts."""

    @property
    def path(self) -> str:
        """Its path on that machine."""
        ...

    @property
    def owner(self) -> str:
        """`uid:gid` of its owner: a container that runs as this one may write to the folder."""
        ...

    def read(self, name: str) -> str | None:
        """A file's text, or None if there is no such file."""
        ...

    def write(self, name: str, text: str, *, mode: int = 0o644) -> None:
        """Replace a file whole."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        ...

    def open_to_all(self) -> None:
        """Let a container of any user read it; it is made if it is missing."""
        ...

    def connect(self, name: str, timeout_s: float) -> socket.socket:
        """A connection to a socket file in it; raises `OSError`."""
        ...


class Machine(Protocol):
    """Where the engine runs. The methods raise `EngineDown` if the machine cannot be reached."""

    @property
    def name(self) -> str:
        """For messages; empty for this machine."""
        ...

    def public_host(self, host: str) -> str:
        """The name by which clients find what listens on `host` there."""
        ...

    def engine(self) -> str:
        """The engine's address as this process reaches it; empty for the one that the environment names."""
        ...

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """A connection to `host:port` as that machine sees it; raises `OSError`."""
        ...

    def folder(self, project: str, own: Path) -> SharedFolder:
        """The folder of `project` there that stands for `own`."""
        ...

    def locked(self, project: str) -> AbstractContextManager[None]:
        """Alone with the project among all that deploy to that machine from elsewhere."""
        ...

    def again(self, *, prove: bool = False) -> None:
        """Connect anew if the connection broke. A break takes a moment to show: `prove` asks over the connection."""
        ...

    def lost(self) -> str:
        """How the connection broke since the lock was taken; empty if it did not."""
        ...


_FOR_ROOT = "10001:10001"
"""Who owns what root shares with a container, and runs it: no container is root, and root may use what is another's."""


def owner_for(user: str) -> str:
    """`uid:gid` of who owns what `user`, as `uid:gid`, shares with a container, and runs it."""
    return _FOR_ROOT if user.split(":", maxsplit=1)[0] == "0" else user


def connected(path: Path, timeout_s: float) -> socket.socket:
    """A connection to a socket file of this machine; raises `OSError`."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        with unix_address(path) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


@dataclass(frozen=True)
class _FolderHere:
    folder: Path

    @property
    def path(self) -> str:
        return str(self.folder.absolute())

    @property
    def owner(self) -> str:
        return owner_for(f"{os.getuid()}:{os.getgid()}")

    def read(self, name: str) -> str | None:
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def write(self, name: str, text: str, *, mode: int = 0o644) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / name, text, mode=mode)
        if not os.getuid():
            for path in (self.folder, self.folder / name):
                os.chown(path, *map(int, self.owner.split(":")))

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def open_to_all(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def connect(self, name: str, timeout_s: float) -> socket.socket:
        return connected(self.folder.absolute() / name, timeout_s)


class ThisMachine:
    """The engine is this machine's, or the one that DOCKER_HOST names."""

    name = ""

    def public_host(self, host: str) -> str:
        return host

    def engine(self) -> str:
        return ""

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        return socket.create_connection((host, port), timeout_s)

    def folder(self, project: str, own: Path) -> SharedFolder:
        del project
        return _FolderHere(own)

    def locked(self, project: str) -> AbstractContextManager[None]:
        del project
        return nullcontext()  # the service's own lock suffices

    def again(self, *, prove: bool = False) -> None:
        """Nothing lies between."""

    def lost(self) -> str:
        return ""


HERE = ThisMachine()
