"""`make restore` and the pruning with target docker: one container, the right image, and room on the engine."""

import shutil
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets import outside
from mlops_assets.cli.data import restore_version, roll_back
from mlops_assets.cli.run import run_pipeline
from mlops_assets.deploy.backend import Packaged
from mlops_assets.deploy.docker.engine import DockerEngine
from mlops_assets.deploy.history import KEPT
from mlops_assets.deploy.release import Release, build_release
from mlops_assets.deploy.service import Service
from mlops_assets.settings import Settings
from mlops_assets.steps import prune as pruning
from tests.fakes.tiny_model import TEXTS, seal_tiny_model
from tests.integration.clients import Clients
from tests.repository import ROOT
from tests.user_clone import free_port, make_clone, settings_of

pytestmark = [pytest.mark.docker, pytest.mark.long]

FEBRUARY, APRIL = "2026-02-15T00:00:00Z", "2026-04-15T00:00:00Z"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass
class Place:
    """A clone with target docker and a repository of its own in the registry."""

    root: Path
    engine: DockerEngine
    port: int
    registry: str

    def settings(self, now: str = APRIL) -> Settings:
        given = {"NOW": now, "PORT": str(self.port), "IMAGE_REGISTRY": self.registry}
        return settings_of(self.root, **given, DEPLOY_TARGET="docker")

    @property
    def service(self) -> Service:
        return outside.service(self.settings())

    @property
    def project(self) -> str:
        return f"mlops-{self.port}"

    def containers(self) -> list[Any]:
        """Every one but the gateway."""
        found = self.engine.containers(f"mlops.project={self.project}")
        return [container for container in found if container.labels["mlops.role"] != "gateway"]

    def images(self) -> set[str]:
        return {image.id for image in self.engine.images(f"mlops.builder={self.project}")}

    def image_of(self, release: Release) -> Packaged:
        image = self.service.packaged(release.version)
        assert image is not None
        return image

    def served(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=60).json()["model_version"]

    def answer(self) -> float:
        """The serving model's probability of positive for the text that the clients send."""
        asked = httpx.post(f"http://127.0.0.1:{self.port}/predict", json={"text": TEXTS[0]}, timeout=60)
        return asked.json()["probabilities"]["positive"]

    def named(self, tag: str) -> str:
        """The digest that the registry knows under the tag."""
        host, _, folder = self.registry.partition("/")
        url = f"http://{host}/v2/{folder}/{outside.IMAGE_NAME}/manifests/{tag}"
        request = urllib.request.Request(url, headers={"Accept": MANIFEST}, method="HEAD")
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # this machine's registry
            return answer.headers["Docker-Content-Digest"]

    def prune(self, *, dry_run: bool = False) -> list[str]:
        things, said = outside.build(self.settings()), []
        pruning.prune(self.settings(), things["repository"], things["service"], said.append, dry_run=dry_run)
        return [line for line in said if line.startswith(("remove release", "remove image", "remove container"))]


def place_in(folder: Path, engine: DockerEngine, **params: Any) -> Iterator[Place]:
    place = Place(make_clone(folder, **params), engine, free_port(), f"localhost:5000/test-{uuid.uuid4().hex[:6]}")
    (place.root / "locks").mkdir()
    shutil.copyfile(ROOT / "locks" / "serving.txt", place.root / "locks" / "serving.txt")
    try:
        yield place
    finally:
        place.service.stop()
        place.service.prune(frozenset(), print)
        assert place.images() == set()


