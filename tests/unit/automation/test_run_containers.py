"""A run whose container died has its last lines as its error, at once."""

from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from mlops_assets.automation.failed_runs import failure_of
from mlops_assets.automation.run_containers import RunContainers


class OneContainer(RunContainers):
    """The launcher, with a container that is not the engine's."""

    container: Any

    def _get_container(self, run: object) -> Any:  # noqa: ARG002  dagster_docker's
        return self.container


def container(status: str, **state: Any) -> Any:
    said = b"error: the image was built from another locks/dvc.txt than the clone's"
    return SimpleNamespace(status=status, name="c", attrs={"State": state}, logs=lambda **_: said)


@pytest.mark.parametrize(
    ("state", "reason"),
    [({"ExitCode": 78}, "code 78"), ({"ExitCode": 137, "OOMKilled": True}, "memory ran out (RUN_MEMORY)")],
)
def test_a_run_that_never_started_has_the_last_words_of_its_container(state: dict[str, Any], reason: str) -> None:
    with dg.instance_for_test() as instance:
        launcher = OneContainer()
        launcher.register_instance(instance)
        launcher.container = container("exited", **state)
        run = instance.add_run(dg.DagsterRun(job_name="pipeline", status=dg.DagsterRunStatus.STARTING))
        launcher._watch_start(run.run_id)
        said = failure_of(instance, run.run_id).reason
    assert f"The run never started: its container c ended with {reason}" in said
    assert "another locks/dvc.txt than the clone's" in said


def test_a_run_that_started_is_left_to_run_monitoring() -> None:
    with dg.instance_for_test() as instance:
        launcher = OneContainer()
        launcher.register_instance(instance)
        launcher.container = container("exited", ExitCode=137)
        run = instance.add_run(dg.DagsterRun(job_name="pipeline", status=dg.DagsterRunStatus.STARTED))
        launcher._watch_start(run.run_id)
        now = instance.get_run_by_id(run.run_id)
        assert now is not None
        assert now.status is dg.DagsterRunStatus.STARTED
        assert "ended with code 137" in str(launcher.get_run_worker_debug_info(now))
