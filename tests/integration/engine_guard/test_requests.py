"""Which requests reach the engine through the guard, and as what; with the real engine, what the pipeline does."""

import io
import json
import re
import shutil
import socket
import tarfile
import uuid
from pathlib import Path

import docker
import httpx
import pytest
import yaml

from mlops_assets.deploy.docker.engine import DockerEngine
from mlops_assets.outside import IMAGE_NAME
from mlops_assets.settings import Settings
from stack.engine.guard import DOCKERFILE, stack_of
from tests.docker_engine import engine_or_skip
from tests.integration.engine_guard.fake_engine import (
    DIGEST,
    GATEWAY,
    OF_RUN,
    PROJECT,
    REPOSITORY,
    TMP,
    USER,
    FakeEngine,
    guarded,
    the_stack,
)
from tests.repository import ROOT
from tests.stack_machine import eventually
from tests.user_clone import free_port


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
        ("GET", f"/containers/{'a' * 64}/logs?follow=2&stdout=1"),
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
