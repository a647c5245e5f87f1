"""The stack for real: `make up` on a clone, runs through the door, a killed one, a backfill, down and up again."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.docker_engine import engine_or_skip
from tests.stack_machine import SECRETS, Stack, build_images, compose_or_skip, eventually
from tests.user_clone import PROJECT

pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.timeout(900)]
APPS = ["com.valar.pintu", "com.example.two", "com.example.three"]
LOOK = ("ana", SECRETS["LOOK"])
LAUNCH = """mutation ($run: ExecutionParams!) { launchPipelineExecution(executionParams: $run) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUNS = """{ runsOrError { ... on Runs { results {
  runId status jobName startTime endTime tags { key value } } } } }"""
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    compose_or_skip()
    build_images()
    machine = Stack(tmp_path_factory.mktemp("stack"), apps=APPS, first_month="2025-10")
    try:
        refused = machine.make("up", POSTGRES_PASSWORD="postgres", GRAFANA_ADMIN_PASSWORD="", OPERATE_LOGINS="")
        machine.refused = (refused, len(containers(machine)))
        up = machine.make("up", SKIP_BUILD="1")
        assert up.returncode == 0, f"{up.stdout[-3000:]}\n{up.stderr[-3000:]}\n{logs(machine)}"
        yield machine
    finally:
        machine.remove()


def test_a_weak_secret_is_named_and_nothing_starts(stack: Stack) -> None:
    refused, started = stack.refused
    told = refused.stdout + refused.stderr
    assert refused.returncode != 0
    for line in (
        "POSTGRES_PASSWORD must have at least 12",
        "GRAFANA_ADMIN_PASSWORD is empty",
        "OPERATE_LOGINS names nobody",
    ):
        assert line in told
    assert started == 0
    assert SECRETS["LOOK"] not in told


def test_every_container_is_healthy_and_may_little(stack: Stack) -> None:
    found = {one.labels["com.docker.compose.service"]: one.attrs for one in containers(stack)}
    assert set(found) == {
        "check", "migrate", "postgres", "engine", "code", "daemon", "webserver", "webserver-readonly", "prometheus",
        "node-exporter", "grafana", "door",
    }  # fmt: skip
    for name, about in found.items():
        host, state = about["HostConfig"], about["State"]
        assert state.get("Health", {"Status": "healthy"})["Status"] == "healthy", name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], name
        assert about["Config"]["User"] not in {"", "0", "root"}, name
        assert not host["Privileged"], name
        if name in {"check", "migrate"}:
            assert state["ExitCode"] == 0, name
        else:
            assert host["RestartPolicy"]["Name"] == "unless-stopped", name
            assert host["Memory"] > 0, name
            assert "Health" in state, name
    published = {name: about["HostConfig"]["PortBindings"] for name, about in found.items()}
    assert [name for name, ports in published.items() if ports] == ["door"]


def test_nothing_is_reached_without_login(stack: Stack) -> None:
    paths = (
        "/", "/dagster/", "/dagster/graphql", "/dagster/graphql?query={version}", "/dagster/server_info",
        "/dagster/report_asset_materialization/raw_reviews", "/dagster/logs/x", "/dagster/download_debug/x",
        "/grafana/", "/grafana/api/dashboards", "/prometheus/", "/prometheus/api/v1/query?query=up",
        "/prometheus/-/quit",
        "/metrics",
    )  # fmt: skip
    with stack.client("") as nobody:
        for path in paths:
            for method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
                assert nobody.request(method, path).status_code == 401, (method, path)
        for path in ("/dagster/%2e%2e/", "//dagster/", "/dagster/../grafana/"):
            request = nobody.build_request("GET", "/")
            request.url = request.url.copy_with(raw_path=path.encode())
            assert nobody.send(request).status_code in {400, 401}, path
    with pytest.raises(InvalidStatus) as refused:
        socket(stack)
    assert refused.value.response.status_code == 401
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://localhost:{stack.door}/dagster/", timeout=5).raise_for_status()


