"""The docker target with the real engine: swaps under load, and what returns by itself."""

import hashlib
import json
import subprocess
import threading

import httpx
import pytest

from mlops_assets.deploy.backend import Packaged
from mlops_assets.deploy.docker.backend import DockerBackend
from mlops_assets.deploy.docker.images import ImageRecord
from mlops_assets.deploy.kept_logs import kept_logs
from mlops_assets.deploy.service import Service
from mlops_assets.params.operations import Watching
from tests.docker_engine import REPOSITORY, port_of, project_of, servers
from tests.fakes.service import UNWATCHED, silent
from tests.fakes.tiny_model import TEXTS
from tests.integration.clients import Clients, answers_of, last_success, wait_until
from tests.user_clone import free_port

pytestmark = [pytest.mark.docker, pytest.mark.long]


def test_ten_thousand_requests_meet_five_swaps_and_none_fails(engine, service, releases, images):
    def deploy(name):
        return service.deploy(releases[name], silent, watching=Watching(watch_s=0.5))

    deploy("a")
    with Clients(port_of(service), answers_of(releases["a"], releases["b"]), count=32) as clients:
        for name in ("b", "a", "b", "a", "b"):
            assert deploy(name).changed
        assert wait_until(lambda: sum(clients.asked.values()) >= 10_000, timeout_s=300)
    assert clients.failures == []
    assert min(clients.asked.values()) > 0
    assert service.live().release_version == releases["b"].version
    (container,) = servers(engine, service)
    assert container.attrs["Config"]["Image"] == images["b"].reference
    assert releases["b"].version in container.name
    kept = kept_logs(service.folder)
    assert [log.stem.rsplit("-", 1)[0].rsplit("-", 1)[1] for log in kept] == [
        releases[name].version for name in ("a", "b", "a", "b", "a")
    ]
    assert "Application shutdown complete" in kept[0].read_text()
    assert "Uvicorn running" in "".join(service.read_log("service", 50)), "requests push no message out"
    assert '"path": "/predict"' in "".join(service.read_log("requests", 50))
    assert container.attrs["HostConfig"]["Memory"] > 2**30


