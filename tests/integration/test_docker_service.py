"""The docker target with the real engine: images, the gateway, refusals, roll-back, kills."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import httpx
import pytest

from mlops_assets.artifact import Golden
from mlops_assets.deploy.backend import Packaged
from mlops_assets.deploy.docker.backend import DockerBackend
from mlops_assets.deploy.docker.engine import BuildFailed
from mlops_assets.deploy.docker.gateway import IMAGE
from mlops_assets.deploy.docker.images import ImageRecord
from mlops_assets.deploy.docker.servers import NeverStarted
from mlops_assets.deploy.release import build_release
from mlops_assets.deploy.rollout import DeploymentRefused, RolledBack
from mlops_assets.deploy.service import Service
from mlops_assets.params.operations import Watching
from tests.docker_engine import port_of, project_of, service_on_docker
from tests.fakes.service import UNWATCHED
from tests.fakes.tiny_model import TEXTS, seal, seal_tiny_model
from tests.integration.clients import Askers, Clients, answers_of, last_success, wait_until
from tests.integration.engine_restart import ENDS, NAMESPACES, SOCKET
from tests.integration.server_sources import FAILS_AT_TIMES, REFUSED_FOR, SLOW_AT_TIMES, server_with
from tests.repository import ROOT
from tests.user_clone import free_port

pytestmark = [pytest.mark.docker, pytest.mark.long]

REPOSITORY = "localhost:5000/mlops-test"
SLOW = """
import time
_quick = ClassicModel.probabilities
def _slow(self, texts):
    time.sleep(1)
    return _quick(self, texts)
ClassicModel.probabilities = _slow
"""
NEVER_READY = """
import time
def _never(self, texts):
    time.sleep(60)
