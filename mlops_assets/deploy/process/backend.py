"""The deploy target `process`: server processes on this machine that outlive their deployer and hand on the port."""

# ruff: noqa: ARG002 - it promises what the other target needs, and needs none of it

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sys
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from mlops_assets.deploy.backend import Packaged, Part, PublicServer, Report, Target, host_to_ask, url_of
from mlops_assets.deploy.kept_logs import MOST_LINES, keep_log
from mlops_assets.deploy.process.control_socket import command, public_socket
from mlops_assets.deploy.process.system import alive, control_argument, ended, inherited, listen
from mlops_assets.deploy.release import Release
from mlops_assets.deploy.server_settings import ServerSettings
from mlops_assets.deploy.service_client import NoAnswer, Reply, ServiceClient
from mlops_assets.deploy.traffic import Traffic
from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replace_file
from mlops_assets.serving.log.request_log import REQUEST_LOG
from mlops_assets.serving.log.spool import SPOOL
from mlops_assets.serving.overview_file import LAST_SUCCESS, OVERVIEW, SHOWN

_HELLO_S, _READY_S = 5.0, 10.0
_STOP_S, _KILL_S = 20.0, 5.0
_LOG_LINES = 30
_OWN = re.compile(r"\w+-[0-9a-f]{6}")


@dataclass(frozen=True)
class ServerProcess:
    """One server process; `port` is its private port and 0 until it listens, `settings` are digests."""

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
    settings: Mapping[str, str] = field(default_factory=dict)


