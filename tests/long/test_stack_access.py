"""The stack for real: who reaches what through its door."""

import contextlib
import json
import subprocess
import time
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.stack_machine import LOOK, SECRETS, Stack, eventually

pytestmark = [pytest.mark.long, pytest.mark.docker]


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
    assert "Checking the settings" in told
    assert "Building" not in told, "the settings are checked before the large image is built"
    assert SECRETS["LOOK"] not in told


def test_every_container_is_healthy_and_may_little(stack: Stack) -> None:
    found = {one.labels["com.docker.compose.service"]: one.attrs for one in stack.containers()}
    assert set(found) == {
        "check", "migrate", "postgres", "engine", "code", "daemon", "webserver", "webserver-readonly", "prometheus",
        "label", "node-exporter", "grafana", "door", "alertmanager", "alerts",
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
            assert host["RestartPolicy"]["Name"] == "always", name
            assert host["Memory"] > 0, name
            assert "Health" in state, name
    published = {name: about["HostConfig"]["PortBindings"] for name, about in found.items()}
    assert [name for name, ports in published.items() if ports] == ["door"]


def test_alerts_go_from_prometheus_to_the_clone_over_a_network_of_their_own(stack: Stack) -> None:
    sign = stack.root / ".dagster" / "alerts" / "watchdog"
    eventually(lambda: sign.is_file() and sign.read_text() == "seen\n", "Alertmanager passed on the sign of life")
    network = f"{stack.project}-alerts"
    sharing = {one.labels["com.docker.compose.service"] for one in stack.containers()
               if network in one.attrs["NetworkSettings"]["Networks"]}  # fmt: skip
    assert sharing == {"prometheus", "alertmanager", "alerts"}


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
    before = stack.runs()
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
    assert stack.runs() == before
    assert pools(stack) == {"collection": 4}


def test_the_role_of_look_could_not_write_even_if_a_mutation_got_through(stack: Stack) -> None:
    password = (stack.root / "stack" / "made" / "grafana" / "reader_password").read_text()
    for database in ("dagster", "reviews"):
        said = subprocess.run(
            ["docker", "exec", "--env", f"PGPASSWORD={password}", stack.container("postgres").id,
             "psql", "-h", "127.0.0.1", "-U", "reader", "-d", database, "-c", "CREATE TABLE x (y int)"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "permission denied" in said.stderr
    environment = stack.container("webserver-readonly").attrs["Config"]["Env"]
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


def pools(stack: Stack) -> dict[str, int]:
    query = "{ instance { concurrencyLimits { concurrencyKey slotCount } } }"
    found = stack.graphql(query)["instance"]["concurrencyLimits"]
    return {one["concurrencyKey"]: one["slotCount"] for one in found if one["concurrencyKey"] == "collection"}


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
