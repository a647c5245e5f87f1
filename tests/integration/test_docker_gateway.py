"""The gateway with TLS, real: the given certificate answers, a renewed one without losing a request."""

import datetime
import http.client
import ssl
import threading

import docker.types
import pytest
import trustme

from mlops_assets.deploy.docker.engine import DockerEngine
from mlops_assets.deploy.docker.gateway import HaproxyGateway
from mlops_assets.failures import PermanentFailure
from tests.docker_engine import port_of, project_of, service_on_docker
from tests.fakes.service import UNWATCHED, silent

pytestmark = [pytest.mark.docker, pytest.mark.long]


def test_the_public_port_speaks_tls_and_takes_a_renewed_certificate_without_losing_a_request(
    engine, releases, images, tmp_path
):
    authority = trustme.CA()
    pem = tmp_path / "tls.pem"
    _issue(authority, pem)
    service = service_on_docker(tmp_path / "s", {releases[name].version: images[name] for name in ("a", "b")}, pem)
    port = port_of(service)
    try:
        service.deploy(releases["a"], silent, watching=UNWATCHED)
        assert service.url.startswith("https://")
        assert service.live().release_version == releases["a"].version
        before = _certificate(port, authority)
        with pytest.raises((http.client.HTTPException, OSError)):
            _get(http.client.HTTPConnection("127.0.0.1", port, timeout=5))
        (gateway,) = (c for c in engine.containers(f"mlops.project={project_of(service)}") if "gateway" in c.name)
        assert (service.folder / "gateway" / "cert.pem").stat().st_mode & 0o777 == 0o600

        _issue(authority, pem)
        failures, stop = [], threading.Event()
        asking = threading.Thread(target=_keep_asking, args=(port, authority, failures, stop))
        asking.start()
        service.deploy(releases["b"], silent, watching=UNWATCHED)
        stop.set()
        asking.join()
        assert failures == []
        assert service.live().release_version == releases["b"].version
        assert _certificate(port, authority) != before
        assert engine.client.containers.get(gateway.id).status == "running"
    finally:
        service.stop()


def test_a_file_without_a_key_is_refused_before_anything_starts(engine, releases, images, tmp_path):
    pem = tmp_path / "tls.pem"
    trustme.CA().cert_pem.write_to_path(str(pem))
    service = service_on_docker(tmp_path / "s", {releases["a"].version: images["a"]}, pem)
    try:
        with pytest.raises(PermanentFailure, match="must hold certificate and key in PEM"):
            service.deploy(releases["a"], silent, watching=UNWATCHED)
        assert engine.containers(f"mlops.project={project_of(service)}") == []
    finally:
        service.stop()


def _issue(authority, path):
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    authority.issue_cert("127.0.0.1", not_after=until).private_key_and_cert_chain_pem.write_to_path(str(path))


def _connection(port, authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)


def _certificate(port, authority):
    connection = _connection(port, authority)
    connection.connect()
    with connection.sock as wrapped:
        return wrapped.getpeercert(binary_form=True)


def _get(connection):
    connection.request("GET", "/health")
    response = connection.getresponse()
    response.read()
    return response.status


def _keep_asking(port, authority, failures, stop):
    connection = _connection(port, authority)
    while not stop.is_set():
        try:
            if _get(connection) != 200:
                failures.append("not 200")
        except Exception as error:  # noqa: BLE001 - whatever a client meets is a failure of the gateway
            failures.append(repr(error))
            connection.close()
    connection.close()


def test_a_gateway_on_a_stacks_network_is_left_to_the_stack_and_one_of_before_the_stack_is_made_anew(
    engine, service, releases, tmp_path
):
    outside, port = service, port_of(service)
    outside.deploy(releases["a"], silent, watching=UNWATCHED)
    network = f"{project_of(service)}-stack"
    subnet = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet="10.213.250.0/24")])
    engine.client.networks.create(network, ipam=subnet)
    try:
        with DockerEngine() as opened:
            gateway = HaproxyGateway(opened, project_of(service), outside.folder / "gateway", "127.0.0.1", port,
                                     network=network)  # fmt: skip
            gateway.ensure()
        (container,) = (c for c in engine.containers(f"mlops.project={project_of(service)}") if "gateway" in c.name)
        assert list(container.attrs["NetworkSettings"]["Networks"]) == [network]
        with pytest.raises(PermanentFailure, match=r"is on the network .*-stack of a team's server.*make up"):
            outside.deploy(releases["b"], silent, watching=UNWATCHED)
        assert engine.client.containers.get(container.id).status == "running"
    finally:
        outside.stop()
        engine.client.networks.get(network).remove()