@pytest.fixture(scope="module")
def ran(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A clone in which nothing ran yet; the margin is so wide that April's model takes the place of February's."""
    evaluate = {"rounds": 200, "worse_points": 100, "anchor_points": 100}
    yield from place_in(tmp_path_factory.mktemp("ran") / "clone", engine, evaluate=evaluate)


def test_a_restore_costs_no_request_and_the_next_run_keeps_the_older_model(ran: Place) -> None:
    answers = {}
    for now in (FEBRUARY, APRIL):
        assert run_pipeline(ran.settings(now)) == 0
        answers[ran.served()] = ran.answer()
    older, newer = answers
    assert ran.named("latest") == ran.named(f"v{newer}")
    entry = next(one for one in ran.service.log.entries() if one.model_version == older)
    before = ran.service.packaged(entry.release_version)
    _, _, version, _ = outside.build(ran.settings())["repository"].versions()
    assert version.champion == older

    with Clients(ran.port, answers, count=4) as clients:
        assert restore_version(ran.settings(), version.commit) == 0
    assert clients.failures == []
    assert min(clients.asked.values()) > 0

    assert ran.served() == older
    (container,) = ran.containers()
    image = ran.service.packaged(entry.release_version)
    assert image is not None
    assert before is not None
    assert container.attrs["Config"]["Image"] == image.reference == before.reference
    assert f"@{ran.named('latest')}" in image.reference
    assert ran.named(f"v{older}") == ran.named("latest") != ran.named(f"v{newer}")
    newest = ran.service.log.entries()[0]
    assert (newest.outcome, newest.model_version) == ("live", older)
    assert newest.caused_by == f"make restore {version.commit[:12]}"

    assert run_pipeline(ran.settings(FEBRUARY)) == 0
    assert ran.served() == older
    assert ran.service.log.entries()[0] == newest
    assert ran.engine.client.containers.get(container.id).status == "running"


@pytest.fixture(scope="module")
def deployed(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, list[Release]]]:
    """One release more was live than stay, and the last one is the champion's."""
    folder = tmp_path_factory.mktemp("deployed")
    for place in place_in(folder / "clone", engine, deploy={"watch_s": 0}):
        # Models that no other test builds, so that no other image shares their layers.
        own = uuid.uuid4().int % 10**6 / 1e6
        releases = []
        for number in range(KEPT + 2):
            champion = folder / f"model-{number}"
            seal_tiny_model(champion, intercept=own + number / 10)
            release = build_release(champion, place.settings().releases, lock=place.settings().serving_lock)
            place.service.deploy(release, print)
            releases.append(release)
        yield place, releases


def layers(engine: DockerEngine, image: str) -> set[str]:
    """The image and what it was built from, as far as it lies here as an image."""
    return {row["Id"] for row in engine.client.api.history(image)} - {"<missing>"}


def test_pruning_removes_what_no_kept_release_needs(deployed: tuple[Place, list[Release]]) -> None:
    place, (oldest, *kept) = deployed
    engine, live = place.engine, kept[-1]
    gone, stays = place.image_of(oldest), [place.image_of(one) for one in kept]
    of_the_oldest = layers(engine, gone.reference) - set().union(*(layers(engine, one.reference) for one in stays))
    assert len(of_the_oldest) > 1
    name = f"{place.registry}/{outside.IMAGE_NAME}"
    labels = {"mlops.builder": place.project, "mlops.run": "another"}
    replaced = engine.client.images.get(engine.build(kept[0], name, print, labels=labels)).id
    left = engine.create(
        gone.reference, f"{place.project}-left", labels={"mlops.project": place.project, "mlops.role": "trial"}
    )
    theirs = engine.create(gone.reference, f"{place.project}-theirs")
    tags = engine.client.images.get(gone.reference).tags
    there = place.images()

    expected = {
        f"remove release {oldest.version}",
        f"remove container {left.name}, which a killed deployment left",
        f"remove image {replaced} of release {kept[0].version}",
    }
    try:
        assert set(place.prune(dry_run=True)) == expected
        assert place.images() == there
        assert len(place.containers()) == 2
        assert oldest.folder.is_dir()

        assert set(place.prune()) == expected
        assert engine.client.images.get(gone.reference).tags == tags  # A container of somebody else needs it.
    finally:
        theirs.remove(force=True)
    assert place.prune(dry_run=True) == place.prune() == [f"remove image {gone.reference} of release {oldest.version}"]
    assert place.prune() == []

    assert not oldest.folder.exists()
    assert place.service.packaged(oldest.version) is None
    everything = {image.id for image in engine.client.images.list(all=True)}
    assert everything.isdisjoint({replaced, *of_the_oldest})
    assert place.images() == {engine.client.images.get(one.reference).id for one in stays}
    (container,) = place.containers()
    assert container.labels["mlops.release"] == live.version
    assert place.served() == live.model_version


def test_a_rollback_to_the_oldest_kept_release_needs_no_registry(
    deployed: tuple[Place, list[Release]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, releases = deployed
    with monkeypatch.context() as patched:
        for needs_more in ("build", "push"):
            patched.setattr(DockerEngine, needs_more, None)
        patched.setattr("docker.api.APIClient.pull", None)
        assert roll_back(place.settings(), releases[1].version) == 0
    assert place.served() == releases[1].model_version


def test_an_image_that_the_engine_lost_is_pulled_by_its_digest(
    deployed: tuple[Place, list[Release]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, releases = deployed
    lost = place.image_of(releases[3])
    assert place.engine.remove_image(lost.reference)
    assert not place.engine.has_image(lost.reference)
    with monkeypatch.context() as patched:
        patched.setattr(DockerEngine, "build", None)
        assert roll_back(place.settings(), releases[3].version) == 0
    assert place.served() == releases[3].model_version
    assert place.image_of(releases[3]) == lost


def test_the_live_image_stays_although_its_release_folder_is_gone(deployed: tuple[Place, list[Release]]) -> None:
    place, releases = deployed
    live = place.service.live()
    assert live is not None
    shutil.rmtree(place.settings().releases / live.release_version)
    place.prune()
    assert place.served() == live.model_version
    image = place.service.packaged(live.release_version)
    assert image is not None
    assert place.engine.has_image(image.reference)
    assert len(place.images()) == KEPT + 1
    assert releases[0].version not in {one.labels["mlops.release"] for one in place.containers()}
