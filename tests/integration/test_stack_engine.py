"""The narrowed engine: what runs and deployments need goes through, what gives the machine away does not."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docker_engine import engine_or_skip
from tests.repository import ROOT
from tests.stack_machine import eventually
from tests.user_clone import free_port

pytestmark = pytest.mark.docker
SOCKET = Path("/var/run/docker.sock")
IMAGE = "haproxy:lts"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clone.of+a(team)")  # a path that means something to a regular expression


@pytest.fixture(scope="module")
def narrowed(clone: Path) -> Iterator[httpx.Client]:
    """The engine as the stack's containers see it."""
    engine = engine_or_skip()
    port = free_port()
    container = engine.client.containers.run(
        IMAGE,
        ["haproxy", "-W", "-db", "-f", "/engine/haproxy.cfg"],
        name=f"test-engine-{port}",
        detach=True,
        environment={"CLONE": str(clone)},
        user="23456:23456",
        group_add=[str(SOCKET.stat().st_gid)],
        cap_drop=["ALL"],
        read_only=True,
        ports={"2375/tcp": ("127.0.0.1", port)},
        volumes=[f"{ROOT / 'stack' / 'engine'}:/engine:ro", f"{SOCKET}:/var/run/docker.sock"],
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            eventually(lambda: _answers(client), "the narrowed engine answers", 20)
            yield client
    finally:
        container.remove(force=True)
        engine.close()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/_ping").status_code == 200
    except httpx.HTTPError:  # the port is published before anybody listens
        return False


def raw(client: httpx.Client, method: str, path: str) -> httpx.Request:
    """A request whose path is sent as it is written."""
    request = client.build_request(method, "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    return request


def wish(**host: Any) -> dict[str, Any]:
    return {"Image": IMAGE, "Cmd": ["true"], "HostConfig": host}


def test_what_runs_and_deployments_need_goes_through(narrowed: httpx.Client, clone: Path) -> None:
    assert stat.S_IMODE(SOCKET.stat().st_mode) & 0o060, "the socket's group may use it"
    for path in ("/_ping", "/version", "/v1.41/containers/json?all=1", f"/images/{IMAGE}/json", "/networks"):
        assert narrowed.get(path).status_code == 200, path
    body = wish(Binds=[f"{clone}:{clone}", f"{clone}/.serving/shown:/shown:ro"], NetworkMode="bridge", CapDrop=["ALL"],
                Privileged=False, SecurityOpt=["no-new-privileges"], Devices=[])  # fmt: skip
    digest = "localhost:5000/some/image%40sha256:" + "0" * 64
    assert narrowed.send(raw(narrowed, "GET", f"/images/{digest}/json")).status_code == 404, "asked, and not there"
    spaced = json.dumps(body)  # as docker's own client writes it
    made = narrowed.post("/v1.41/containers/create", content=spaced, headers={"Content-Type": "application/json"})
    assert made.status_code == 201, made.text
    name = made.json()["Id"]
    assert narrowed.post(f"/containers/{name}/start").status_code == 204
    assert narrowed.post(f"/containers/{name}/wait").json()["StatusCode"] == 0
    assert narrowed.get(f"/containers/{name}/logs?stdout=1").status_code == 200
    assert narrowed.delete(f"/containers/{name}").status_code == 204
    gpus = [{"Driver": "", "Count": -1, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}]
    for harmless in (wish(Binds=[]), wish(DeviceRequests=gpus)):
        assert narrowed.post("/containers/create", json=harmless).status_code == 201
    for one in narrowed.get("/containers/json?all=1").json():
        if one["Command"] == "true":
            narrowed.delete(f"/containers/{one['Id']}")


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
    ],
)  # fmt: skip
def test_the_rest_of_the_engine_is_not_there(narrowed: httpx.Client, method: str, path: str) -> None:
    assert narrowed.send(raw(narrowed, method, path)).status_code == 403


@pytest.mark.parametrize(
    "host",
    [
        {"Privileged": True}, {"privileged": True}, {"Binds": ["/:/host"]}, {"binds": ["/etc:/etc:ro"]},
        {"Binds": ["/var/run/docker.sock:/s"]}, {"Binds": ["named:/x"]}, {"PidMode": "host"}, {"NetworkMode": "host"},
        {"IpcMode": "host"}, {"UsernsMode": "host"}, {"CapAdd": ["SYS_ADMIN"]}, {"NetworkMode": "container:x"},
        {"Devices": [{"PathOnHost": "/dev/sda"}]}, {"SecurityOpt": ["seccomp=unconfined"]},
        {"Mounts": [{"Type": "bind", "Source": "/", "Target": "/x"}]}, {"VolumesFrom": ["x"]}, {"Runtime": "other"},
    ],
)  # fmt: skip
def test_a_container_that_would_own_the_machine_is_not_made(narrowed: httpx.Client, host: dict[str, Any]) -> None:
    assert narrowed.post("/containers/create", json=wish(**host)).status_code == 403


def test_no_path_leads_out_of_the_clone(narrowed: httpx.Client, clone: Path) -> None:
    for bind in (f"{clone}/../..:/x", f"{clone}-other:/x", f"{clone}", "/"):
        assert narrowed.post("/containers/create", json=wish(Binds=[f"{clone}:/a", bind])).status_code in {403, 400}


def test_no_spelling_hides_a_wish(narrowed: httpx.Client) -> None:
    send = {"headers": {"Content-Type": "application/json"}}
    for body in (
        '{"Image":"x","HostConfig":{"\\u0050rivileged":true}}',
        '{"Image":"x","HostConfig":{"Privileged" \n :\t true}}',
        '{"Image":"x","HostConfig":{"Binds":[],"Binds":["/:/x"]}}',
    ):
        assert narrowed.post("/containers/create", content=body, **send).status_code == 403, body
    padded = '{"Image":"x","Labels":{"x":"' + "y" * 200_000 + '"},"HostConfig":{"Privileged":true}}'
    assert narrowed.post("/containers/create", content=padded, **send).status_code == 403
    chunked = narrowed.post(
        "/containers/create", content=iter([b'{"Image":"x",', b'"HostConfig":{"Privileged":true}}']), **send
    )
    assert chunked.status_code == 403
