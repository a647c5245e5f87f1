"""Who launched a run, as the webserver behind the team server's door records it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from tests.integration.clients import wait_until
from tests.repository import ROOT
from tests.user_clone import free_port

pytestmark = pytest.mark.long
DEFINITIONS = """
import dagster as dg

@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def thing() -> None: ...

defs = dg.Definitions(assets=[thing], jobs=[dg.define_asset_job("job", [thing])])
"""
LAUNCH = """mutation ($run: ExecutionParams!) { launchRun(executionParams: $run) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
AGAIN = """mutation ($again: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $again) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """mutation ($backfill: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $backfill) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
JOB = {"repositoryLocationName": "made.py", "repositoryName": "__repository__", "jobName": "job"}
FORGED = [{"key": "started_by", "value": "somebody else"}, {"key": "dagster/partition", "value": "a"}]
RUN = {"run": {"selector": JOB, "executionMetadata": {"tags": FORGED}}}


class Webserver:
    """It runs as in the stack; nothing takes its runs out of the queue."""

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.port = home, port

    def ask(self, query: str, variables: Any, user: str = "") -> Any:
        headers = {"X-Door-User": user} if user else {}
        url, body = f"http://127.0.0.1:{self.port}/graphql", {"query": query, "variables": variables}
        reply = httpx.post(url, json=body, headers=headers, timeout=60).json()
        assert "errors" not in reply, reply
        (answer,) = reply["data"].values()
        return answer

    def started_by(self, run_id: str) -> str | None:
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            assert run.status is dg.DagsterRunStatus.QUEUED
            return run.tags.get("started_by")


@pytest.fixture(scope="module")
def webserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    home, port = tmp_path_factory.mktemp("home"), free_port()
    (home / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    (home / "made.py").write_text(DEFINITIONS)
    with dg.DagsterInstance.from_config(str(home)):
        pass  # its tables: the webserver and its code server would both make them
    environment = {
        "PATH": os.environ["PATH"],  # noqa: TID251  git and its programs
        "DAGSTER_HOME": str(home),
        "PIPELINE_ROOT": str(ROOT),
        "SHARED_INSTANCE": "1",
    }
    command = [ROOT / ".venv/bin/python", "-m", "mlops_assets.cli.webserver", "-p", str(port), "-f", home / "made.py"]
    with (home / "log").open("ab") as log, subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=log, stderr=log
    ) as process:  # fmt: skip
        try:
            started = Webserver(home, port)
            assert wait_until(lambda: answers(started), 120), (home / "log").read_text()
            yield started
        finally:
            process.terminate()


def answers(webserver: Webserver) -> bool:
    try:
        return bool(webserver.ask("{ assetNodes { id } }", {}))
    except (httpx.HTTPError, AssertionError):
        return False


def test_the_login_at_the_door_is_who_started_a_run_whatever_its_tags_say(webserver: Webserver) -> None:
    launched = webserver.ask(LAUNCH, RUN, "oki")
    assert webserver.started_by(launched["run"]["runId"]) == "oki"
    again = {"again": {"parentRunId": launched["run"]["runId"], "strategy": "ALL_STEPS", "useParentRunTags": True}}
    assert webserver.started_by(webserver.ask(AGAIN, again, "ana")["run"]["runId"]) == "ana"


def test_a_backfill_keeps_the_name_for_the_runs_that_the_daemon_makes_of_it(webserver: Webserver) -> None:
    backfill = {"assetSelection": [{"path": ["thing"]}], "partitionNames": ["a", "b"], "tags": FORGED[:1]}
    made = webserver.ask(BACKFILL, {"backfill": backfill}, "oki")
    with dg.DagsterInstance.from_config(str(webserver.home)) as instance:
        found = instance.get_backfill(made["backfillId"])
        assert found is not None
        assert found.tags["started_by"] == "oki"


def test_who_asks_past_the_door_is_nobody(webserver: Webserver) -> None:
    run = {"selector": JOB, "executionMetadata": {"tags": FORGED[1:]}}
    launched = webserver.ask(LAUNCH, {"run": run})
    assert webserver.started_by(launched["run"]["runId"]) is None
