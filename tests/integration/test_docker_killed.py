"""Deployments, gateway and engine that end in mid-work: the next deployment finishes, and the service returns."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mlops_assets.deploy.docker.gateway import IMAGE
from tests.docker_engine import REPOSITORY, port_of, project_of, servers, service_on_docker
from tests.fakes.service import UNWATCHED, silent
from tests.integration.clients import Clients, answers_of, wait_until
from tests.integration.engine_restart import ENDS, NAMESPACES, SOCKET
from tests.repository import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.long]


def deployment_killed(service, point, release):
    """Deploy `release` in a process that ends at `point`."""
    command = [sys.executable, "-m", "tests.integration.killed_deployment", "docker", point]
    command += [service.folder, port_of(service), release.folder]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert f"killed {point}" in done.stdout


@pytest.fixture(scope="module")
def standing(releases, images, tmp_path_factory):
    """A service that stands through several kills."""
    folder = tmp_path_factory.mktemp("standing") / "state"
    service = service_on_docker(folder, {releases[name].version: image for name, image in images.items()})
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    yield service
    service.stop()


@pytest.mark.parametrize(
    "point",
    [
        "after DockerServers.sweep",
        "after DockerEngine.create",
        "after DockerServers.start",
        "before HaproxyGateway.switch",
        "before HaproxyGateway._write",
        "after HaproxyGateway._write",
        "after HaproxyGateway.switch",
        "before HaproxyGateway.release",
        "after Container.stop",
    ],
)
def test_a_deployment_killed_at_any_step_is_finished_by_the_next_one(engine, standing, releases, point):
    before = standing.live().release_version
    name = "b" if before == releases["a"].version else "a"
    with Clients(port_of(standing), answers_of(releases["a"], releases["b"]), count=4) as clients:
        deployment_killed(standing, point, releases[name])
        standing.deploy(releases[name], silent, watching=UNWATCHED, caused_by="the next one")
    assert clients.failures == []
    assert standing.live().release_version == releases[name].version
    assert len(servers(engine, standing)) == 1
    newest = standing.log.entries()[0]
    assert (newest.outcome, newest.release_version, newest.caused_by) == (
        "live",
        releases[name].version,
        "the next one",
    )


def test_a_deployment_killed_in_a_step_leaves_both_serving_until_the_next_one(engine, standing, releases):
    before = standing.live().release_version
    name = "b" if before == releases["a"].version else "a"
    with Clients(port_of(standing), answers_of(releases["a"], releases["b"]), count=4) as clients:
        deployment_killed(standing, "after HaproxyGateway.share", releases[name])
        live = standing.live()
        assert (live.release_version, live.canary) == (
            before,
            f"release {releases[name].version} has 50 % of the requests",
        )
        assert not standing.is_deploying()
        standing.deploy(releases[name], silent, watching=UNWATCHED)
    assert clients.failures == []
    assert min(clients.asked.values()) > 0
    assert (standing.live().release_version, standing.live().canary) == (releases[name].version, "")
    assert len(servers(engine, standing)) == 1


@pytest.mark.parametrize(
    "point", ["after HaproxyGateway._ensure_network", "before Container.start", "after HaproxyGateway._run"]
)
def test_the_first_deployment_killed_while_it_makes_the_gateway_is_finished_by_the_next_one(
    engine, service, releases, point
):
    deployment_killed(service, point, releases["a"])
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    assert service.live().release_version == releases["a"].version
    assert len(engine.containers(f"mlops.project={project_of(service)}")) == 2


def test_a_gateway_that_restarts_serves_what_it_served_and_one_that_is_lost_is_made_anew(engine, service, releases):
    for name in ("a", "b"):
        service.deploy(releases[name], silent, watching=UNWATCHED)
    (gateway,) = (
        c for c in engine.containers(f"mlops.project={project_of(service)}") if c.labels["mlops.role"] == "gateway"
    )
    gateway.restart(timeout=1)
    assert wait_until(lambda: service.live() is not None)
    assert service.live().release_version == releases["b"].version
    gateway.remove(force=True)
    assert service.live() is None
    service.deploy(releases["b"], silent, watching=UNWATCHED)
    assert service.live().release_version == releases["b"].version


@pytest.mark.parametrize("how", ENDS)
def test_the_service_returns_by_itself_when_the_engine_was_restarted(engine, releases, images, how):
    """On an engine of its own: the shared one runs what others need."""
    programs = [shutil.which(name) for name in ("dockerd", "unshare", "ip")]
    if os.geteuid() != 0 or None in programs:
        pytest.skip("a second engine needs root and the programs dockerd, unshare and ip")
    image = f"{REPOSITORY}:{releases['a'].version}"
    assert engine.has_image(images["a"].reference)
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        tars = [Path(folder) / f"{number}.tar" for number in range(2)]
        for tar, name in zip(tars, (IMAGE, image), strict=True):
            with tar.open("wb") as file:
                file.writelines(engine.client.api.get_image(name))
        command = [*NAMESPACES, sys.executable, "-m", "tests.integration.engine_restart"]
        command += [how, folder, str(releases["a"].folder), image, *map(str, tars)]
        environment = {"PATH": os.environ["PATH"], "DOCKER_HOST": f"unix://{folder}/{SOCKET}"}  # noqa: TID251  for programs
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    release_version, _ = json.loads(done.stdout)
    assert release_version == releases["a"].version
