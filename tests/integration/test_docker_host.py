"""The docker target on another host, over SSH: an sshd on loopback stands before this machine's engine."""

import gc
import http.client
import os

import pytest

from mlops_assets.deploy.docker.backend import DockerBackend
from mlops_assets.deploy.docker.gateway import HaproxyGateway
from mlops_assets.deploy.docker.images import ImageRecord
from mlops_assets.deploy.docker.servers import DockerServers
from mlops_assets.deploy.docker.ssh_connection import SshConnection
from mlops_assets.deploy.docker.ssh_machine import ConnectionBroke, SshMachine
from mlops_assets.deploy.service import Service
from mlops_assets.params.operations import Watching
from tests.docker_engine import port_of, project_of, servers
from tests.fakes.service import UNWATCHED, silent
from tests.integration.clients import Clients, answers_of
from tests.integration.ssh_host import running_host
from tests.user_clone import free_port

pytestmark = [
    pytest.mark.docker,
    pytest.mark.long,
    # Docker's client leaves the socket of a refused connection to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    with running_host(folder / "sshd", home=str(folder / "home")) as host, pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", f"{host.bin}:{os.environ['PATH']}")  # noqa: TID251  for programs
        yield host


@pytest.fixture(scope="module")
def service(host, engine, releases, images, tmp_path_factory):
    """A service there, without a registry: an image that it makes stays on the engine. It knows that of `b`."""
    folder = tmp_path_factory.mktemp("deployer") / "state"
    folder.mkdir()
    ImageRecord(folder / "images.json").set(releases["b"].version, images["b"])
    backend = DockerBackend(folder, free_port(), repository="mlops-test-host", machine=SshMachine(host.address))
    service = Service(backend)
    yield service
    service.stop()
    service.prune(frozenset({releases["b"].version}), silent)
    gc.collect()
    assert engine.images(f"mlops.builder={backend.project}") == []


def test_a_release_goes_live_on_another_host_without_a_registry_and_back(engine, host, service, releases):
    with service_with_clients(service, releases) as clients:
        assert service.deploy(releases["b"], silent, watching=UNWATCHED).changed
        assert service.live().release_version == releases["b"].version
        assert not service.deploy(releases["b"], silent, watching=UNWATCHED).changed
        service.roll_back(releases["a"].folder.parent, "", silent, asked_by="make rollback")
    assert clients.failures == []
    assert service.live().release_version == releases["a"].version
    assert service.packaged(releases["a"].version).reference.startswith("sha256:")
    containers = engine.containers(f"mlops.project={project_of(service)}")
    assert not [container.name for container in containers if container.attrs["Config"]["User"].split(":")[0] == "0"]
    mounted = {mount["Source"] for container in containers for mount in container.attrs["Mounts"]}
    assert mounted
    assert not [path for path in mounted if str(service.folder) in path], "the host has none of the deployer's folders"


def service_with_clients(service, releases):
    """Clients that ask release `a`, live there."""
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    return Clients(port_of(service), answers_of(releases["a"], releases["b"]), count=4)


def in_a_request(monkeypatch, host):
    """The engine has been asked for the new container."""
    from docker.transport.unixconn import UnixHTTPAdapter

    def breaks(_adapter, request, **_options):
        return request.path_url.partition("?")[0].endswith("/containers/create")

    break_before(monkeypatch, host, UnixHTTPAdapter, "send", breaks)
    return "broke off at POST /v1.41/containers/create"


def in_the_switch(monkeypatch, host):
    """The gateway has taken the connection and hears no command."""
    break_before(monkeypatch, host, HaproxyGateway, "_said", lambda _gateway, _connection, line: "state ready" in line)
    return "does not obey 'set server service/"


def in_the_watch(monkeypatch, host):
    """The new server has the port and is being asked; ssh takes a moment to end, and looks whole meanwhile."""
    ended = SshConnection.ended
    monkeypatch.setattr(SshConnection, "ended", lambda self, wait_s=0.0: ended(self, wait_s) if wait_s else "")
    switched = []
    monkeypatch.setattr(DockerServers, "switch", noted(DockerServers.switch, switched))
    break_before(
        monkeypatch,
        host,
        http.client.HTTPConnection,
        "request",
        lambda *asked: switched and asked[2] == "/predict/batch",
    )
    return "after the switch: http://127.0.0.1:"


@pytest.mark.parametrize("breaking", [in_a_request, in_the_switch, in_the_watch])
def test_a_connection_that_breaks_leaves_the_old_one_serving_and_the_next_deployment_finishes(
    engine, host, service, releases, breaking
):
    with service_with_clients(service, releases) as clients:
        with pytest.MonkeyPatch.context() as patched:
            step = breaking(patched, host)
            with pytest.raises(ConnectionBroke) as broke:
                service.deploy(releases["b"], silent, watching=Watching(watch_s=0.5))
        assert f"the connection to {host.address} broke (" in str(broke.value)
        assert step in str(broke.value)
        assert service.live().release_version == releases["a"].version
        service.deploy(releases["b"], silent, watching=UNWATCHED)
    assert clients.failures == []
    assert service.live().release_version == releases["b"].version
    assert len(servers(engine, service)) == 1


def break_before(monkeypatch, host, owner, method, breaks):
    """Break all connections before the first call that `breaks` names."""
    original, broken = getattr(owner, method), []

    def breaking(*arguments, **options):
        if not broken and breaks(*arguments, **options):
            broken.append(host.break_connections())
            assert broken[0] > 0
        return original(*arguments, **options)

    monkeypatch.setattr(owner, method, breaking)


def noted(method, calls):
    def noting(*arguments):
        calls.append(method)
        return method(*arguments)

    return noting
