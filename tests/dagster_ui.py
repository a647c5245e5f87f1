"""`make ui` in a user's clone: webserver, daemon, schedule and sensors, as processes of their own."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from mlops_assets.cli.instance import open_instance
from tests.user_clone import PROJECT, free_port, settings_of


class DagsterUi:
    """The processes, on a port that stays the same from start to start."""

    def __init__(self, root: Path, **environ: str) -> None:
        self.root, self.port = root, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._client = httpx.Client(base_url=self.url, timeout=60, headers={"Connection": "close"})
        self._environ = {"DEPLOY_TARGET": "process", "DAGSTER_URL": self.url, **environ}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when the graph is loaded."""
        open_instance(settings_of(self.root, **self._environ)).dispose()
        with (self.root.parent / "ui.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    PROJECT / ".venv/bin/python",
                    "-m",
                    "mlops_assets.cli.webserver",
                    "dev",
                    "-w",
                    PROJECT / "workspace.yaml",
                    "-p",
                    str(self.port),
                ],
                cwd=self.root,
                env={
                    "PATH": os.environ["PATH"],  # noqa: TID251  git and its programs
                    "HOME": str(self.root.parent),
                    "PIPELINE_ROOT": str(self.root),
                    "DAGSTER_HOME": str(self.root / ".dagster"),
                    "DAGSTER_DISABLE_TELEMETRY": "1",
                    "OMP_WAIT_POLICY": "PASSIVE",
                    "OMP_NUM_THREADS": "1",
                    **self._environ,
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_for(self._loaded, "the graph to be loaded", within_s=600)

    def kill(self) -> None:
        """All of it at once, the runs at work too."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        if self._process is not None:
            self._end(signal.SIGTERM)

    def ask(self, query: str, **variables: Any) -> Any:
        """What the webserver's GraphQL interface answers; the UI asks the same."""
        reply = self._client.post("/graphql", json={"query": query, "variables": variables}).json()
        assert "errors" not in reply, reply
        return reply["data"]

    def wait_for(self, look: Callable[[], Any], what: str, *, within_s: float) -> Any:
        """The first answer that is true."""
        until = time.monotonic() + within_s
        while not (found := look()):
            assert self._process is not None
            assert self._process.poll() is None, f"the UI ended with {self._process.returncode}: {self._log()}"
            assert time.monotonic() < until, f"waited {within_s:.0f} s for {what}: {self._log()}"
            time.sleep(0.2)
        return found

    def _loaded(self) -> bool:
        try:
            return bool(self.ask("{assetNodes{id}}")["assetNodes"])
        except httpx.HTTPError:
            return False

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, how)
        self._process.wait(60)
        self._process = None

    def _log(self) -> str:
        return (self.root.parent / "ui.log").read_text(encoding="utf-8", errors="replace")[-3000:]
