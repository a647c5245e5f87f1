"""Server processes on this machine: detached, found again by what they are, their public socket handed on."""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import socket
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from mlops_assets.deploy.process.control_socket import command, public_socket
from mlops_assets.deploy.release import Release
from mlops_assets.deploy.rollout import NoAnswer, Reply
from mlops_assets.deploy.service_client import ServiceClient
from mlops_assets.deploy.traffic import Traffic
from mlops_assets.failures import PermanentFailure

_STOP_S, _KILL_S, _RELEASE_S = 20.0, 5.0, 3.0
_LOG_LINES = 30
_OWN = re.compile(r"\w+-[0-9a-f]{6}")


class PortTaken(PermanentFailure):
    """A foreign process holds the public port."""


@dataclass(frozen=True)
class ServerProcess:
    """One server process; `port` is its private port and 0 until it listens."""

    name: str
    pid: int
    created: float
    release_version: str
    model_version: str
    dataset_version: str
    public_host: str
    public_port: int
    since: str
    port: int = 0


class ProcessBackend:
    """Implements `deploy.rollout.Backend`. One deployment at a time; the caller holds the lock."""

    def __init__(self, folder: Path, host: str, port: int, environment: Mapping[str, str], key: str = "") -> None:
        self._folder, self._host, self._port = folder.absolute(), host, port
        self._environment, self._key = dict(environment), key
        self._public: socket.socket | None = None

    @property
    def _state(self) -> Path:
        return self._folder / "state.json"

    def close(self) -> None:
        """Give back the duplicate of the public socket."""
        if self._public is not None:
            self._public.close()
            self._public = None

    def sweep(self) -> None:
        live = self.current()
        for process in self.processes():
            if live is None or process.pid != live.pid:
                self._end(process, self._control_of(process))
        for folder in self._folder.iterdir() if self._folder.is_dir() else []:
            if _OWN.fullmatch(folder.name) and (live is None or folder.name != live.name):
                shutil.rmtree(folder)

    def current(self) -> ServerProcess | None:
        try:
            recorded = ServerProcess(**json.loads(self._state.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise PermanentFailure(f"{self._state} cannot be read ({error}): delete it and deploy again") from error
        if not self.running(recorded):
            return None
        try:
            answer = command(self._control(recorded.name), "hello", timeout_s=5)
        except NoAnswer:
            return None  # It hangs: the sweep ends it, a new one takes the port.
        return replace(recorded, port=int(answer["port"]))

    def public(self, instance: ServerProcess) -> bool:
        """Not where it was started in a folder that was moved since: it reads and writes files at the old place."""
        return self._holds_address(instance) and not self.moved_from(instance)

    def moved_from(self, instance: ServerProcess) -> str:
        """The folder of a process that was started elsewhere, as before a move of this folder; empty for our own."""
        control = _control_argument(instance.pid)
        started_in = control.parent.parent if control is not None else self._folder
        return "" if started_in == self._folder else str(started_in)

    def _holds_address(self, instance: ServerProcess) -> bool:
        return (instance.public_host, instance.public_port) == (self._host, self._port)

    def start(self, release: Release) -> ServerProcess:
        old = self.current()
        self.close()
        if old is not None and self._holds_address(old):
            self._public = public_socket(self._control(old.name))
        else:
            self._public = _bind(self._host, self._port)
        name = f"{release.version}-{uuid.uuid4().hex[:6]}"
        folder = self._folder / name
        folder.mkdir(parents=True)
        # -P: the working directory is not on the path, where another version of the sources may lie.
        arguments = (
            sys.executable, "-P", "-m", "mlops_assets.serving", "--model", str(release.model), "--host", "127.0.0.1",
            "--port", "0", "--release", release.version, "--control", str(self._control(name)),
        )  # fmt: skip
        environment = {**self._environment, "PYTHONPATH": str(release.app), "PYTHONDONTWRITEBYTECODE": "1"}
        with (folder / "log").open("ab") as log:
            pid = os.posix_spawn(
                sys.executable,
                arguments,
                environment,
                setsid=True,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
                    *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _inherited()),
                ],
            )
        return ServerProcess(
            name=name,
            pid=pid,
            created=psutil.Process(pid).create_time(),
            release_version=release.version,
            model_version=release.model_version,
            dataset_version=release.dataset_version,
            public_host=self._host,
            public_port=self._port,
            since=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def running(self, instance: ServerProcess) -> bool:
        return _alive(instance.pid, instance.created)

    def ask(self, instance: ServerProcess, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        return self._client(instance).ask(method, path, body)

    def traffic(self, instance: ServerProcess) -> Traffic:
        return self._client(instance).traffic()

    def switch(self, new: ServerProcess, old: ServerProcess | None) -> None:
        """`new` listens first, so that somebody always does; the record changes between the two."""
        command(self._control(new.name), "listen", give=self._public)
        self._record(new)
        if old is not None and self.running(old):
            with contextlib.suppress(NoAnswer):  # It has just died, or dies with the stop that follows.
                command(self._control(old.name), "pause")

    def stop(self, instance: ServerProcess) -> None:
        if self.running(instance):
            self._end(psutil.Process(instance.pid), self._control(instance.name))
        recorded = json.loads(self._state.read_text(encoding="utf-8")) if self._state.exists() else {}
        if recorded.get("name") == instance.name:
            self._state.unlink()

    def log(self, instance: ServerProcess) -> str:
        path = self._folder / instance.name / "log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        return "\n".join(lines[-_LOG_LINES:])

    def _client(self, instance: ServerProcess) -> ServiceClient:
        port = instance.port or int(command(self._control(instance.name), "hello")["port"])
        return ServiceClient("127.0.0.1", port, key=self._key)

    def _control(self, name: str) -> Path:
        return self._folder / name / "control.sock"

    def _record(self, live: ServerProcess) -> None:
        scratch = self._state.with_suffix(".partial")
        with scratch.open("w", encoding="utf-8") as file:
            json.dump(asdict(live), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self._state)

    def processes(self) -> Iterator[psutil.Process]:
        """Every server process that belongs to this folder, recorded or not."""
        for process in psutil.process_iter(["cmdline"]):
            control = self._control_of(process)
            if control is not None and _alive(process.pid):
                yield process

    def _control_of(self, process: psutil.Process) -> Path | None:
        control = _control_argument(process.pid)
        return control if control is not None and control.parent.parent == self._folder else None

    def _end(self, process: psutil.Process, control: Path | None) -> None:
        """Ask, then SIGTERM, then SIGKILL."""
        created = process.create_time()
        if control is not None:
            with contextlib.suppress(NoAnswer):  # One that does not obey gets a signal.
                command(control, "stop", timeout_s=2)
                if _ended(process.pid, created, _STOP_S):
                    return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(sign)
            if _ended(process.pid, created, _KILL_S):
                return
        raise PermanentFailure(f"process {process.pid} does not end even by SIGKILL: end it, then deploy again")


def _control_argument(pid: int) -> Path | None:
    """The control socket that a server process was started with; None for any other process."""
    try:
        arguments = psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return None
    if "mlops_assets.serving" not in arguments or "--control" not in arguments[:-1]:
        return None
    return Path(arguments[arguments.index("--control") + 1])


def _inherited() -> list[int]:
    """Descriptors beyond the standard three that a child would get from this process, such as the lock of a cron job
    that runs `flock`: a server that outlives the deployer must not hold it.
    """
    found = []
    for name in os.listdir("/dev/fd"):  # noqa: PTH208  # numbers, not files
        with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket; raises `PortTaken` with the holder.

    A killed process is gone before the kernel has closed its sockets, so a port that nobody is seen to hold is tried
    for a while.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    until = time.monotonic() + _RELEASE_S
    while True:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(2048)
        except OSError as error:
            listening.close()
            holder = _holder(port) if error.errno == errno.EADDRINUSE else ""
            if error.errno != errno.EADDRINUSE or holder or time.monotonic() > until:
                raise PortTaken(
                    f"port {port} on {host} cannot be taken ({error.strerror}): "
                    f"{holder or 'no process of this user is seen to hold it'}; "
                    "end what holds it, or choose another port with PORT="
                ) from error
            time.sleep(0.05)
        else:
            return listening


def _holder(port: int) -> str:
    """Who listens on the port, as far as the system tells; empty where it names no living process."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or connection.laddr.port != port:
            continue
        if connection.pid is not None and _alive(connection.pid):
            with contextlib.suppress(psutil.Error):
                name = " ".join(psutil.Process(connection.pid).cmdline())[:120]
                return f"process {connection.pid} holds it: {name}"
    return ""


def _alive(pid: int, created: float | None = None) -> bool:
    """Whether this very process runs; a number that another process got since does not count."""
    with contextlib.suppress(ChildProcessError):  # It may be no child of this process.
        os.waitpid(pid, os.WNOHANG)
    try:
        process = psutil.Process(pid)
        if created is not None and abs(process.create_time() - created) > 1:
            return False
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _ended(pid: int, created: float, timeout_s: float) -> bool:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if not _alive(pid, created):
            return True
        time.sleep(0.02)
    return not _alive(pid, created)
