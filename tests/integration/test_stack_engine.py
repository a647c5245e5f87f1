"""The engine's guard: what runs and deployments need goes through, what gives the machine away does not."""

import io
import json
import os
import re
import shutil
import socket
import tarfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from types import SimpleNamespace
from typing import Any

import docker
import httpx
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.deploy.docker import gateway as gateway_module
from mlops_assets.deploy.docker.engine import DockerEngine
from mlops_assets.deploy.docker.gateway import GatewayDown, HaproxyGateway
from mlops_assets.deploy.docker.servers import DockerServers
from mlops_assets.outside import IMAGE_NAME
from mlops_assets.settings import Settings
from mlops_assets.team_server.instance import rendered
from stack.engine.guard import DOCKERFILE, server, stack_of
from stack.engine.rules import Stack
from tests.docker_engine import engine_or_skip
from tests.repository import ROOT
from tests.stack_machine import eventually
from tests.user_clone import free_port

PROJECT, PORT, USER = "team", "8099", "23456:23456"
RUNS, GATEWAY, REPOSITORY = "team-orchestrator", "haproxy:lts", "localhost:5000/app-review-sentiment"
TMP = "/tmp"  # noqa: S108  in the container
OF_RUN, OF_SERVICE = {"mlops.stack": PROJECT}, {"mlops.project": f"mlops-{PORT}"}
DIGEST = "sha256:" + "0" * 64
KNOWN = {"a" * 64: OF_RUN, "b" * 64: OF_SERVICE, "c" * 64: {"com.docker.compose.service": "postgres"}}
NETWORKS = {"1" * 64: f"{PROJECT}-service", "2" * 64: f"{PROJECT}-boards", "3" * 64: "host"}


class FakeEngine(ThreadingUnixStreamServer):
    """Records what it is asked. It knows the containers and networks above, and answers the rest with 200."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.binds: list[str] = []
        super().__init__(str(path), _Answer)

    def changes(self) -> list[tuple[str, str]]:
        """What it was asked to change."""
        return [(method, path) for method, path, _, _ in self.asked if method != "GET"]


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeEngine

    def do_GET(self) -> None:
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        status, reply = self._reply(self.path.partition("?")[0].split("/"))
        encoded = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    do_POST = do_DELETE = do_PUT = do_GET  # noqa: N815  names of http.server

    def _reply(self, parts: list[str]) -> tuple[int, Any]:  # noqa: PLR0911  one return a path
        match parts:
            case ["", "containers", "json"]:
                return 200, [{"Id": key, "Labels": labels, "Names": ["/x"]} for key, labels in KNOWN.items()]
            case ["", "containers", key, "json"]:
                host, labels = {"Binds": self.server.binds}, KNOWN.get(key)
                config = {"Labels": {"mlops.slot": "blue", **(labels or {})}, "Image": "x"}
                state = {"Status": "running", "StartedAt": "2026-01-01"}
                found = {"Id": key, "Name": "/x", "Config": config, "HostConfig": host, "State": state}
                return (200, found) if labels else (404, {"message": "no such container"})
            case ["", "networks"]:
                pool = {"Config": [{"Subnet": "10.213.77.0/24"}]}
                return 200, [{"Id": key, "Name": name, "IPAM": pool} for key, name in NETWORKS.items()]
            case ["", "networks", key]:
                return 200, {"Id": key, "Name": NETWORKS.get(key, key)}
            case ["", "version"]:
                return 200, {"ApiVersion": "1.41"}
            case ["", "images", key, "json"]:
                labels = {"mlops.release": "x"} if "e" in key.removeprefix("sha256:") else {}
                return 200, {"Id": key, "Config": {"Labels": labels}}
        return 200, {"Id": "a" * 64}

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def guarded(stack: Stack, engine: Path, dockerfile: Path = DOCKERFILE) -> Iterator[httpx.Client]:
    """A client of the guard, as the stack's containers see it."""
    port = free_port()
    running = server(stack, str(engine), "127.0.0.1", port, dockerfile)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        eventually(lambda: running.started, "the guard listens", 20)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        running.should_exit = True
        thread.join()