def test_changed_settings_reach_a_running_container_and_can_be_read_nowhere(engine, service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    key, port = "c0rrect-horse", port_of(service)
    digest = hashlib.sha256(key.encode()).hexdigest()
    closed = Service(DockerBackend(service.folder, port, environment={"API_KEYS": f"d:{digest}"}, key=key))
    assert closed.live().other_settings == "API_KEYS"
    assert closed.answers_without_key()
    with Clients(port, answers_of(releases["a"]), key=key) as clients:
        assert closed.deploy(releases["a"], silent, watching=UNWATCHED).changed
    assert clients.failures == []
    assert not closed.answers_without_key()
    assert not closed.deploy(releases["a"], silent, watching=UNWATCHED).changed
    (container,) = servers(engine, service)
    assert digest not in json.dumps(container.labels)
    assert service.live().other_settings == "API_KEYS"


def test_of_two_deployments_at_once_one_waits_for_the_other(engine, service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)

    def deploy(name):
        other = Service(DockerBackend(service.folder, port_of(service)))
        other.deploy(releases[name], silent, watching=Watching(watch_s=1))

    with Clients(port_of(service), answers_of(releases["a"], releases["b"]), count=4) as clients:
        deploying = [threading.Thread(target=deploy, args=(name,)) for name in ("b", "a")]
        for thread in deploying:
            thread.start()
        for thread in deploying:
            thread.join()
    assert clients.failures == []
    newest = service.log.entries()[0]
    assert {entry.outcome for entry in service.log.entries()} == {"live"}
    assert service.live().release_version == newest.release_version
    assert len(servers(engine, service)) == 1


@pytest.mark.usefixtures("images")
def test_an_image_that_is_lost_here_and_in_the_registry_is_made_anew(engine, tmp_path, releases):
    service = Service(DockerBackend(tmp_path / "state", free_port(), repository=REPOSITORY))
    lost = Packaged(f"{REPOSITORY}@sha256:{'0' * 64}", (), 1)
    (tmp_path / "state").mkdir()
    ImageRecord(tmp_path / "state" / "images.json").set(releases["a"].version, lost)
    said = []
    try:
        service.deploy(releases["a"], said.append, watching=UNWATCHED)
        assert service.live().release_version == releases["a"].version
    finally:
        service.stop()
    assert any("made anew" in line for line in said)
    image = service.packaged(releases["a"].version)
    assert image != lost
    assert engine.has_image(image.reference)


def test_a_server_that_dies_in_service_returns_by_itself(engine, service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    (container,) = servers(engine, service)
    pid = container.attrs["State"]["Pid"]
    assert service.trouble() == ""
    subprocess.run(["kill", "-9", str(pid)], check=True)
    assert wait_until(lambda: engine.client.containers.get(container.id).attrs["RestartCount"] == 1)
    assert wait_until(lambda: service.live() is not None)
    assert f"container {container.name} died and was restarted 1 times" in service.trouble()


def test_a_container_shows_when_the_pipeline_last_succeeded(service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    assert last_success(httpx.get(f"{service.url}/metrics", timeout=60).text) is None
    for at_s in (1772330400, 1772330401):
        scratch = service.folder / "shown" / "partial"
        scratch.write_text(f"{at_s}\n")
        scratch.rename(scratch.with_name("last_success"))  # as the notifier writes it
        assert last_success(httpx.get(f"{service.url}/metrics", timeout=60).text) == at_s


def test_a_head_that_is_too_large_is_refused_by_the_gateway_and_logged(engine, service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    (gateway,) = (c for c in engine.containers(f"mlops.project={project_of(service)}") if "gateway" in c.name)
    assert httpx.get(f"{service.url}/live", headers={"x": "a" * 20_000}, timeout=60).status_code == 400
    assert httpx.get(f"{service.url}/live", timeout=60).status_code == 200
    assert wait_until(lambda: json_lines(gateway))
    assert [line["status"] for line in json_lines(gateway)] == [400]  # polls that succeed are not logged
    assert gateway.attrs["Config"]["User"].split(":")[0] not in {"", "0"}
    assert '"status":400' in "".join(service.read_log("gateway", 50)).replace(" ", "")
    assert gateway.attrs["HostConfig"]["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}


def test_a_request_has_one_id_and_address_in_the_answer_and_the_logs_of_gateway_and_server(engine, service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    (gateway,) = (c for c in engine.containers(f"mlops.project={project_of(service)}") if "gateway" in c.name)
    (server,) = servers(engine, service)
    forged = {"X-Gateway-Request-ID": "0" * 32, "X-Forwarded-For": "192.0.2.1", "X-Golden-Probe": "1"}
    reply = httpx.post(f"{service.url}/predict", json={"text": TEXTS[0]}, headers=forged, timeout=60)
    known = reply.json()["request_id"]
    assert reply.headers["x-request-id"] == known != "0" * 32
    own = {"X-Request-ID": "order-4711"}
    assert httpx.get(f"{service.url}/nothing", headers=own, timeout=60).headers["x-request-id"] == "order-4711"
    assert wait_until(lambda: len(clients_lines(server)) == len(json_lines(gateway)) == 2)
    (first, second), at_gateway = clients_lines(server), json_lines(gateway)
    assert [line["request_id"] for line in at_gateway] == [first["request_id"], second["request_id"]]
    assert (first["request_id"], second["client_request_id"]) == (known, "order-4711")
    assert [(line["status"], line["server"], line["ended"]) for line in at_gateway] == [
        (200, "blue", "--"), (404, "blue", "--"),
    ]  # fmt: skip
    assert {line["address"] for line in at_gateway} == {line["address"] for line in (first, second)} != {"192.0.2.1"}
    assert TEXTS[0] not in server.logs().decode() + gateway.logs().decode()


def clients_lines(server):
    """What the server logged of requests but the deployment's own."""
    return [line for line in json_lines(server) if not line["probe"]]


def json_lines(container):
    """What a container logged as JSON."""
    return [json.loads(line) for line in container.logs().splitlines() if line.startswith(b"{")]
