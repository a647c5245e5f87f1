"""Runs whose process is gone are ended, and runs whose process lives are left alone."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.automation.sensors.orphans import end_orphaned_runs, end_orphans
from mlops_assets.cli.instance import open_instance
from tests.user_clone import make_clone, settings_of

STARTED = """
import os, sys, dagster as dg
from dagster import DagsterInstance
from mlops_assets.cli.instance import open_instance
from mlops_assets.settings import Settings
from pathlib import Path

@dg.op(pool="repository")
def wait_to_be_killed():
    print("running", flush=True)
    sys.stdin.read()

@dg.job(executor_def=dg.in_process_executor)
def waiting():
    wait_to_be_killed()

with open_instance(Settings.load({}, Path(sys.argv[1]))) as instance:
    waiting.execute_in_process(instance=instance)
"""


@pytest.mark.slow
def test_a_killed_run_is_ended_and_a_living_one_is_not(tmp_path: Path) -> None:
    settings = settings_of(make_clone(tmp_path / "clone"))
    with subprocess.Popen(
        [sys.executable, "-c", STARTED, str(settings.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[4],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        with open_instance(settings) as instance:
            assert end_orphans(instance) == []
            assert "has its process" in _tick(instance)
            process.kill()
            process.wait(timeout=30)
            (run,) = instance.get_runs()
            assert _tick(instance) == f"ended {run.run_id}"
            ended = instance.get_run_by_id(run.run_id)
            assert ended is not None
            assert ended.status is dg.DagsterRunStatus.FAILURE
            pools = instance.event_log_storage.get_concurrency_info("repository")
            assert pools.active_slot_count == 0
            assert end_orphans(instance) == []


def _tick(instance: dg.DagsterInstance) -> str:
    """What the daemon's sensor says."""
    with dg.build_sensor_context(instance=instance) as context:
        return str(end_orphaned_runs.evaluate_tick(context).skip_message)