def the_stack(clone: Path, project: str = PROJECT, orchestrator: str = RUNS, port: str = PORT) -> Stack:
    for name in ("gateway", "shown"):
        (clone / ".serving" / name).mkdir(parents=True, exist_ok=True)
    return Stack(clone, project, USER, orchestrator, GATEWAY, REPOSITORY, "127.0.0.1", port)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clone.of+a(team)")  # a path that means something to a regular expression


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory, clone: Path) -> Iterator[tuple[FakeEngine, httpx.Client]]:
    path = tmp_path_factory.mktemp("engine") / "s"
    with FakeEngine(path) as engine:
        threading.Thread(target=engine.serve_forever, args=(0.05,), daemon=True).start()
        with guarded(the_stack(clone), path) as client:
            yield engine, client
        engine.shutdown()


@pytest.fixture
def engine(listening: tuple[FakeEngine, httpx.Client]) -> FakeEngine:
    listening[0].asked.clear()
    listening[0].binds = []
    return listening[0]


@pytest.fixture
def client(listening: tuple[FakeEngine, httpx.Client]) -> httpx.Client:
    return listening[1]


def run(clone: Path, **host: Any) -> dict[str, Any]:
    """What Dagster's launcher sends for a run, with `host` in its HostConfig."""
    return {
        "User": USER, "Tty": False, "AttachStdin": False, "AttachStdout": False, "Env": ["A=1"], "Cmd": ["true"],
        "Image": RUNS, "Volumes": {str(clone): {}}, "NetworkDisabled": False,
        "Labels": {**OF_RUN, "dagster/run_id": "x"}, "NetworkingConfig": {f"{PROJECT}-data": None},
        "HostConfig": {
            "Memory": 8 << 30, "ReadonlyRootfs": True, "NetworkMode": f"{PROJECT}-data", "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"], "Binds": [f"{clone}:{clone}"], "PidsLimit": 1024, "AutoRemove": True,
            "Init": True, "Tmpfs": {TMP: "mode=1777", "/dagster": "mode=1777"}, **host,
        },
    }  # fmt: skip


def gateway(clone: Path) -> dict[str, Any]:
    host = {"RestartPolicy": {"Name": "unless-stopped"}, "Binds": [f"{clone}/.serving/gateway:/gateway:rw"],
            "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": PORT}]},
            "NetworkMode": f"{PROJECT}-service"}  # fmt: skip
    return {**run(clone, **host), "Image": GATEWAY, "Labels": {**OF_SERVICE, "mlops.role": "gateway"}}


def service(clone: Path) -> dict[str, Any]:
    gpus = [{"Driver": "", "Count": -1, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}]
    host = {"Binds": [f"{clone}/.serving/shown:/shown:ro"], "PortBindings": {}, "DeviceRequests": gpus,
            "NetworkMode": f"{PROJECT}-service", "Tmpfs": {TMP: "size=64m"}}  # fmt: skip
    address = {"Aliases": ["model-service"], "IPAMConfig": {"IPv4Address": "10.213.77.10"}}
    wish = {**run(clone, **host), "Image": f"{REPOSITORY}@{DIGEST}", "Labels": OF_SERVICE}
    del wish["User"]
    return {**wish, "NetworkingConfig": {"EndpointsConfig": {f"{PROJECT}-service": address}}, "StopSignal": "SIGTERM"}


def create(client: httpx.Client, body: Any, name: str = "") -> httpx.Response:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post(
        "/v1.41/containers/create", content=content, params={"name": name} if name else None,
        headers={"Content-Type": "application/json"},
    )  # fmt: skip


def test_what_runs_and_the_service_ask_for_is_built_anew(client: httpx.Client, engine: FakeEngine, clone: Path) -> None:
    for wish, name in (
        (run(clone), ""),
        (gateway(clone), "mlops-8099-gateway"),
        (service(clone), "mlops-8099-1a2b-3c"),
    ):
        reply = create(client, wish, name)
        assert reply.status_code == 200, reply.text
        method, path, headers, body = engine.asked[-1]
        assert (method, path) == ("POST", f"/containers/create?name={name}" if name else "/containers/create")
        assert headers["content-type"] == "application/json"
        sent = json.loads(body)
        assert sent["HostConfig"] == wish["HostConfig"]
        assert sent["User"] == ("10001:10001" if wish["Image"].startswith(REPOSITORY) else USER)
        assert "Volumes" not in sent


