"""Another machine with an engine, reached by the system's `ssh`: host keys, agent and `~/.ssh/config` apply.

One connection carries everything: the engine's socket and the ports and files there are forwarded to socket files of a
private folder. The Docker SDK's own SSH needs paramiko, and reaches the engine alone.
"""

import shlex
import shutil
import socket
import subprocess
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from mlops_assets.deploy.docker.engine import DockerEngine
from mlops_assets.deploy.docker.machine import HERE, EngineDown, Machine, SharedFolder, connected, owner_for
from mlops_assets.deploy.docker.ssh_connection import HostAway, SshConnection, end_process, one_line, output_of
from mlops_assets.settings import Settings

_ENGINE_SOCKET = "/var/run/docker.sock"
_FOLDER = ".mlops-assets"
"""In the home of the login: what containers mount, and the lock."""
_MISSING = 3
"""The exit code for a file that is not there."""


class ConnectionBroke(EngineDown):
    """The connection to the other machine ended in mid-work."""


class SshMachine:
    """The machine of an address such as `ssh://user@host:22`; a path behind it names the engine's socket there."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.name = self._destination = f"ssh://{parts.netloc}"
        self._hostname = parts.hostname or ""
        self._engine_socket = parts.path.rstrip("/") or _ENGINE_SOCKET
        self._connection: SshConnection | None = None
        self._folder: Path | None = None
        self._locked_project = ""
        self._lock: subprocess.Popen[bytes] | None = None
        self._broke = ""

    def public_host(self, host: str) -> str:
        # A loopback address is not this machine's either.
        named = host != "localhost" and not (ip_address(host).is_loopback or ip_address(host).is_unspecified)
        return host if named else self._hostname

    def engine(self) -> str:
        return f"unix://{self._open().forward(self._engine_socket)}"

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        target = f"{f'[{host}]' if ':' in host else host}:{port}"
        return connected(self._open().forward(target), timeout_s)

    def connect_file(self, path: str, timeout_s: float) -> socket.socket:
        """A connection to a socket file there; raises `OSError`."""
        return connected(self._open().forward(path), timeout_s)

    def folder(self, project: str, own: Path) -> SharedFolder:
        return _FolderThere(self, f"{self._projects()}/{project}/{own.name}")

    @property
    def owner(self) -> str:
        """`uid:gid` of the login."""
        return self._open().owner

    def run(self, script: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """What a script of the shell there does; raises `HostAway`."""
        return self._open().run(script, stdin)

    @contextmanager
    def locked(self, project: str) -> Iterator[None]:
        self._broke = ""
        self._open()
        self._take_lock(project, wait=True)
        try:
            yield
        finally:
            self._locked_project = ""
            self._give_lock_back()

    def again(self, *, prove: bool = False) -> None:
        if prove and self._connection is not None and not self._connection.answers():
            self._broke = self._broke or self._connection.ended(wait_s=1.0) or "no answer"
            self.close()
        self._open()

    def lost(self) -> str:
        if self._connection is not None and (words := self._connection.ended(wait_s=0.3)):
            self._broke = self._broke or words
        return self._broke

    def close(self) -> None:
        """End the connection; the next question makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _projects(self) -> str:
        return f"{self._open().home}/{_FOLDER}"

    def _open(self) -> SshConnection:
        """The connection, made anew if it broke. Whoever waited for the lock may have it by then."""
        if self._connection is not None:
            words = self._connection.ended()
            if not words:
                return self._connection
            self._connection.close()
            self._connection = None
            self._broke = self._broke or words
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="mlops-ssh-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._connection = SshConnection(self._destination, self._folder)
        weakref.finalize(self, self._connection.close)
        self._connection.forward(self._engine_socket)  # clients of before go on by the same address
        if self._locked_project:
            self._give_lock_back()
            try:
                self._take_lock(self._locked_project, wait=False)
            except BaseException:
                self._connection.close()  # nothing is done there without the lock
                raise
        return self._connection

    def _take_lock(self, project: str, *, wait: bool) -> None:
        folder = shlex.quote(f"{self._projects()}/{project}")
        held = "echo locked; exec cat"
        script = f"umask 077; mkdir -p {folder} && exec flock {'' if wait else '-n'} {folder}/lock sh -c '{held}'"
        self._lock = self._open().start(script)
        if output_of(self._lock).readline() != b"locked\n":
            self._give_lock_back()
            why = "another deployment there began after the connection broke"
            if wait:
                why = self.lost() or "the program flock is missing there, or the folder cannot be written"
            raise HostAway(f"{self.name}: the lock {self._projects()}/{project}/lock is not taken: {why}")
        self._locked_project = project

    def _give_lock_back(self) -> None:
        if self._lock is not None:
            end_process(self._lock)
            self._lock = None


def machine_of(settings: Settings) -> Machine:
    """The machine of the engine: DEPLOY_HOST, else this one."""
    return SshMachine(settings.deploy_host) if settings.deploy_host else HERE


def require_engine(settings: Settings) -> None:
    """Raise `EngineDown`, with the next step, if the engine of DEPLOY_HOST cannot be used."""
    with closing(SshMachine(settings.deploy_host)) as machine:
        DockerEngine(machine).close()


@dataclass(frozen=True)
class _FolderThere:
    machine: SshMachine
    path: str

    @property
    def owner(self) -> str:
        return owner_for(self.machine.owner)

    def read(self, name: str) -> str | None:
        file = shlex.quote(f"{self.path}/{name}")
        done = self.machine.run(f"[ -e {file} ] || exit {_MISSING}; exec cat {file}")
        return None if done.returncode == _MISSING else self._output(done, name).decode()

    def write(self, name: str, text: str, *, mode: int = 0o644) -> None:
        content = text.encode()
        folder, file, scratch = map(shlex.quote, (self.path, f"{self.path}/{name}", f"{self.path}/.{name}.new"))
        # The size is compared, because an input that breaks off looks like its end.
        script = (
            f"umask 077; mkdir -p {folder} && cat > {scratch} && [ $(wc -c < {scratch}) -eq {len(content)} ] "
            f"&& chmod {mode:o} {scratch} && chown {self.owner} {folder} {scratch} && mv -f {scratch} {file}"
        )
        self._output(self.machine.run(script, content), name)

    def remove(self, name: str) -> None:
        self._output(self.machine.run(f"rm -f {shlex.quote(f'{self.path}/{name}')}"), name)

    def open_to_all(self) -> None:
        folder = shlex.quote(self.path)
        self._output(self.machine.run(f"mkdir -p {folder} && chmod 755 {folder}"), "")

    def connect(self, name: str, timeout_s: float) -> socket.socket:
        return self.machine.connect_file(f"{self.path}/{name}", timeout_s)

    def _output(self, done: subprocess.CompletedProcess[bytes], name: str) -> bytes:
        if done.returncode:
            why = one_line(done.stderr) or f"exit code {done.returncode}"
            raise HostAway(f"{self.machine.name}: {self.path}/{name} is not read or written: {why}")
        return done.stdout