def test_look_reads_everything_and_changes_nothing(stack: Stack) -> None:
    with stack.client(*LOOK) as look:
        assert look.get("/dagster/").status_code == 200
        assert look.get("/prometheus/api/v1/query?query=up").json()["status"] == "success"
        seen = stack.graphql("{ assetNodes { assetKey { path } } }", client=look)
        assert ["deployed_image"] in [node["assetKey"]["path"] for node in seen["assetNodes"]]
    before = stack.graphql(RUNS)
    with stack.client(*LOOK) as look:
        for query in mutations(stack):
            for answer in (
                look.post("/dagster/graphql", json={"query": query}),
                look.get("/dagster/graphql", params={"query": query}),
                look.post("/dagster/graphql", content=query, headers={"Content-Type": "application/graphql"}),
            ):
                assert refused(answer), f"{query}: {answer.status_code} {answer.text[:500]}"
        for method, path in (
            ("POST", "/dagster/report_asset_materialization/raw_reviews"), ("POST", "/dagster/report_asset_check/x"),
            ("GET", "/dagster/report_asset_materialization/raw_reviews"), ("POST", "/dagster/%67raphql"),
            ("PUT", "/dagster/graphql"), ("POST", "/dagster/graphql/"), ("POST", "/prometheus/-/quit"),
        ):  # fmt: skip
            assert look.request(method, path, json={"query": "{ version }"}).status_code in {400, 403, 404, 405}, path
    with socket(stack, *LOOK) as web:
        for query in mutations(stack):
            said = asked(web, query)
            assert said["type"] == "error" or refused_data(said.get("payload", {})), f"{query}: {said}"
    assert stack.graphql(RUNS) == before
    assert pools(stack) == {"collection": 4}


