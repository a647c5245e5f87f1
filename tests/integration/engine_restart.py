"""A Docker engine of its own, which may be restarted: its own folders, and namespaces around it.

NAMESPACES python -m tests.integration.engine_restart HOW FOLDER RELEASE IMAGE TAR…
with DOCKER_HOST=unix://FOLDER/e.sock, and HOW one of ENDS.

Prints as JSON the release that serves after the engine was ended and started again, and the seconds that it took.
"""

import contextlib
import ctypes
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from mlops_assets.deploy.backend import Packaged
from mlops_assets.deploy.docker.backend import DockerBackend
from mlops_assets.deploy.docker.engine import DockerEngine, EngineDown
from mlops_assets.deploy.docker.images import ImageRecord
from mlops_assets.deploy.release import read_release
from mlops_assets.deploy.service import Service
from mlops_assets.deploy.service_client import NoAnswer, ServiceClient
from mlops_assets.params.operations import Watching

SOCKET = "e.sock"
NAMESPACES = ("unshare", "--net", "--mount")
"""Its network is not the other engine's, and what it mounted goes with it."""
ENDS = ("ended", "killed", "crashed")
"""By its service manager; alone by SIGKILL; by SIGKILL, as all that runs in containers, and the machine boots."""
_READY_S = 180.0
_PORT = 8080
_PR_SET_CHILD_SUBREAPER = 36


class Engine:
    """A `dockerd` in `folder`."""

    def __init__(self, folder: Path) -> None:
        # No docker0: an engine that shares nothing needs no bridge of that name.
        self._command = ["dockerd", "--host", f"unix://{folder / SOCKET}", "--bridge", "none"]
        self._command += ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
        self._command += ["--pidfile", str(folder / "pid")]
        self._folder = folder
        self._log = folder / "dockerd.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until = time.monotonic() + _READY_S
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(EngineDown):
                DockerEngine().close()
                return
            time.sleep(0.1)
        raise RuntimeError(f"the engine does not start: {self._log.read_text(encoding='utf-8')[-2000:]}")

    def end(self) -> None:
        """As a service manager ends it; returns when the process is gone."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)

    def kill(self) -> None:
        """As the kernel ends it when memory is short; what runs in containers stays. Its containerd dies with it."""
        theirs = [process for process in self._processes() if process.name() == "containerd"]
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
        for process in theirs:
            with contextlib.suppress(psutil.NoSuchProcess):  # it went with its parent
                process.kill()
        psutil.wait_procs(theirs, timeout=20)

    def crash(self) -> None:
        """As a machine without power leaves it at the next boot: no process, no mount, and nothing in /run."""
        ours = self._processes()
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
        for process in ours:
            with contextlib.suppress(psutil.NoSuchProcess):  # it went with the one before
                process.send_signal(signal.SIGKILL)
        if psutil.wait_procs(ours, timeout=20)[1]:
            raise RuntimeError("processes of the engine outlive SIGKILL")
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
        for mount in reversed(mounts):
            if Path(mount).is_relative_to(self._folder):
                subprocess.run(["umount", "--lazy", mount], check=True)
        shutil.rmtree(self._folder / "exec")
        (self._folder / "pid").unlink()

    def _processes(self) -> list[psutil.Process]:
        """containerd, the shims and what runs in containers; a shim is nobody's child, but its arguments name us."""
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self._folder / "exec") in argument for argument in process.info["cmdline"] or ()):
                found |= {one.pid: one for one in (process, *process.children(recursive=True))}
        return list(found.values())


def _adopt_orphans() -> None:
    """Who loses its parent becomes a child of this process, which sees its end at once; PID 1 may be late."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Engine]:
    """Alone with its containers; they and the engine are gone afterwards."""
    _adopt_orphans()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    engine = Engine(folder)
    engine.start()
    try:
        yield engine
    finally:
        engine.end()


def _answers() -> bool:
    with contextlib.suppress(NoAnswer):  # which is the answer
        return ServiceClient("127.0.0.1", _PORT, timeout_s=2).ask("GET", "/live").status == 200
    return False


def main(how: str, folder: Path, release: Path, image: str, tars: list[Path]) -> tuple[str, float]:
    with running(folder) as engine:
        with DockerEngine() as opened:
            for tar in tars:
                with tar.open("rb") as file:
                    opened.client.images.load(file)
        wanted = read_release(release)
        (folder / "state").mkdir()
        ImageRecord(folder / "state" / "images.json").set(wanted.version, Packaged(image, (), 0))
        service = Service(DockerBackend(folder / "state", _PORT))
        service.deploy(wanted, lambda _line: None, watching=Watching(watch_s=0))
        {"ended": engine.end, "killed": engine.kill, "crashed": engine.crash}[how]()
        if how != "killed" and _answers():
            raise RuntimeError(f"the service answers although its engine was {how}: the test would prove nothing")
        engine.start()
        started = time.monotonic()
        while (live := service.live()) is None and time.monotonic() < started + _READY_S:
            time.sleep(0.1)
        found = live.release_version if live else "nothing", round(time.monotonic() - started, 1)
        service.stop()
    return found


if __name__ == "__main__":
    end, where, wanted, name, *saved = sys.argv[1:]
    sys.stdout.write(json.dumps(main(end, Path(where), Path(wanted), name, list(map(Path, saved)))))