ClassicModel.probabilities = _never
"""
BROKEN = "raise RuntimeError('no such thing')\n"


def silent(_line: str) -> None:
    return


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("releases")
    for name, intercept in (("a", 0.0), ("b", 0.4), ("wrong", 0.0)):
        seal_tiny_model(folder / name, intercept=intercept)
    seal(folder / "wrong", [Golden(TEXTS[0], (0.99, 0.01))])
    lock = ROOT / "locks" / "serving.txt"
    built = {name: build_release(folder / name, folder / "built", lock=lock) for name in ("a", "b", "wrong")}
    for name, added, module in (
        ("slow", SLOW, "models/classic.py"),
        ("never ready", NEVER_READY, "models/classic.py"),
        ("broken", BROKEN, "__main__.py"),
        ("slow at times", SLOW_AT_TIMES, "prediction_routes.py"),
        ("fails at times", FAILS_AT_TIMES, "prediction_routes.py"),
    ):
        package = server_with(folder / f"server-{name}", added, module)
        built[name] = build_release(folder / "b", folder / "built", lock=lock, package=package)
    failing = folder / "server-fails at times"
    built["fails at times too"] = build_release(folder / "a", folder / "built", lock=lock, package=failing)
    return built


@pytest.fixture(scope="module")
def images(engine, releases):
    pushed = {
        name: engine.push(engine.build(release, REPOSITORY, silent), (), silent) for name, release in releases.items()
    }
    yield pushed
    for image in pushed.values():
        engine.client.images.remove(engine.client.images.get(image.reference).id, force=True)


def service_with(images, releases, folder):
    return service_on_docker(folder, {releases[name].version: image for name, image in images.items()})


@pytest.fixture
def service(images, releases, tmp_path):
    service = service_with(images, releases, tmp_path / "state")
    yield service
    service.stop()


def servers(engine, service):
    found = engine.containers(f"mlops.project={project_of(service)}")
    return [container for container in found if container.labels["mlops.role"] == "server"]


def test_ten_thousand_requests_meet_five_swaps_and_none_fails(engine, service, releases, images):
    def deploy(name):
        return service.deploy(releases[name], silent, watching=Watching(watch_s=0.5))

    deploy("a")
    with Clients(port_of(service), answers_of(releases["a"], releases["b"]), count=32) as clients:
        for name in ("b", "a", "b", "a", "b"):
            assert deploy(name).changed
        assert wait_until(lambda: sum(clients.asked.values()) >= 10_000, timeout_s=120)
    assert clients.failures == []
    assert min(clients.asked.values()) > 0
    assert service.live().release_version == releases["b"].version
    (container,) = servers(engine, service)
    assert container.attrs["Config"]["Image"] == images["b"].reference
    assert releases["b"].version in container.name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wrong", "golden sentence 'bagus' is answered .* off"),
        ("never ready", "not ready within 4 s: the model is loading"),
        ("broken", "(?s)ended before it was ready.*no such thing"),
        ("slow", "too slow: 1"),
    ],
)
def test_what_is_not_right_is_refused_and_the_old_one_is_untouched(engine, service, releases, name, reason):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    before = service.live()
    timeout_s = 4 if name == "never ready" else 60
    with (
        Clients(port_of(service), answers_of(releases["a"]), count=2) as clients,
        pytest.raises(DeploymentRefused, match=reason),
    ):
        service.deploy(releases[name], silent, watching=Watching(ready_timeout_s=timeout_s))
    assert clients.failures == []
    assert service.live() == before
    assert len(servers(engine, service)) == 1
    assert [entry.outcome for entry in service.log.entries()] == ["refused", "live"]


def test_a_gpu_release_on_an_engine_without_gpus_is_refused_and_the_old_one_serves_on(
    engine, service, releases, images, tmp_path
):
    if "nvidia" in engine.client.info()["Runtimes"]:
        pytest.skip("this engine has GPUs to give")
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    before = service.live()
    # The engine refuses before anything runs, so that the image needs no GPU runtime in it.
    wanting = build_release(releases["b"].model, tmp_path / "built", lock=ROOT / "locks" / "serving-gpu.txt")
    ImageRecord(service.folder / "images.json").set(wanting.version, images["b"])
    with (
        Clients(port_of(service), answers_of(releases["a"]), count=2) as clients,
        pytest.raises(NeverStarted, match=r"the release wants a GPU and the engine gives none.*IMAGE_VARIANT=cpu"),
    ):
        service.deploy(wanting, silent)
    assert clients.failures == []
    assert service.live() == before
    assert len(servers(engine, service)) == 1


def test_one_that_dies_while_it_is_watched_is_rolled_back_within_five_seconds(engine, service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    before = service.live()
    died: list[float] = []

    def kill_when_live(line: str) -> None:
        if "is live" in line:
            (new,) = (c for c in servers(engine, service) if c.labels["mlops.release"] == releases["b"].version)
            new.kill("SIGKILL")
            died.append(time.monotonic())

    answered_again: list[float] = []

    def ask() -> None:
        while not died:
            time.sleep(0.01)
        while service.live() != before:
            time.sleep(0.05)
        answered_again.append(time.monotonic())

    asking = threading.Thread(target=ask)
    asking.start()
    with pytest.raises(RolledBack, match="after the switch"):
        service.deploy(releases["b"], kill_when_live, watching=Watching(watch_s=10))
    asking.join()
    assert answered_again[0] - died[0] < 5
    assert len(servers(engine, service)) == 1
    assert [entry.outcome for entry in service.log.entries()] == ["rolled back", "live"]


@pytest.mark.parametrize("name", REFUSED_FOR)
def test_what_only_some_texts_of_clients_meet_is_rolled_back(engine, service, releases, name):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    before = service.live()
    with Askers(port_of(service)) as askers:
        askers.wait_for(100)
        with pytest.raises(RolledBack, match=REFUSED_FOR[name]):
            service.deploy(releases[name], silent, watching=Watching(watch_s=60))
    assert service.live() == before
    with Askers(port_of(service)) as askers:
        askers.wait_for(30)
    assert set(askers.statuses) == {200}
    assert len(servers(engine, service)) == 1
    assert [entry.outcome for entry in service.log.entries()] == ["rolled back", "live"]


def test_one_that_fails_as_often_as_the_old_one_stays(service, releases):
    service.deploy(releases["fails at times too"], silent, watching=UNWATCHED)
    with Askers(port_of(service)) as askers:
        askers.wait_for(100)
        service.deploy(releases["fails at times"], silent, watching=Watching(watch_s=3))
        askers.wait_for(30)
    assert askers.statuses[500] > 0
    assert service.live().release_version == releases["fails at times"].version


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
    service = service_with(images, releases, folder)
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
    subprocess.run(["kill", "-9", str(pid)], check=True)
    assert wait_until(lambda: engine.client.containers.get(container.id).attrs["RestartCount"] == 1, timeout_s=20)
    assert wait_until(lambda: service.live() is not None, timeout_s=30)


def test_a_container_shows_when_the_pipeline_last_succeeded(service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    assert last_success(httpx.get(f"{service.url}/metrics").text) is None
    for at_s in (1772330400, 1772330401):
        scratch = service.folder / "shown" / "partial"
        scratch.write_text(f"{at_s}\n")
        scratch.rename(scratch.with_name("last_success"))  # as the notifier writes it
        assert last_success(httpx.get(f"{service.url}/metrics").text) == at_s


def test_the_image_is_locked_down_and_holds_only_the_release(engine, service, releases, images, tmp_path):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    (container,) = servers(engine, service)
    host = container.attrs["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert container.attrs["Config"]["User"] == "10001:10001"
    assert container.labels["mlops.model"] == releases["a"].model_version
    found = container.exec_run(["python", "-c", "import pip"])
    assert found.exit_code == 1
    with (tmp_path / "image.tar").open("wb") as file:
        for chunk in engine.client.images.get(images["a"].reference).save():
            file.write(chunk)
    names = set()
    with tarfile.open(tmp_path / "image.tar") as image:
        for layer in (member for member in image.getmembers() if member.name.endswith("layer.tar")):
            with tarfile.open(fileobj=image.extractfile(layer)) as files:
                names.update(files.getnames())
    assert "app/mlops_assets/serving/app.py" in names
    forbidden = re.compile(r"(^|/)(\.git|\.env|torch|sklearn|dagster|pandas|params\.yaml|.*\.csv)(/|$)")
    assert [name for name in names if forbidden.search(name)] == []


def test_a_build_that_fails_says_why_and_leaves_no_tag(engine, releases, tmp_path):
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM python:3.11-slim-bookworm\nRUN echo the reason && exit 3\n")
    with pytest.raises(BuildFailed, match=r"(?s)returned a non-zero code: 3.*the reason"):
        engine.build(releases["a"], "localhost:5000/mlops-test-failed", silent, dockerfile=dockerfile)
    assert not engine.has_image(f"localhost:5000/mlops-test-failed:{releases['a'].version}")