def test_the_launcher_and_the_deployer_ask_for_nothing_else(
    client: httpx.Client, engine: FakeEngine, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{client.base_url.port}")
    monkeypatch.setattr(gateway_module, "_READY_S", 0.2)
    monkeypatch.setattr(os, "getuid", lambda: 23456)
    monkeypatch.setattr(os, "getgid", lambda: 23456)
    environ = {"CLONE": str(clone), "COMPOSE_PROJECT_NAME": PROJECT, "ORCHESTRATOR_IMAGE": RUNS, "STACK_UID": "23456",
               "STACK_GID": "23456", "RUN_MEMORY": "8g", "RUN_CPUS": "1.5"}  # fmt: skip
    template = (ROOT / "stack" / "dagster.yaml").read_text(encoding="utf-8")
    config = yaml.safe_load(rendered(template, environ))["run_launcher"]["config"]
    launched = docker.DockerClient(f"tcp://127.0.0.1:{client.base_url.port}").containers.create(
        image=config["image"], command=["true"], detach=True, environment={"A": "1"}, network=config["networks"][0],
        labels={**config["container_kwargs"].pop("labels"), "dagster/run_id": "x", "dagster/job_name": "j"},
        **{key: value for key, value in config["container_kwargs"].items() if key != "stop_timeout"},
    )  # fmt: skip
    for network in config["networks"][1:]:
        launched.client.networks.get(network).connect(launched)
    launched.start()
    launched.client.close()
    release = SimpleNamespace(version="0fb1338ea30f", wants_gpu=True)
    with DockerEngine() as deployer:
        service = f"mlops-{PORT}"
        haproxy = HaproxyGateway(deployer, service, clone / ".serving/gateway", "127.0.0.1", int(PORT),
                                 network=f"{PROJECT}-service", image=GATEWAY)  # fmt: skip
        with pytest.raises(GatewayDown):  # It was created and started; this engine runs nothing.
            haproxy.ensure()
        shown = clone / ".serving" / "shown"
        image = f"{REPOSITORY}@{DIGEST}"
        DockerServers(deployer, haproxy, service, {}, image=image, shown=shown, inside=True).start(release)
    changes = [f"{method} {path}" for method, path in engine.changes()]
    for change in (
        "POST /containers/create", f"POST /networks/{PROJECT}-engine/connect", f"POST /containers/{'a' * 64}/start",
        f"POST /containers/create?name={service}-gateway", f"POST /containers/create?name={service}-0fb1338ea30f-",
    ):  # fmt: skip
        assert any(found.startswith(change) for found in changes), (change, changes)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"IMAGE_REGISTRY": "ghcr.io/team/", "PORT": "9000", "HOST_ADDRESS": "10.1.2.3", "HAPROXY_IMAGE": "haproxy:3.2"},
    ],
)
def test_compose_tells_the_guard_what_the_deployer_reads(tmp_path: Path, environ: dict[str, str]) -> None:
    command = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["engine"]["command"]
    filled_in = [
        re.sub(r"\$\{(\w+):[-?]([^}]*)\}", lambda match: environ.get(match[1], match[2]), part) for part in command
    ]
    stack = stack_of(filled_in)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    read = Settings.load(environ, tmp_path)
    assert stack.repository == f"{read.image_registry}/{IMAGE_NAME}"
    assert (stack.host, stack.port, stack.gateway) == (read.host, str(read.port), read.haproxy_image)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/containers/x/exec"), ("POST", "/exec/x/start"), ("GET", "/containers/x/archive?path=/"),
        ("PUT", "/containers/x/archive?path=/"), ("GET", "/containers/x/export"), ("POST", "/containers/x/update"),
        ("POST", "/containers/x/attach"), ("POST", "/commit"), ("POST", "/containers/prune"), ("POST", "/images/prune"),
        ("POST", "/images/load"), ("GET", "/images/x/get"), ("POST", "/volumes/create"), ("GET", "/volumes"),
        ("DELETE", "/volumes/x"), ("POST", "/networks/create"), ("DELETE", "/networks/x"), ("POST", "/swarm/init"),
        ("GET", "/secrets"), ("POST", "/plugins/pull"), ("GET", "/events"), ("POST", "/auth"), ("POST", "/session"),
        ("GET", "/v1.41/../containers/x/export"), ("GET", "/containers/%2e%2e/volumes"), ("GET", "//volumes"),
        ("POST", "/containers/x/../../exec/x/start"), ("POST", "/v1.41/v1.41/containers/create"),
        ("POST", "/v1.12/containers/create"), ("POST", "/v1.41/containers/create/"),
        ("GET", "http://docker/containers/json"), ("OPTIONS", "*"), ("GET", "/containers/json#x"),
        ("GET", "/containers/a%2Fjson/json"),
        ("GET", "/containers/json?all=1&all=1"), ("GET", "/containers/json?All=1"),
        ("GET", "/containers/json?all=1;size=1"),
        ("GET", f"/containers/{'a' * 64}/logs?follow=1&stdout=1"),
        ("POST", f"/containers/{'a' * 64}/start?detachKeys=x"),
        ("GET", "/networks/host"), ("GET", f"/networks/{'2' * 64}"), ("GET", "/images/postgres:17/json"),
        ("DELETE", "/images/postgres:17"), ("DELETE", f"/images/{DIGEST}"), ("DELETE", "/images/haproxy:lts"),
        ("POST", f"/images/{REPOSITORY}:x/tag?repo=haproxy&tag=lts"), ("POST", f"/images/{REPOSITORY}:x/tag"),
        ("POST", f"/images/postgres:17/tag?repo={REPOSITORY}&tag=x"), ("POST", "/images/postgres/push?tag=x"),
        ("POST", f"/images/{REPOSITORY}-not/push?tag=x"), ("POST", "/images/create?fromImage=alpine&tag=latest"),
        ("POST", f"/images/create?fromSrc=-&repo={REPOSITORY}"),
        ("POST", f"/images/create?fromImage={REPOSITORY}&tag=../x"),
        ("POST", f"/build?t={REPOSITORY}:x&networkmode=host"), ("POST", f"/build?t={REPOSITORY}:x&remote=http://x/"),
        ("POST", f"/build?t={REPOSITORY}:x&t=haproxy:lts"), ("POST", "/build?t=haproxy:lts"), ("POST", "/build"),
        ("POST", f"/build?t={REPOSITORY}:x&version=2"), ("POST", f"/build?t={REPOSITORY}:x&securityopt=seccomp"),
        ("POST", f"/build?t={REPOSITORY}:x&labels=%7B%22mlops.project%22%3A%22mlops-8099%22%7D"),
        ("POST", f"/build?t={REPOSITORY}:x&buildargs=%7B%22HTTP_PROXY%22%3A%22x%22%7D"),
    ],
)  # fmt: skip
def test_the_rest_of_the_engine_is_not_there(client: httpx.Client, engine: FakeEngine, method: str, path: str) -> None:
    assert client.request(method, "/", extensions={"target": path.encode()}).status_code in {400, 403}
    assert engine.changes() == []