class ProcessBackend:
    """The deploy target `process`: implements `Backend` and, under the service's lock, `Servers`."""

    target: Target = "process"

    def __init__(
        self,
        folder: Path,
        port: int,
        host: str = "127.0.0.1",
        *,
        environment: Mapping[str, str] | None = None,
        key: str = "",
    ) -> None:
        """The service on `host:port`; `folder` holds its state and its processes' logs.

        `environment` is all that a server gets to see; `key` an API key for the deployer if keys are on.
        """
        self.folder, self._host, self._port, self._key = folder.absolute(), host, port, key
        self._environment = {
            **(environment or {}),
            "LAST_SUCCESS_FILE": str(self.folder / SHOWN / LAST_SUCCESS),
            "OVERVIEW_FILE": str(self.folder / SHOWN / OVERVIEW),
            "SPOOL_FILE": str(self.folder / SPOOL),
            "REQUEST_LOG_FILE": str(self.folder / REQUEST_LOG),
        }
        self._settings = ServerSettings(self.folder, environment or {}, host)
        self._state = self.folder / "state.json"
        self._public: socket.socket | None = None
        """A duplicate of the public port's socket, open during a deployment."""

    @property
    def url(self) -> str:
        return url_of(self._host, self._port)

    def usable(self) -> bool:
        return True

    def was_used(self) -> bool:
        return True

    def live(self) -> PublicServer | None:
        process = self._recorded()
        if process is None or process.public_port != self._port:
            return None
        other = self._settings.differing(process.settings)
        return PublicServer(self.public(), process.since, process.pid, self.moved_from(process), other)

    def trouble(self) -> str:
        """Nothing: a process that died is not restarted."""
        return ""

    def read_log(self, part: Part, lines: int, *, follow: bool) -> Iterator[str]:
        live = self._recorded()
        if live is not None and part != "gateway":
            path = self.folder / (REQUEST_LOG if part == "requests" else f"{live.name}/log")
            yield from self._lines(path, lines, live if follow else None)

    def packaged(self, release_version: str) -> None:
        """None: the release's folder is all that a process needs."""

    def package(self, release: Release, tags: Sequence[str], report: Report, *, made_by: str) -> None:
        """Nothing, as above."""

    @contextlib.contextmanager
    def servers(self, image: Packaged | None) -> "Iterator[ProcessBackend]":
        try:
            yield self
        finally:
            if self._public is not None:
                self._public.close()
                self._public = None

    def prune(self, keep: frozenset[str], report: Report, *, dry_run: bool) -> None:
        """Nothing: the folders of ended processes go with the next deployment."""

    def end(self) -> bool:
        live = self._recorded()
        if live is not None:
            self.stop(live)
        self.sweep()
        return live is not None

    def sweep(self) -> None:
        live = self.current()
        for process in self.processes():
            if live is None or process.pid != live.pid:
                self._end(process, self._control_of(process))
        for folder in self.folder.iterdir() if self.folder.is_dir() else []:
            if _OWN.fullmatch(folder.name) and (live is None or folder.name != live.name):
                self._keep_log(folder.name)
                shutil.rmtree(folder)

    def current(self) -> ServerProcess | None:
        """Raises `NoAnswer` if it serves its clients, but does not say hello: such a process is not ended."""
        recorded = self._recorded()
        if recorded is None:
            return None
        try:
            answer = command(self._control(recorded.name), "hello", timeout_s=_HELLO_S)
        except NoAnswer as error:
            if not self._ready(recorded):
                return None  # It hangs: the sweep ends it, a new process takes the port.
            raise NoAnswer(
                f"process {recorded.pid} serves port {recorded.public_port}, and {error}; nothing was changed: "
                "deploy again, or end it with make stop first"
            ) from error
        return replace(recorded, port=int(answer["port"]))

    def _recorded(self) -> ServerProcess | None:
        """The process that has the public port by our record, if it runs."""
        try:
            recorded = ServerProcess(**json.loads(self._state.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise PermanentFailure(f"{self._state} cannot be read ({error}): delete it and deploy again") from error
        return recorded if self.running(recorded) else None

    def _ready(self, instance: ServerProcess) -> bool:
        try:
            client = ServiceClient(host_to_ask(instance.public_host), instance.public_port, timeout_s=_READY_S)
            return client.ask("GET", "/ready").status == 200
        except NoAnswer:
            return False

    def as_set(self, instance: ServerProcess) -> bool:
        """False also if its folder was moved since it started: it reads and writes files at the old path."""
        other = self._settings.differing(instance.settings)
        return self._holds_address(instance) and not self.moved_from(instance) and not other

    def public(self) -> ServiceClient:
        return ServiceClient(host_to_ask(self._host), self._port, timeout_s=5)

    def moved_from(self, instance: ServerProcess) -> str:
        """The folder of a process that was started elsewhere, as before a move of this folder; empty for our own."""
        control = control_argument(instance.pid)
        started_in = control.parent.parent if control is not None else self.folder
        return "" if started_in == self.folder else str(started_in)

    def _holds_address(self, instance: ServerProcess) -> bool:
        return (instance.public_host, instance.public_port) == (self._host, self._port)

    def start(self, release: Release) -> ServerProcess:
        old = self.current()
        if old is not None and self._holds_address(old):
            self._public = public_socket(self._control(old.name))
        else:
            self._public = listen(self._host, self._port)
        name = f"{release.version}-{uuid.uuid4().hex[:6]}"
        folder = self.folder / name
        folder.mkdir(parents=True)
        # -P keeps the working directory off the path: another version of the sources may be there.
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
                    *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in inherited()),
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
            settings=self._settings.digests(),
        )

    def running(self, instance: ServerProcess) -> bool:
        return alive(instance.pid, instance.created)

    def ask(self, instance: ServerProcess, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        return self._client(instance).ask(method, path, body)

    def traffic(self, instance: ServerProcess) -> Traffic:
        return self._client(instance).traffic()

    def share(self, new: ServerProcess, percent: int) -> None:
        """Raises: the kernel gives each connection to any process that listens, and knows no shares."""
        raise PermanentFailure(f"target process cannot give {percent} % of the requests to a release: deploy at once")

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
        self._keep_log(instance.name)
        recorded = json.loads(self._state.read_text(encoding="utf-8")) if self._state.exists() else {}
        if recorded.get("name") == instance.name:
            self._state.unlink()

    def log(self, instance: ServerProcess) -> str:
        return "".join(self._lines(self.folder / instance.name / "log", _LOG_LINES)).rstrip()

    def _lines(self, path: Path, most: int, follow: ServerProcess | None = None) -> Iterator[str]:
        """The last lines of a log, then what the process `follow` writes until it ends. No file, no lines."""
        with contextlib.suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as log:
            yield from deque(log, maxlen=most)
            while follow is not None:
                running = self.running(follow)  # before the look: what it wrote last is read too
                yield from log
                if path.exists() and os.fstat(log.fileno()).st_ino != path.stat().st_ino:  # it was rotated
                    yield from self._lines(path, most, follow)
                    return
                if not running:
                    return
                time.sleep(0.2)

    def _keep_log(self, name: str) -> None:
        keep_log(self.folder, name, "".join(self._lines(self.folder / name / "log", MOST_LINES)))

    def _client(self, instance: ServerProcess) -> ServiceClient:
        port = instance.port or int(command(self._control(instance.name), "hello")["port"])
        return ServiceClient("127.0.0.1", port, key=self._key)

    def _control(self, name: str) -> Path:
        return self.folder / name / "control.sock"

    def _record(self, live: ServerProcess) -> None:
        replace_file(self._state, json.dumps(asdict(live), indent=1))

    def processes(self) -> Iterator[psutil.Process]:
        """Every server process that belongs to this folder, recorded or not."""
        for process in psutil.process_iter(["cmdline"]):
            control = self._control_of(process)
            if control is not None and alive(process.pid):
                yield process

    def _control_of(self, process: psutil.Process) -> Path | None:
        control = control_argument(process.pid)
        return control if control is not None and control.parent.parent == self.folder else None

    def _end(self, process: psutil.Process, control: Path | None) -> None:
        """Ask, then SIGTERM, then SIGKILL."""
        created = process.create_time()
        if control is not None:
            with contextlib.suppress(NoAnswer):  # If it does not obey, it gets a signal.
                command(control, "stop", timeout_s=2)
                if ended(process.pid, created, _STOP_S):
                    return
        # Asked by the signal it drains just as after `stop`.
        for sign, wait_s in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _KILL_S)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(sign)
            if ended(process.pid, created, wait_s):
                return
        raise PermanentFailure(f"process {process.pid} does not end even by SIGKILL: end it, then deploy again")
