"""The stack's run launcher: dagster_docker's, but a run whose container dies has its last lines as error."""

import contextlib
import threading
import time
from typing import Any

import dagster as dg
import docker.errors
from dagster_docker import DockerRunLauncher

_LAST_LINES = 20
_LOOK_S = 0.5
_MOST_S = 300.0
"""Then run monitoring ends a run that has not started."""
_UNFINISHED = {dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING}


class RunContainers(DockerRunLauncher):
    """A run's container stays until the next launch: the engine would remove its last words with it."""

    def launch_run(self, context: Any) -> None:
        """Also removes the containers of runs that ended, and watches that the new one starts its run."""
        self._remove_ended()
        super().launch_run(context)
        watching = threading.Thread(target=self._watch_start, args=(context.dagster_run.run_id,), daemon=True)
        watching.start()

    def get_run_worker_debug_info(self, run: Any, include_container_logs: bool | None = True) -> str | None:  # noqa: ARG002, FBT001, FBT002  Dagster's
        """What the container said last; run monitoring adds it to the error of a run that it ends."""
        container = self._get_container(run)
        return last_words(container) if container is not None else None

    def _watch_start(self, run_id: str) -> None:
        """Fail the run at once if its container ends before the run has started."""
        until = time.monotonic() + _MOST_S
        while time.monotonic() < until:
            run = self._instance.get_run_by_id(run_id)
            if run is None or run.status is not dg.DagsterRunStatus.STARTING:
                return
            container = self._get_container(run)
            if container is not None and container.status in {"exited", "dead"}:
                now = self._instance.get_run_by_id(run_id)
                if now is not None and now.status is dg.DagsterRunStatus.STARTING:
                    self._instance.report_run_failed(now, f"The run never started: {last_words(container)}")
                return
            time.sleep(_LOOK_S)

    def _remove_ended(self) -> None:
        labels = [f"{name}={value}" for name, value in self.container_kwargs.get("labels", {}).items()]
        client: Any = docker.from_env()
        try:
            for container in client.containers.list(all=True, filters={"status": "exited", "label": labels}):
                run = self._instance.get_run_by_id(container.labels.get("dagster/run_id", ""))
                if run is None or run.status not in _UNFINISHED:
                    with contextlib.suppress(docker.errors.NotFound):  # somebody else removed it
                        container.remove()
        finally:
            client.close()


def last_words(container: Any) -> str:
    """Why a container ended, and its last lines."""
    state = container.attrs["State"]
    reason = "memory ran out (RUN_MEMORY)" if state.get("OOMKilled") else f"code {state.get('ExitCode')}"
    lines = container.logs(tail=_LAST_LINES).decode("utf-8", "replace").strip()
    return f"its container {container.name} ended with {reason}, and said:\n{lines or '(nothing)'}"