@pytest.mark.parametrize("action", ["GET /json", "GET /logs", "POST /start", "POST /stop", "DELETE "])
def test_only_containers_of_runs_and_of_the_service_are_touched(
    client: httpx.Client, engine: FakeEngine, action: str
) -> None:
    method, _, path = action.partition(" ")
    assert client.request(method, f"/containers/{'c' * 64}{path}").status_code == 403
    assert client.request(method, f"/containers/{'d' * 64}{path}").status_code == 404
    assert engine.changes() == []
    for own in ("a", "b"):
        assert client.request(method, f"/containers/{own * 64}{path}").status_code == 200


def test_of_what_belongs_to_others_little_is_seen(client: httpx.Client, engine: FakeEngine) -> None:
    rows = {row["Id"]: row for row in client.get("/v1.41/containers/json?all=1").json()}
    assert rows["c" * 64] == {"Id": "c" * 64}
    assert rows["a" * 64]["Labels"] == OF_RUN
    assert [row["Name"] for row in client.get("/networks").json()] == [f"{PROJECT}-service"]


def test_a_container_joins_only_the_networks_of_runs_and_of_the_service(
    client: httpx.Client, engine: FakeEngine
) -> None:
    own, foreign = {"Container": "a" * 64, "EndpointConfig": {}}, {"Container": "c" * 64, "EndpointConfig": {}}
    alias = {"Container": "a" * 64, "EndpointConfig": {"Aliases": ["postgres"]}}
    for network, body in (("2", own), ("3", own), ("1", foreign), ("1", alias)):
        assert client.post(f"/networks/{network * 64}/connect", json=body).status_code == 403
    assert engine.changes() == []
    assert client.post(f"/networks/{'1' * 64}/connect", json=own).status_code == 200


