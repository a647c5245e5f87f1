"""Which target serves, how one gives way to the other, and that a rollback holds."""

from pathlib import Path

import pytest

from mlops_assets import outside
from mlops_assets.deploy.backend import Packaged
from mlops_assets.deploy.docker.engine import EngineDown, registry_answers
from mlops_assets.deploy.docker.images import ImageRecord
from mlops_assets.deploy.release import Release, build_release
from mlops_assets.deploy.rollout import DeploymentRefused
from mlops_assets.deploy.service import Service
from mlops_assets.settings import DeployTarget, Settings
from tests.fakes.service import UNWATCHED, FakeBackend, silent
from tests.fakes.tiny_model import seal_tiny_model
from tests.repository import ROOT
from tests.service_cases import ServiceCases
from tests.user_clone import free_port


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, Release]:
    folder = tmp_path_factory.mktemp("releases")
    for name, intercept in (("a", 0.0), ("b", 0.4)):
        seal_tiny_model(folder / name, intercept=intercept)
    return build_release(folder / "a", folder / "built"), build_release(folder / "b", folder / "built")


class Place:
    """Both targets in memory, and the service that chooses."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.process = FakeBackend(folder, "process", said=self.said)
        self.docker = FakeBackend(folder, "docker", said=self.said)

    def service(self, wanted: DeployTarget, *, engine: bool = True) -> Service:
        self.docker.answers = engine
        return Service(self.docker, self.process, wanted=wanted, watching=UNWATCHED)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "engine", "target"),
    [
        ("auto", True, "docker"),
        ("auto", False, "process"),
        ("process", True, "process"),
        ("docker", False, "docker"),
    ],
)
def test_auto_is_docker_where_an_engine_answers(place: Place, wanted: DeployTarget, engine: bool, target: str) -> None:
    assert place.service(wanted, engine=engine).target == target


def test_a_process_stops_after_the_image_is_there_and_before_the_container_takes_the_port(
    place: Place, releases: tuple[Release, Release]
) -> None:
    first, second = releases
    place.service("process").deploy(first, silent)
    lines: list[str] = []
    service = place.service("auto")
    live = service.live()
    assert live is not None
    assert live.target == "process"
    service.deploy(second, lines.append)
    assert place.said == [
        f"process packages {first.version}",
        f"process starts {first.version}",
        f"docker packages {second.version}",
        "process ends",
        f"docker packages {second.version}",
        f"docker starts {second.version}",
    ]
    assert any("from target process to docker" in line for line in lines)
    live = service.live()
    assert live is not None
    assert (live.target, live.release_version) == ("docker", second.version)


def test_a_target_that_refuses_gives_the_port_back(place: Place, releases: tuple[Release, Release]) -> None:
    first, second = releases
    place.service("process").deploy(first, silent)
    place.docker.behaviour = "broken"
    service = place.service("docker")
    with pytest.raises(DeploymentRefused, match="it is broken"):
        service.deploy(second, silent)
    live = service.live()
    assert live is not None
    assert (live.target, live.release_version) == ("process", first.version)


def test_without_an_engine_the_other_target_is_left_alone(place: Place, releases: tuple[Release, Release]) -> None:
    service = place.service("process", engine=False)
    service.deploy(releases[0], silent)
    assert service.stop()
    assert not any("docker" in line for line in place.said)


def test_images_are_pruned_where_the_target_was_docker_before(place: Place) -> None:
    place.service("process").prune(frozenset(), silent)
    assert place.said == ["process prunes", "docker prunes"]
    place.service("process", engine=False).prune(frozenset(), silent)
    assert place.said == ["process prunes", "docker prunes", "process prunes"]


class TestInMemory(ServiceCases):
    @pytest.fixture
    def releases(self, tmp_path: Path) -> dict[str, Release]:
        folder = tmp_path / "releases"
        for number, name in enumerate(("a", "b", "wrong")):
            seal_tiny_model(folder / name, intercept=number / 2)
        return {name: build_release(folder / name, folder / "built") for name in ("a", "b", "wrong")}

    @pytest.fixture
    def service(self, releases: dict[str, Release], tmp_path: Path) -> Service:
        return Service(FakeBackend(tmp_path / "state", wrong=releases["wrong"].version))


def test_a_tag_names_one_image(tmp_path: Path) -> None:
    record = ImageRecord(tmp_path / "images.json")
    for release, model in (("a", "va"), ("b", "vb")):
        record.set(release, Packaged(release, (release, model, "latest"), 1))
    assert {release: image.tags for release, image in record.all().items()} == {
        "a": ("a", "va"),
        "b": ("b", "vb", "latest"),
    }


def test_a_rollback_holds_until_there_is_a_new_release(place: Place, releases: tuple[Release, Release]) -> None:
    first, second = releases
    service = place.service("process")
    for release in releases:
        service.deploy(release, silent, caused_by="run 1")
    assert service.held_back(second.version) is None
    service.roll_back(first.folder.parent, "", silent, asked_by="make rollback")
    held = service.held_back(second.version)
    assert held is not None
    assert held.release_version == first.version
    assert f"make rollback TO={second.version}" in held.reason
    assert service.held_back("newer") is None
    service.roll_back(first.folder.parent, second.version, silent, asked_by="make rollback")
    assert service.held_back(second.version) is None


def test_without_an_engine_auto_is_process_and_docker_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, releases: tuple[Release, Release]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    settings = Settings.load({}, ROOT).model_copy(update={"root": tmp_path})
    assert outside.service(settings).target == "process"
    docker = outside.service(settings.model_copy(update={"deploy_target": "docker"}))
    assert docker.live() is None
    with pytest.raises(EngineDown, match="set DEPLOY_TARGET=process"):
        docker.deploy(releases[0], silent)


def test_auto_is_process_where_an_engine_has_no_registry_to_push_to() -> None:
    assert not registry_answers(f"localhost:{free_port()}/team")
    assert registry_answers("ghcr.io/someone")
