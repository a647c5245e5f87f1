"""The stack for real: runs through its door, a killed one, a backfill, a backup, down and up again."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.docker_engine import engine_or_skip
from tests.stack_machine import APPS, LOOK, ORCHESTRATOR, SECRETS, UID, Stack, eventually
from tests.user_clone import PROJECT

pytestmark = [pytest.mark.long, pytest.mark.docker]


LAUNCH = """mutation ($run: ExecutionParams!) { launchPipelineExecution(executionParams: $run) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""

ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


def test_a_run_launched_at_the_door_has_a_container_a_summary_and_leaves_nothing(stack: Stack) -> None:
    run_id = launch(stack, "pipeline", months("sample.app") | {"started_by": "somebody else"})
    about = eventually(lambda: of_run(stack, run_id), "the run has a container")
    assert about.attrs["Config"]["User"].startswith("23456:")
    assert about.attrs["HostConfig"]["Memory"] == 3 * 1024**3
    command = json.dumps(about.attrs["Config"]["Cmd"])
    assert not any(secret in command for secret in SECRETS.values())
    ended = finished(stack, run_id)
    assert ended["status"] == "SUCCESS", events(stack, run_id)
    assert eventually(lambda: of_run(stack, run_id), "its container stays").logs()
    summary = stack.root / ".dagster" / "summaries" / f"{run_id}.json"
    eventually(summary.is_file, "its summary is there")
    stages = json.loads(summary.read_text(encoding="utf-8"))
    assert (stages["status"], stages["trigger"]) == ("SUCCESS", "by oki")
    answer = httpx.post(f"http://127.0.0.1:{stack.port}/predict", json={"text": "Aplikasinya bagus"}, timeout=20)
    assert answer.status_code == 200
    eventually(lambda: psql(stack, "reviews", "SELECT count(*) FROM predictions") != "0", "the prediction is logged")
    with engine_or_skip() as engine:
        serving = engine.containers(f"mlops.project=mlops-{stack.port}")
        environments = [container.attrs["Config"]["Env"] for container in serving]
    assert ["POSTGRES_USER=prediction_log" in environment for environment in environments].count(True) == 1
    assert SECRETS["POSTGRES_PASSWORD"] not in json.dumps(environments)
    query = {"query": 'up{job="model-service"}'}
    with stack.client(*LOOK) as look:
        eventually(
            lambda: (
                [one["value"][1] for one in look.get("/prometheus/api/v1/query", params=query).json()["data"]["result"]]
                == ["1"]
            ),
            "Prometheus sees the model",
        )


def test_commands_on_the_host_act_inside_the_stack_as_its_owner(stack: Stack) -> None:
    told = {target: stack.make(target) for target in ("status", "why", "versions", "deployments")}
    assert {target: done.returncode for target, done in told.items()} == dict.fromkeys(told, 0), told
    assert told["status"].stdout.startswith("Live: model")
    assert "Waits: these settings" not in told["status"].stdout
    assert "run_on_git_change" in told["why"].stdout
    live = httpx.get(f"http://127.0.0.1:{stack.port}/health", timeout=60).json()
    assert live["model_version"] in told["versions"].stdout
    rolled_back = stack.make("rollback", TO=live["release_version"])
    assert rolled_back.returncode == 0, rolled_back.stderr
    restored = stack.make("restore", VERSION=live["model_version"])
    assert restored.returncode == 0, restored.stderr
    erased = stack.make("erase", REVIEW="nobody's")
    assert "No current file holds it" in erased.stdout, erased.stderr
    with image_of_an_earlier_build() as old:
        listed = stack.make("prune", DRY_RUN="1").stdout
        assert f"remove image {old[:19]} of an earlier build of the stack (" in listed
        assert "nothing was removed" in listed
        assert engine_or_skip().has_image(old)
    assert "Uvicorn running" in stack.make("logs").stdout
    assert '"path": "/predict"' in stack.make("logs", WHAT="requests").stdout
    assert "door" in stack.make("logs", WHAT="door").stdout
    counted = stack.make("labels")
    assert counted.returncode == 0, counted.stderr
    assert "outside of the clone" in stack.make("labels", TO="../labels.csv").stderr
    assert stack.make("run").returncode != 0
    answer = httpx.post(f"http://127.0.0.1:{stack.port}/predict", json={"text": "Aplikasinya bagus"}, timeout=20)
    assert answer.status_code == 200
    owners = {
        path.lstat().st_uid for folder in (".dagster", ".serving", "data") for path in (stack.root / folder).rglob("*")
    }
    assert owners == {UID}
    assert not (stack.root / ".venv").exists()


def test_a_run_whose_container_refuses_to_start_ends_at_once_with_what_it_said(stack: Stack) -> None:
    lock = stack.root / "locks" / "dvc.txt"
    before = lock.read_text(encoding="utf-8")
    lock.write_text(f"{before}# another\n", encoding="utf-8")
    try:
        run_id = launch(stack, "pipeline", months("sample.app"))
        assert finished(stack, run_id)["status"] == "FAILURE"
        assert "another locks/dvc.txt than the clone's: make up builds it again" in failure(stack, run_id)
        # It is retried once, which ends in the same way and holds back nothing.
        again = eventually(lambda: retry_of(stack, run_id), "it is retried")
        assert finished(stack, again["runId"])["status"] == "FAILURE"
    finally:
        lock.write_text(before, encoding="utf-8")


def test_a_killed_run_container_is_noticed_and_tried_again(stack: Stack) -> None:
    run_id = launch(stack, "pipeline", months("sample.app"))
    eventually(lambda: status(stack, run_id) == "STARTED", "the run works")
    running = [found for found in engine_or_skip().containers("dagster/run_id") if found.status == "running"]
    ended = [found for found in engine_or_skip().containers(f"mlops.stack={stack.project}") if found not in running]
    assert ended == [], "the containers of runs that ended are gone"
    of_run(stack, run_id).kill()
    assert finished(stack, run_id)["status"] == "FAILURE"
    again = eventually(lambda: retry_of(stack, run_id), "it is retried")
    assert finished(stack, again["runId"])["status"] == "SUCCESS", events(stack, again["runId"])
    eventually((stack.root / ".dagster" / "summaries" / f"{run_id}.json").is_file, "the killed one has its summary")


def test_a_backfill_of_months_and_apps_runs_several_at_once(stack: Stack) -> None:
    keys = [f"{app}|{month}" for app in APPS for month in ("2025-11", "2025-12", "2026-01")]
    query = """mutation ($backfill: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $backfill) {
      __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
    told = stack.graphql(query, {"backfill": {"assetSelection": [{"path": ["raw_reviews"]}], "partitionNames": keys}})
    backfill = told["launchPartitionBackfill"]["backfillId"]

    def done() -> list[dict[str, Any]] | None:
        found = [run for run in stack.runs() if tag(run, "dagster/backfill") == backfill]
        return found if len(found) == len(APPS) and all(run["status"] in ENDED for run in found) else None

    found = eventually(done, "the backfill ends")
    assert {run["status"] for run in found} == {"SUCCESS"}
    assert {tag(run, "started_by") for run in found} == {"oki"}
    starts, ends = sorted(run["startTime"] for run in found), sorted(run["endTime"] for run in found)
    assert starts[1] < ends[0], "the second began before the first had ended"


def test_down_keeps_model_and_history_and_a_backup_brings_the_history_back(
    stack: Stack,
) -> None:
    eventually(lambda: all(run["status"] in ENDED for run in stack.runs()), "no run is at work")
    before = {run["runId"]: run["status"] for run in stack.runs()}
    assert len(before) >= 4
    count = {"reviews": "SELECT count(*) FROM predictions", "dagster": "SELECT count(*) FROM event_logs"}
    saved = backup_command(stack, "backup")
    assert saved.returncode == 0, saved.stderr
    counted = {database: int(psql(stack, database, query)) for database, query in count.items()}
    (archive,) = (stack.root / "backups").glob("*.tar.gz")
    content = subprocess.run(["gzip", "-dc", str(archive)], check=True, capture_output=True).stdout
    assert not [name for name, secret in SECRETS.items() if secret.encode() in content]
    refused = backup_command(stack, "restore-backup", "--file", str(archive), "--overwrite", "1")
    assert refused.returncode == 2
    assert "database dagster is in use" in refused.stderr

    down = stack.make("down")
    assert down.returncode == 0, down.stderr
    assert stack.containers() == []
    ask = f"http://127.0.0.1:{stack.port}/predict"
    assert httpx.post(ask, json={"text": "bagus"}, timeout=20).status_code == 200
    stack.compose("database")
    assert all(int(psql(stack, database, query)) >= counted[database] for database, query in count.items())

    stack.compose("rm", "--stop", "--force", "postgres")
    with engine_or_skip() as engine:
        engine.client.volumes.get(f"{stack.project}-postgres").remove()
    shutil.rmtree(stack.root / ".dagster")
    (stack.root / ".serving" / "deployments.sqlite").unlink()
    stack.compose("database")
    restored = backup_command(stack, "restore-backup", "--file", str(archive))
    assert restored.returncode == 0, restored.stderr
    up = stack.make("up", SKIP_BUILD="1")
    assert up.returncode == 0, f"{up.stderr}\n{stack.logs()}"
    assert {run["runId"]: run["status"] for run in stack.runs()} == before
    assert all(int(psql(stack, database, query)) >= counted[database] for database, query in count.items())
    assert len(list((stack.root / ".dagster" / "summaries").glob("*.json"))) > 1
    assert psql(stack, "dagster", "SELECT has_table_privilege('reader', 'runs', 'SELECT')") == "t"

    assert stack.make("down", SERVICE="1").returncode == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{stack.port}/ready", timeout=5)


def test_up_starts_the_model_too(stack: Stack) -> None:
    up = stack.make("up", SKIP_BUILD="1")
    assert up.returncode == 0, f"{up.stderr}\n{stack.logs()}"
    assert "started anew, at http://" in up.stdout
    assert "Creating" not in up.stdout + up.stderr, "Docker's own lines are for failures"
    assert httpx.post(f"http://127.0.0.1:{stack.port}/predict", json={"text": "bagus"}, timeout=20).status_code == 200


def test_up_makes_what_is_written_what_runs_and_says_what_it_changed(stack: Stack) -> None:
    """Every secret is another one, a colleague left, and an alert, the door, a parameter and the code changed."""
    old = dict(stack.environment)
    key, reader = "0d9a6c7b1e2f", stack.root / "stack" / "made" / "grafana" / "reader_password"
    readers = reader.read_text()
    stack.environment |= {
        "POSTGRES_PASSWORD": "c47e91b0d2aa6f38",
        "LOOK_LOGINS": "eva:5b7c0e9d1f2a8346",
        "API_KEYS": f"team:{hashlib.sha256(key.encode()).hexdigest()}",
        "DEPLOY_KEY": key,
    }
    stack.write_env()
    group = {"name": "added", "rules": [{"alert": "Added", "expr": "vector(0) == 1"}]}
    (stack.root / "stack" / "prometheus" / "rules" / "added.yml").write_text(json.dumps({"groups": [group]}))
    with (stack.root / "stack" / "door" / "haproxy.cfg").open("a") as door:
        door.write("  http-response set-header X-Added 1\n")
    with (stack.root / "mlops_assets" / "workspace.py").open("a") as code:
        code.write("ADDED = 1\n")

    with image_of_an_earlier_build() as image:
        up = stack.make("up", SKIP_BUILD="1", ROTATE="1")
        assert up.returncode == 0, f"{up.stdout[-3000:]}\n{up.stderr[-3000:]}\n{stack.logs()}"
        assert f"remove image {image[:19]} of an earlier build of the stack (" in up.stdout
        with engine_or_skip() as engine:
            assert not engine.has_image(image)
            present = engine.client.images.get(ORCHESTRATOR)
    assert present.labels["mlops.orchestrator"] == ORCHESTRATOR, "the next build's predecessor is found by this"
    (said,) = (line for line in up.stdout.splitlines() if line.startswith("Started anew: "))
    for service in ("postgres", "code", "daemon", "webserver", "webserver-readonly", "door (its files)",
                    "grafana (its files)", "prometheus (its files)"):  # fmt: skip
        assert service in said
    assert "node-exporter" not in said

    with stack.client(*LOOK) as gone, stack.client("eva", "5b7c0e9d1f2a8346") as eva:
        assert gone.get("/prometheus/").status_code == 401
        rules = eva.get("/prometheus/api/v1/rules").json()["data"]["groups"]
        assert "added" in {found["name"] for found in rules}
        assert stack.graphql("{ version }", client=eva)
    ask = f"http://127.0.0.1:{stack.port}/predict"
    assert httpx.post(ask, json={"text": "bagus"}, timeout=20).status_code == 401
    logged = psql(stack, "reviews", "SELECT count(*) FROM predictions")
    keyed = httpx.post(ask, json={"text": "bagus"}, timeout=20, headers={"Authorization": f"Bearer {key}"})
    assert keyed.status_code == 200
    eventually(lambda: psql(stack, "reviews", "SELECT count(*) FROM predictions") != logged, "the prediction is logged")
    for user, password, enters in (
        ("pipeline", stack.environment["POSTGRES_PASSWORD"], True), ("pipeline", old["POSTGRES_PASSWORD"], False),
        ("reader", reader.read_text(), True), ("reader", readers, False),
    ):  # fmt: skip
        assert may_enter(stack, user, password) is enters, (user, enters)
    assert stack.make("status").stdout.startswith("Live: model")

    ids = {container.name: container.id for container in stack.containers()}
    again = stack.make("up", SKIP_BUILD="1")
    assert "Started anew: nothing, all runs as it is written" in again.stdout, again.stdout + again.stderr
    assert "serves as before" in again.stdout
    lasting = {name: found for name, found in ids.items() if "check" not in name and "migrate" not in name}
    now = {container.name: container.id for container in stack.containers()}
    assert {name: now.get(name) for name in lasting} == lasting


@contextlib.contextmanager
def image_of_an_earlier_build() -> Iterator[str]:
    """The id of an image such as a change of the locks leaves: without a name, and no container's."""
    with engine_or_skip() as engine:
        content = io.BytesIO(f"FROM scratch\nLABEL of={os.urandom(8).hex()}\n".encode())
        image, _ = engine.client.images.build(fileobj=content, labels={"mlops.orchestrator": ORCHESTRATOR}, rm=True)
        try:
            yield image.id
        finally:
            if engine.has_image(image.id):
                engine.client.images.remove(image.id, force=True)


def may_enter(stack: Stack, user: str, password: str) -> bool:
    """Whether PostgreSQL takes the password over the network."""
    postgres = stack.container("postgres")
    address = postgres.attrs["NetworkSettings"]["Networks"][f"{stack.project}-data"]["IPAddress"]
    command = ["docker", "exec", "--env", f"PGPASSWORD={password}", postgres.id, "psql", "-h", address, "-U", user]
    asked = subprocess.run([*command, "-d", "reviews", "-c", "SELECT 1"], capture_output=True, check=False)
    return asked.returncode == 0


def of_run(stack: Stack, run_id: str) -> Any:
    engine = engine_or_skip()
    return next(iter(engine.containers(f"dagster/run_id={run_id}")), None)


def months(app: str) -> dict[str, str]:
    return {
        "dagster/asset_partition_range_start": f"{app}|2025-10",
        "dagster/asset_partition_range_end": f"{app}|2026-03",
    }


def launch(stack: Stack, job: str, tags: dict[str, str]) -> str:
    selector = {
        "jobName": job,
        "repositoryName": "__repository__",
        "repositoryLocationName": "mlops_assets",
    }
    metadata = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
    told = stack.graphql(LAUNCH, {"run": {"selector": selector, "executionMetadata": metadata}})
    assert told["launchPipelineExecution"]["__typename"] == "LaunchRunSuccess", told
    run_id = told["launchPipelineExecution"]["run"]["runId"]
    stack.runs_seen.add(run_id)
    return run_id


def status(stack: Stack, run_id: str) -> str:
    return next(run["status"] for run in stack.runs() if run["runId"] == run_id)


def finished(stack: Stack, run_id: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        return next((run for run in stack.runs() if run["runId"] == run_id and run["status"] in ENDED), None)

    return eventually(ended, f"run {run_id} ends", 1200)


def tag(run: dict[str, Any], key: str) -> str | None:
    return next((one["value"] for one in run["tags"] if one["key"] == key), None)


def retry_of(stack: Stack, run_id: str) -> dict[str, Any] | None:
    return next((run for run in stack.runs() if tag(run, "dagster/parent_run_id") == run_id), None)


def failure(stack: Stack, run_id: str) -> str:
    """What the event says that ended the run."""
    query = """query ($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
      ... on RunFailureEvent { message } } } } }"""
    found = stack.graphql(query, {"id": run_id})["logsForRun"]["events"]
    return "\n".join(one["message"] for one in found if one.get("message"))


def events(stack: Stack, run_id: str) -> str:
    query = """query ($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
      ... on MessageEvent { level message } ... on ErrorEvent { error { message } } } } } }"""
    found = stack.graphql(query, {"id": run_id})["logsForRun"]["events"]
    return "\n".join(json.dumps(one) for one in found if "ERROR" in json.dumps(one) or one.get("error"))[-4000:]


def backup_command(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the Makefile's targets call, without installing the packages into the stack's clone."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(stack.root), "PIPELINE_ROOT": str(stack.root)}  # noqa: TID251  a process's own
    command = [sys.executable, "-m", "mlops_assets.cli", *arguments]
    return subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, check=False, timeout=900)


def psql(stack: Stack, database: str, query: str) -> str:
    said = subprocess.run(
        ["docker", "exec", stack.container("postgres").id, "psql", "-U", "pipeline", "-d", database, "-tAc", query],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return said.stdout.strip() if said.returncode == 0 else "0"
