"""A Docker engine of its own, which may be restarted: its own folders, and namespaces around it.

NAMESPACES python -m tests.integration.engine_restart FOLDER RELEASE IMAGE TAR…   with DOCKER_HOST=unix://FOLDER/e.sock

Prints as JSON the release that serves after the engine was ended and started again, and the seconds that it took.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mlops_assets.deploy.release import read_release
from mlops_assets.resources.docker_engine import DockerEngine, EngineDown
from mlops_assets.resources.docker_service import DockerService

SOCKET = "e.sock"
NAMESPACES = ("unshare", "--net", "--mount")
"""Its network is not the other engine's, and what it mounted goes with it."""
_READY_S = 60.0


class Engine:
    """A `dockerd` in `folder`."""

    def __init__(self, folder: Path) -> None:
        # No docker0: an engine that shares nothing needs no bridge of that name.
        self._command = ["dockerd", "--host", f"unix://{folder / SOCKET}", "--bridge", "none"]
        self._command += ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
        self._command += ["--pidfile", str(folder / "pid")]
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


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Engine]:
    """Alone with its containers; they and the engine are gone afterwards."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    engine = Engine(folder)
    engine.start()
    try:
        yield engine
    finally:
        engine.end()


def main(folder: Path, release: Path, image: str, tars: list[Path]) -> tuple[str, float]:
    with running(folder) as engine:
        with DockerEngine() as opened:
            for tar in tars:
                with tar.open("rb") as file:
                    opened.client.images.load(file)
        service = DockerService(folder / "state", 8080, project="mlops-engine")
        service.deploy(read_release(release), lambda _line: None, image=image, watch_s=0)
        engine.end()
        engine.start()
        started = time.monotonic()
        while (live := service.live()) is None and time.monotonic() < started + _READY_S:
            time.sleep(0.1)
        found = live.release_version if live else "nothing", round(time.monotonic() - started, 1)
        service.stop()
    return found


if __name__ == "__main__":
    where, wanted, name, *saved = sys.argv[1:]
    sys.stdout.write(json.dumps(main(Path(where), Path(wanted), name, list(map(Path, saved)))))