HOST_CONFIGS = [
    {"Privileged": True}, {"privileged": True}, {"Privileged": False}, {"Binds": ["/:/host"]},
    {"binds": ["/etc:/etc:ro"]},
    {"Binds": ["/var/run/docker.sock:/s"]}, {"Binds": ["named:/x"]}, {"PidMode": "host"}, {"NetworkMode": "host"},
    {"IpcMode": "host"}, {"UsernsMode": "host"}, {"UTSMode": "host"}, {"CgroupnsMode": "host"},
    {"CapAdd": ["SYS_ADMIN"]},
    {"NetworkMode": "container:x"}, {"NetworkMode": "team-boards"}, {"NetworkMode": ""}, {"CapDrop": []},
    {"CapDrop": None},
    {"Devices": [{"PathOnHost": "/dev/sda"}]}, {"DeviceCgroupRules": ["a *:* rwm"]},
    {"SecurityOpt": ["seccomp=unconfined"]},
    {"SecurityOpt": ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']}, {"SecurityOpt": []}, {"SecurityOpt": None},
    {"SecurityOpt": ["no-new-privileges", "apparmor=unconfined"]}, {"SecurityOpt": ["no-new-privileges:false"]},
    {"MaskedPaths": []}, {"ReadonlyPaths": []}, {"ReadonlyRootfs": False},
    {"Sysctls": {"x": "y"}},
    {"Mounts": [{"Type": "bind", "Source": "/", "Target": "/x"}]}, {"VolumesFrom": ["x"]}, {"Runtime": "other"},
    {"CgroupParent": "/"}, {"OomKillDisable": True}, {"OomScoreAdj": -1000}, {"GroupAdd": ["999"]},
    {"VolumeDriver": "x"},
    {"PublishAllPorts": True}, {"PortBindings": {"8080/tcp": [{"HostIp": "", "HostPort": "22"}]}},
    {"Tmpfs": {"/etc": "mode=1777"}}, {"Tmpfs": {TMP: "mode=1777,dev,suid"}}, {"Ulimits": [{"Name": "x"}]},
    {"LogConfig": {"Type": "syslog"}}, {"ExtraHosts": ["postgres:10.0.0.1"]}, {"Dns": ["10.0.0.1"]},
    {"Links": ["postgres"]},
    {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["x"]}]}, {"StorageOpt": {"size": "1"}}, {"Memory": "1"},
    {"Memory": -1}, {"Memory": True}, {"PidsLimit": -1}, {"RestartPolicy": {"Name": "always"}},
    # Go's JSON takes these letters for s and k.
    {"Bind\u017f": ["/:/x"]}, {"Mas\u212aedPaths": []}, {"Networ\u212aMode": "host"}, {"Securit\u0079Op\u0074s": []},
]  # fmt: skip


