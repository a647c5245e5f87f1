"""Releases that are wrong on purpose, on the real engine: refused or rolled back while the old one serves."""

import threading
import time

import pytest

from mlops_assets.artifact import Golden
from mlops_assets.deploy.docker.backend import DockerBackend
from mlops_assets.deploy.docker.images import ImageRecord
from mlops_assets.deploy.docker.servers import NeverStarted
from mlops_assets.deploy.release import build_release
from mlops_assets.deploy.rollout import DeploymentRefused, RolledBack
from mlops_assets.deploy.service import Service
from mlops_assets.params.operations import Watching
from tests.docker_engine import REPOSITORY, port_of, servers
from tests.fakes.service import UNWATCHED, silent
from tests.fakes.tiny_model import TEXTS, seal, seal_tiny_model
from tests.integration.clients import Askers, Clients, answers_of, wait_until
from tests.integration.server_sources import FAILS_AT_TIMES, REFUSED_FOR, SLOW_AT_TIMES, server_with
from tests.repository import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.long]

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


@pytest.fixture(scope="session")
def releases(two_releases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrong")
    lock = ROOT / "locks" / "serving.txt"
    seal_tiny_model(folder / "wrong")
    seal(folder / "wrong", [Golden(TEXTS[0], (0.99, 0.01))])
    built = {**two_releases, "wrong": build_release(folder / "wrong", folder / "built", lock=lock)}
    for name, model, added, module in (
        ("slow", "b", SLOW, "models/classic.py"),
        ("never ready", "b", NEVER_READY, "models/classic.py"),
        ("broken", "b", BROKEN, "__main__.py"),
        ("slow at times", "b", SLOW_AT_TIMES, "prediction_routes.py"),
        ("fails at times", "b", FAILS_AT_TIMES, "prediction_routes.py"),
        ("fails at times too", "a", FAILS_AT_TIMES, "prediction_routes.py"),
    ):
        package = server_with(folder / f"server-{name}", added, module)
        built[name] = build_release(two_releases[model].model, folder / "built", lock=lock, package=package)
    return built


@pytest.fixture(scope="session")
def images(engine, two_images, releases):
    """Those of every module, and of the wrong ones."""
    wrong = {
        name: engine.push(engine.build(release, REPOSITORY, silent), (), silent)
        for name, release in releases.items()
        if name not in two_images
    }
    yield {**two_images, **wrong}
    for image in wrong.values():
        engine.client.images.remove(engine.client.images.get(image.reference).id, force=True)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wrong", "golden sentence 'bagus' is answered .* off"),
        ("never ready", "not ready within 10 s: the model is loading"),
        ("broken", "(?s)ended before it was ready.*no such thing"),
        ("slow", r"too slow: \d"),
    ],
)
def test_what_is_not_right_is_refused_and_the_old_one_is_untouched(engine, service, releases, name, reason):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    before = service.live()
    timeout_s = 10 if name == "never ready" else 60
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
        assert wait_until(lambda: len(died) > len(answered_again), timeout_s=240)
        assert wait_until(lambda: service.live() == before)
        answered_again.append(time.monotonic())

    for _ in range(3):  # a busy machine may be late, but not each time
        asking = threading.Thread(target=ask)
        asking.start()
        with pytest.raises(RolledBack, match="after the switch"):
            service.deploy(releases["b"], kill_when_live, watching=Watching(watch_s=10))
        asking.join()
        if answered_again[-1] - died[-1] < 5:
            break
    assert answered_again[-1] - died[-1] < 5
    assert len(servers(engine, service)) == 1
    assert [entry.outcome for entry in service.log.entries()] == [*["rolled back"] * len(died), "live"]


def test_a_server_that_needs_more_memory_than_it_may_use_is_refused_with_the_limit_and_its_name(service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    before = service.live()
    narrow = Service(DockerBackend(service.folder, port_of(service), environment={"SERVICE_MEMORY": "20m"}))
    with pytest.raises(DeploymentRefused, match=r"used more than its 20 MiB .*: set SERVICE_MEMORY to more"):
        narrow.deploy(releases["b"], silent, watching=UNWATCHED)
    assert service.live() == before


@pytest.mark.parametrize("name", REFUSED_FOR)
def test_what_only_some_texts_of_clients_meet_is_rolled_back(engine, service, releases, name):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    before = service.live()
    with Askers(port_of(service)) as askers:
        askers.wait_for(100)
        with pytest.raises(RolledBack, match=REFUSED_FOR[name]):
            # A busy machine makes the old one slow too: five times its time would be more than the new one's.
            service.deploy(releases[name], silent, watching=Watching(watch_s=60, slower_at_most=3))
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
        # Judged by its errors alone: on a busy machine a good server is slow at times.
        service.deploy(releases["fails at times"], silent, watching=Watching(watch_s=3, always_fast_s=60))
        askers.wait_for(30)
    assert askers.statuses[500] > 0
    assert service.live().release_version == releases["fails at times"].version