def test_the_role_of_look_could_not_write_even_if_a_mutation_got_through(stack: Stack) -> None:
    password = (stack.root / "stack" / "made" / "grafana" / "reader_password").read_text()
    for database in ("dagster", "reviews"):
        said = subprocess.run(
            ["docker", "exec", "--env", f"PGPASSWORD={password}", one(stack, "postgres").id, "psql", "-h", "127.0.0.1",
             "-U", "reader", "-d", database, "-c", "CREATE TABLE x (y int)"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "permission denied" in said.stderr
    environment = one(stack, "webserver-readonly").attrs["Config"]["Env"]
    assert "DATABASE_ROLE=reader" in environment


def test_grafana_is_told_who_asks_by_the_door_alone(stack: Stack) -> None:
    forged = {"X-WEBAUTH-USER": "boss", "X-WEBAUTH-ROLE": "Admin", "X-Forwarded-For": "10.0.0.1"}
    for login, password, role in (
        (*LOOK, "Viewer"),
        ("oki", SECRETS["OPERATE"], "Editor"),
        ("boss", SECRETS["GRAFANA_ADMIN_PASSWORD"], "Admin"),
    ):
        with stack.client(login, password) as asking:
            headers = [
                (name.lower(), value) for name, value in asking.get("/grafana/x", headers=forged).json()["headers"]
            ]
        assert [value for name, value in headers if name == "x-webauth-user"] == [login]
        assert [value for name, value in headers if name == "x-webauth-role"] == [role]
        assert "authorization" not in dict(headers)
    with stack.client("boss", SECRETS["GRAFANA_ADMIN_PASSWORD"]) as boss:
        assert refused(boss.post("/dagster/graphql", json={"query": mutations(stack)[0]}))


def test_another_site_cannot_have_a_browser_operate(stack: Stack) -> None:
    with stack.client() as oki:
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            assert oki.post("/dagster/graphql", json={"query": "{ version }"}, headers=headers).status_code == 403
        navigated = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert oki.get("/dagster/graphql?query={version}", headers=navigated).status_code == 403
        assert oki.get("/dagster/", headers=navigated).status_code == 200
    with pytest.raises(InvalidStatus):
        socket(stack, "oki", SECRETS["OPERATE"], origin="https://evil.example")


def test_a_run_launched_at_the_door_has_a_container_a_summary_and_leaves_nothing(stack: Stack) -> None:
    run_id = launch(stack, "pipeline", months("sample.app"))
    about = eventually(lambda: of_run(stack, run_id), "the run has a container")
    assert about.attrs["Config"]["User"].startswith("23456:")
    assert about.attrs["HostConfig"]["Memory"] == 3 * 1024**3
    command = json.dumps(about.attrs["Config"]["Cmd"])
    assert not any(secret in command for secret in SECRETS.values())
    ended = finished(stack, run_id, 400)
    assert ended["status"] == "SUCCESS", events(stack, run_id)
    eventually(lambda: of_run(stack, run_id) is None, "its container is gone", 30)
    summary = stack.root / ".dagster" / "summaries" / f"{run_id}.json"
    eventually(summary.is_file, "its summary is there")
    stages = json.loads(summary.read_text(encoding="utf-8"))
    assert stages["status"] == "SUCCESS"
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
            90,
        )
    assert stack.compose("exec", "-T", "code", "python", "-m", "mlops_assets.cli", "status").startswith("Live: model")


def test_a_killed_run_container_is_noticed_and_tried_again(stack: Stack) -> None:
    run_id = launch(stack, "pipeline", months("sample.app"))
    eventually(lambda: status(stack, run_id) == "STARTED", "the run works")
    of_run(stack, run_id).kill()
    assert finished(stack, run_id, 120)["status"] == "FAILURE"
    again = eventually(
        lambda: next((run for run in runs(stack) if tag(run, "dagster/parent_run_id") == run_id), None), "it is retried"
    )
    assert finished(stack, again["runId"], 300)["status"] == "SUCCESS", events(stack, again["runId"])
    eventually((stack.root / ".dagster" / "summaries" / f"{run_id}.json").is_file, "the killed one has its summary")


def test_a_backfill_of_months_and_apps_runs_several_at_once(stack: Stack) -> None:
    keys = [f"{app}|{month}" for app in APPS for month in ("2025-11", "2025-12", "2026-01")]
    query = """mutation ($backfill: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $backfill) {
      __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
    told = stack.graphql(query, {"backfill": {"assetSelection": [{"path": ["raw_reviews"]}], "partitionNames": keys}})
    backfill = told["launchPartitionBackfill"]["backfillId"]

    def done() -> list[dict[str, Any]] | None:
        found = [run for run in runs(stack) if tag(run, "dagster/backfill") == backfill]
        return found if len(found) == len(APPS) and all(run["status"] in ENDED for run in found) else None

    found = eventually(done, "the backfill ends", 240)
    assert {run["status"] for run in found} == {"SUCCESS"}
    starts, ends = sorted(run["startTime"] for run in found), sorted(run["endTime"] for run in found)
    assert starts[1] < ends[0], "the second began before the first had ended"


def test_a_backup_brings_the_history_back_to_a_stack_that_has_none(stack: Stack) -> None:
    eventually(lambda: all(run["status"] in ENDED for run in runs(stack)), "no run is at work")
    before = {run["runId"]: run["status"] for run in runs(stack)}
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

    assert stack.make("down").returncode == 0
    with engine_or_skip() as engine:
        engine.client.volumes.get(f"{stack.project}-postgres").remove()
    shutil.rmtree(stack.root / ".dagster")
    (stack.root / ".serving" / "deployments.sqlite").unlink()
    stack.compose("database")
    restored = backup_command(stack, "restore-backup", "--file", str(archive))
    assert restored.returncode == 0, restored.stderr
    up = stack.make("up", SKIP_BUILD="1")
    assert up.returncode == 0, f"{up.stderr}\n{logs(stack)}"
    assert {run["runId"]: run["status"] for run in runs(stack)} == before
    assert all(int(psql(stack, database, query)) >= counted[database] for database, query in count.items())
    assert len(list((stack.root / ".dagster" / "summaries").glob("*.json"))) > 1
    look = "SELECT has_table_privilege('reader', 'runs', 'SELECT')"
    assert psql(stack, "dagster", look) == "t"


def test_down_keeps_the_model_serving_and_up_keeps_the_history(stack: Stack) -> None:
    before, port = {run["runId"] for run in runs(stack)}, stack.port
    assert len(before) >= 4
    down = stack.make("down")
    assert down.returncode == 0, down.stderr
    assert containers(stack) == []
    assert httpx.post(f"http://127.0.0.1:{port}/predict", json={"text": "bagus"}, timeout=20).status_code == 200
    up = stack.make("up", SKIP_BUILD="1")
    assert up.returncode == 0, up.stderr
    assert {run["runId"] for run in runs(stack)} == before
    assert stack.make("down", SERVICE="1").returncode == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5)


def containers(stack: Stack) -> list[Any]:
    with engine_or_skip() as engine:
        found = engine.containers(f"com.docker.compose.project={stack.project}")
    return [one for one in found if one.labels.get("com.docker.compose.oneoff") != "True"]


def one(stack: Stack, service: str) -> Any:
    return next(found for found in containers(stack) if found.labels["com.docker.compose.service"] == service)


def logs(stack: Stack) -> str:
    return "\n".join(f"{found.name}:\n{found.logs(tail=15).decode(errors='replace')}" for found in containers(stack))


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


def runs(stack: Stack) -> list[dict[str, Any]]:
    return stack.graphql(RUNS)["runsOrError"]["results"]


def status(stack: Stack, run_id: str) -> str:
    return next(run["status"] for run in runs(stack) if run["runId"] == run_id)


def finished(stack: Stack, run_id: str, timeout_s: float) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        return next((run for run in runs(stack) if run["runId"] == run_id and run["status"] in ENDED), None)

    return eventually(ended, f"run {run_id} ends", timeout_s)


def tag(run: dict[str, Any], key: str) -> str | None:
    return next((one["value"] for one in run["tags"] if one["key"] == key), None)


def events(stack: Stack, run_id: str) -> str:
    query = """query ($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
      ... on MessageEvent { level message } ... on ErrorEvent { error { message } } } } } }"""
    found = stack.graphql(query, {"id": run_id})["logsForRun"]["events"]
    return "\n".join(json.dumps(one) for one in found if "ERROR" in json.dumps(one) or one.get("error"))[-4000:]


def pools(stack: Stack) -> dict[str, int]:
    query = "{ instance { concurrencyLimits { concurrencyKey slotCount } } }"
    found = stack.graphql(query)["instance"]["concurrencyLimits"]
    return {one["concurrencyKey"]: one["slotCount"] for one in found if one["concurrencyKey"] == "collection"}


def backup_command(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the Makefile's targets call, without installing the packages into the stack's clone."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(stack.root), "PIPELINE_ROOT": str(stack.root)}  # noqa: TID251  a process's own
    command = [sys.executable, "-m", "mlops_assets.cli", *arguments]
    return subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, check=False, timeout=300)


def psql(stack: Stack, database: str, query: str) -> str:
    said = subprocess.run(
        ["docker", "exec", one(stack, "postgres").id, "psql", "-U", "pipeline", "-d", database, "-tAc", query],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return said.stdout.strip() if said.returncode == 0 else "0"


def mutations(stack: Stack) -> list[str]:
    """Every mutation that Dagster has, with arguments of the right types: nothing else may be why it is refused."""
    if not hasattr(stack, "known_mutations"):
        stack.known_mutations = written_out(stack)
    return stack.known_mutations


HARMLESS = {"logTelemetry", "setNuxSeen"}
"""They change nothing that anybody could see."""


def written_out(stack: Stack) -> list[str]:
    of_type = "type { ...T } "
    deep = "fragment T on __Type { kind name" + " ofType { kind name" * 4 + " }" * 5
    schema = stack.graphql(
        "{ __schema { types { name kind enumValues { name } inputFields { name " + of_type + "} } "
        "mutationType { fields { name args { name " + of_type + "} " + of_type + "} } } } " + deep
    )["__schema"]
    types = {one["name"]: one for one in schema["types"]}

    def value(of: dict[str, Any]) -> str:
        if of["kind"] == "NON_NULL":
            return value(of["ofType"])
        if of["kind"] == "LIST":
            return f"[{value(of['ofType'])}]"
        if of["kind"] == "ENUM":
            return types[of["name"]]["enumValues"][0]["name"]
        if of["kind"] == "INPUT_OBJECT":
            fields = [one for one in types[of["name"]]["inputFields"] if one["type"]["kind"] == "NON_NULL"]
            return "{" + ", ".join(f"{one['name']}: {value(one['type'])}" for one in fields) + "}"
        return {"Int": "1", "Float": "1.0", "Boolean": "true"}.get(of["name"], '"x"')

    found = []
    for field in schema["mutationType"]["fields"]:
        if field["name"] in HARMLESS:
            continue
        needed = [one for one in field["args"] if one["type"]["kind"] == "NON_NULL"]
        arguments = ", ".join(f"{one['name']}: {value(one['type'])}" for one in needed)
        of = field["type"]["ofType"] or field["type"]
        selection = "" if of["kind"] in {"SCALAR", "ENUM"} else "{ __typename }"
        found.append(f"mutation {{ {field['name']}{f'({arguments})' if arguments else ''} {selection} }}")
    assert len(found) > 25
    return found


def refused(answer: httpx.Response) -> bool:
    if answer.status_code in {400, 403, 405, 415}:
        return True
    with contextlib.suppress(ValueError):
        return refused_data(answer.json())
    return False


NO = {"UnauthorizedError", "PythonError", "LaunchMultipleRunsResult", "TerminateRunsResult"}
"""The last two hold a refusal for each run; that no run is new or ended is asked afterwards."""


def refused_data(content: Any) -> bool:
    """GraphQL says no: an error, or nothing but results of the type that says that it is not permitted."""
    if content.get("errors"):
        return True
    results = list((content.get("data") or {}).values())
    return bool(results) and all(isinstance(result, dict) and result.get("__typename") in NO for result in results)


def socket(stack: Stack, login: str = "", password: str = "", origin: str = "") -> Any:
    import base64
    import ssl

    headers = {"Authorization": "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()} if login else {}
    context = ssl.create_default_context(cafile=str(stack.root / "stack" / "made" / "door" / "cert.pem"))
    web = connect(
        f"wss://localhost:{stack.door}/dagster/graphql", ssl=context, additional_headers=headers,
        subprotocols=["graphql-ws"], origin=origin or None, legacy=True, open_timeout=60,
    )  # fmt: skip
    web.send(json.dumps({"type": "connection_init", "payload": {}}))
    assert json.loads(web.recv(30))["type"] == "connection_ack"
    return web


def asked(web: Any, query: str) -> dict[str, Any]:
    """The first answer over a WebSocket."""
    number = str(time.monotonic_ns())
    web.send(json.dumps({"id": number, "type": "start", "payload": {"query": query, "variables": {}}}))
    while True:
        said = json.loads(web.recv(30))
        if said.get("id") == number and said["type"] in {"data", "error"}:
            return said