@pytest.mark.parametrize("host", HOST_CONFIGS, ids=lambda host: json.dumps(host)[:60])
def test_a_container_that_would_own_the_machine_is_not_made(
    client: httpx.Client, engine: FakeEngine, clone: Path, host: dict[str, Any]
) -> None:
    reply = create(client, run(clone, **host))
    assert reply.status_code == 403
    assert f"HostConfig.{next(iter(host))}" in reply.json()["message"]
    assert engine.asked == []


@pytest.mark.parametrize(
    "changes",
    [
        {"User": "0:0"}, {"User": "root"}, {"User": "23456:999"}, {"User": ""}, {"Image": "postgres:17"},
        {"Image": f"{REPOSITORY}-not@{DIGEST}"}, {"Image": "x/haproxy:lts"}, {"Labels": {}}, {"Entrypoint": ["sh"]},
        {"Labels": {"mlops.stack": "other"}}, {"Labels": {**OF_RUN, "com.docker.compose.project": PROJECT}},
        {"NetworkingConfig": {"EndpointsConfig": {"team-boards": {}}}}, {"NetworkingConfig": {"host": {}}},
        {"NetworkingConfig": {"EndpointsConfig": {"team-data": {"Aliases": ["postgres"]}}}}, {"Hostname": "postgres"},
        {"NetworkingConfig": {"EndpointsConfig": {"team-data": {"IPAMConfig": {"IPv4Address": "x"}}}}}, {"image": RUNS},
        {"MacAddress": "02:42:ac:11:00:02"}, {"ExposedPorts": {"22/tcp": {}}}, {"Healthcheck": {"Test": ["CMD", "x"]}},
        {"hostconfig": {"Privileged": True}}, {"Ho\u017ftConfig": {"Privileged": True}}, {"HostConfig": None},
        {"Env": [{"A": 1}]}, {"Cmd": "sh -c x"}, {"Tty": True}, {"Shell": ["x"]}, {"OnBuild": ["x"]},
    ],
    ids=lambda changes: json.dumps(changes)[:60],
)  # fmt: skip
def test_a_container_of_another_kind_is_not_made(
    client: httpx.Client, engine: FakeEngine, clone: Path, changes: dict[str, Any]
) -> None:
    assert create(client, {**run(clone), **changes}).status_code == 403
    assert engine.asked == []


def test_each_kind_of_container_has_its_own_folder_name_and_port(
    client: httpx.Client, engine: FakeEngine, clone: Path
) -> None:
    whole = {"Binds": [f"{clone}:{clone}"]}
    for wish, name in (
        (run(clone), "postgres"),
        (gateway(clone), "mlops-8099-other"),
        (gateway(clone), ""),
        (service(clone), "postgres"),
        ({**gateway(clone), "HostConfig": {**gateway(clone)["HostConfig"], **whole}}, "mlops-8099-gateway"),
        ({**service(clone), "HostConfig": {**service(clone)["HostConfig"], **whole}}, "mlops-8099-x"),
        ({**service(clone), "User": "0:0"}, "mlops-8099-x"),
        ({**run(clone), "HostConfig": {**run(clone)["HostConfig"],
         "DeviceRequests": service(clone)["HostConfig"]["DeviceRequests"]}}, ""),
    ):  # fmt: skip
        assert create(client, wish, name).status_code == 403, (wish["Image"], name)
    assert engine.asked == []


def test_no_path_and_no_link_leads_out_of_the_clone(client: httpx.Client, engine: FakeEngine, clone: Path) -> None:
    for bind in (f"{clone}/..:/x", f"{clone}/../..:{clone}", f"{clone}-other:/x", f"{clone}", "/",
                 f"{clone}/./:{clone}", f"{clone}:{clone}:rshared", f"{clone}/.serving:/x"):  # fmt: skip
        assert create(client, run(clone, Binds=[f"{clone}:{clone}", bind])).status_code == 403, bind
    shown = clone / ".serving" / "shown"
    shown.rmdir()
    try:
        assert create(client, service(clone), "mlops-8099-x").status_code == 403, "the engine would make it as root"
        shown.symlink_to("/etc")
        assert create(client, service(clone), "mlops-8099-x").status_code == 403
        engine.binds = [f"{shown}:/shown:ro"]
        assert client.post(f"/containers/{'b' * 64}/start").status_code == 403, "it became a link after the creation"
        assert engine.changes() == []
    finally:
        shown.unlink()
        shown.mkdir()
    assert client.post(f"/containers/{'b' * 64}/start").status_code == 200


def test_no_spelling_hides_a_wish(client: httpx.Client, engine: FakeEngine, clone: Path) -> None:
    plain = json.dumps(run(clone))
    for body in (
        plain.replace('"HostConfig"', '"HostConfig":{"Privileged":true},"HostConfig"'),
        plain.replace('"Binds": [', '"Binds":["/:/x"],"Binds": ['),
        plain.replace('"Init"', '"\\u0050rivileged"'),
        plain + '{"Privileged":true}',
        "[" * 100_000,
        "\ufeff" + plain,
        plain.encode().replace(b'"x"', b'"\xff"'),
        plain.replace("1024", "NaN"),
        plain.replace('"true"', '"' + "y" * 200_000 + '"'),
        "", "null", "[]",
    ):  # fmt: skip
        assert create(client, body).status_code == 403, body[:200]
    chunked = client.post("/containers/create", content=iter([b'{"Image":"x",', b'"HostConfig":{"Privileged":true}}']))
    assert chunked.status_code == 403
    assert engine.asked == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEYS = st.sampled_from([*(key for host in HOST_CONFIGS for key in host), "Image", "User", "HostConfig"]) | st.text()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inside=st.booleans(), key=KEYS, value=ANYTHING)
def test_whatever_is_added_the_engine_gets_what_a_run_has_or_nothing(
    client: httpx.Client, engine: FakeEngine, clone: Path, inside: bool, key: str, value: Any
) -> None:
    engine.asked.clear()
    wish = run(clone, **({key: value} if inside else {}))
    create(client, wish if inside else {**wish, key: value})
    for _, _, _, body in engine.asked:
        sent = json.loads(body)
        usual = run(clone)
        assert sent["HostConfig"].keys() <= {*usual["HostConfig"], "PortBindings", "DeviceRequests"}
        for kept in ("ReadonlyRootfs", "CapDrop", "SecurityOpt", "NetworkMode"):
            assert sent["HostConfig"][kept] == usual["HostConfig"][kept]
        assert set(sent["HostConfig"].get("Binds", [])) <= set(usual["HostConfig"]["Binds"])
        assert (sent["Image"], sent["User"]) == (RUNS, USER)


def test_a_build_is_sent_on_as_a_tar_with_the_dockerfile_of_the_guard(client: httpx.Client, engine: FakeEngine) -> None:
    labels = json.dumps({"mlops.release": "x"})
    context = [b"x" * 65_536] * 20 + [b"networkmode=host"]
    done = client.post(
        "/v1.41/build", content=iter(context), params={"t": f"{REPOSITORY}:x", "rm": "True", "labels": labels},
        headers={"Content-Type": "application/x-www-form-urlencoded", "X-Registry-Config": "e30="},
    )  # fmt: skip
    assert done.status_code == 200
    _, path, headers, body = engine.asked[-1]
    assert httpx.URL(path).params["labels"] == labels
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        first = archive.getmembers()[0]
        assert first.name == httpx.URL(path).params["dockerfile"] != "Dockerfile"
        assert archive.extractfile(first).read() == DOCKERFILE.read_bytes()
    assert body.endswith(b"".join(context))
    assert len(body) % tarfile.BLOCKSIZE == sum(map(len, context)) % tarfile.BLOCKSIZE
    assert headers["content-type"] == "application/x-tar", "else the engine would read its parameters from the body"
    assert headers["x-registry-config"] == "e30="


def test_one_request_is_never_two(client: httpx.Client, engine: FakeEngine) -> None:
    inner = b"POST /containers/prune HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner)
    for headers, body in (
        (b"Content-Length: %d\r\nTransfer-Encoding: chunked" % len(chunk), chunk),
        (b"Content-Length: 4\r\nTransfer-Encoding: chunked", chunk),
        (b"Content-Length: 0\r\nContent-Length: %d" % len(inner), inner),
        (b"Content-Length: +%d" % len(inner), inner),
        (b"Transfer-Encoding: xchunked", chunk),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", chunk),
        (b"Content-Length: %d\r\nConnection: Upgrade\r\nUpgrade: tcp" % len(inner), inner),
        (b"Content-Length: %d\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c" % len(inner), inner),
    ):
        status = spoken(client, b"POST /containers/" + b"a" * 64 + b"/start HTTP/1.1\r\nHost: x\r\n" + headers, body)
        assert status in {b"400", b"403", b"501"}, headers
    assert engine.changes() == []
    # A body where none belongs is read and left out.
    start = b"POST /containers/" + b"a" * 64 + b"/start HTTP/1.1\r\nHost: x\r\nContent-Length: %d" % len(inner)
    assert spoken(client, start, inner) == b"200"
    assert [(method, path) for method, path in engine.changes()] == [("POST", f"/containers/{'a' * 64}/start")]
    assert engine.asked[-1][3] == b""


def spoken(client: httpx.Client, head: bytes, body: bytes) -> bytes:
    """The status of the reply to a request that no library would send."""
    with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=10) as connection:
        connection.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
        return connection.recv(65_536).partition(b" ")[2][:3]


@pytest.mark.docker
def test_a_run_and_an_image_come_to_be_through_the_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the launcher and the deployer do it, with Docker's own client and the real engine."""
    direct = engine_or_skip()
    project, name = f"t{uuid.uuid4().hex[:8]}", f"{REPOSITORY}:t{uuid.uuid4().hex[:8]}"
    made = [direct.client.networks.create(f"{project}-{network}") for network in ("data", "service")]
    stack = the_stack(tmp_path, project, orchestrator=GATEWAY, port=str(free_port()))
    try:
        dockerfile = tmp_path / "Dockerfile"
        dockerfile.write_text("FROM scratch\nCOPY Dockerfile /\n")
        with guarded(stack, Path("/var/run/docker.sock"), dockerfile) as client:
            monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{client.base_url.port}")
            with DockerEngine() as engine:
                container = engine.client.containers.create(
                    image=GATEWAY, command=["id"], detach=True, user=USER, volumes=[f"{tmp_path}:{tmp_path}"],
                    network=f"{project}-data", labels={"mlops.stack": project}, read_only=True, cap_drop=["ALL"],
                    security_opt=["no-new-privileges"], tmpfs={TMP: "mode=1777"}, mem_limit="64m", init=True,
                )  # fmt: skip
                engine.client.networks.get(f"{project}-service").connect(container)
                container.start()
                eventually(lambda: engine.client.containers.get(container.id).status == "exited", "it ends", 30)
                assert b"uid=23456 gid=23456" in container.logs()
                assert set(container.attrs["NetworkSettings"]["Networks"]) == {f"{project}-data"}, "as it was made"
                container.remove(force=True)
                with pytest.raises(docker.errors.APIError, match=r"rules\.py refuses: .*HostConfig\.Privileged"):
                    engine.client.containers.create(image=GATEWAY, privileged=True)
                with pytest.raises(docker.errors.NotFound):
                    engine.client.containers.get(container.id)
                (context := tmp_path / "context").mkdir()
                (context / "Dockerfile").write_text(f"FROM {GATEWAY}\nLABEL mine=yes\nRUN id\n")
                labels = {"mlops.release": "x", "mlops.builder": project}
                list(engine.client.api.build(path=str(context), tag=name, labels=labels, rm=True, decode=True))
                assert "mine" not in engine.client.images.get(name).labels
                pushed = engine.push(name, ["latest-test"], print)
                assert [image.id for image in engine.images(f"mlops.builder={project}")]
                assert engine.remove_image(name)
                engine.fetch(pushed.reference)
                assert engine.remove_image(pushed.reference)
    finally:
        for container in direct.containers(f"mlops.stack={project}"):
            container.remove(force=True)
        for network in made:
            network.remove()
        direct.close()
