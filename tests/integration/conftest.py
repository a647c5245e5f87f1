"""What several integration tests stand on: the Docker engine, a PostgreSQL, a home without anybody's git settings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.deploy.backend import Packaged
from mlops_assets.deploy.docker.engine import DockerEngine
from mlops_assets.deploy.release import Release, build_release
from mlops_assets.deploy.service import Service
from tests.docker_engine import REPOSITORY, engine_or_skip, service_on_docker
from tests.fakes.tiny_model import seal_tiny_model
from tests.integration.postgres_server import Postgres, running_postgres
from tests.repository import ROOT


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    with engine_or_skip() as engine:
        yield engine


@pytest.fixture(scope="session")
def two_releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Release]:
    """`a` and `b`: two models with one server, for images."""
    folder = tmp_path_factory.mktemp("releases")
    for name, intercept in (("a", 0.0), ("b", 0.4)):
        seal_tiny_model(folder / name, intercept=intercept)
    lock = ROOT / "locks" / "serving.txt"
    return {name: build_release(folder / name, folder / "built", lock=lock) for name in ("a", "b")}


@pytest.fixture(scope="session")
def two_images(engine: DockerEngine, two_releases: dict[str, Release]) -> Iterator[dict[str, Packaged]]:
    """Their images in the registry, built once for all modules."""
    pushed = {
        name: engine.push(engine.build(release, REPOSITORY, print), (), print) for name, release in two_releases.items()
    }
    yield pushed
    for image in pushed.values():
        engine.client.images.remove(engine.client.images.get(image.reference).id, force=True)


@pytest.fixture(scope="session")
def releases(two_releases: dict[str, Release]) -> dict[str, Release]:
    """A module may add to them; what the other modules share is above."""
    return two_releases


@pytest.fixture(scope="session")
def images(two_images: dict[str, Packaged]) -> dict[str, Packaged]:
    return two_images


@pytest.fixture
def service(images: dict[str, Packaged], releases: dict[str, Release], tmp_path: Path) -> Iterator[Service]:
    """A service with target docker on which nothing is live, and which has the images of `releases`."""
    service = service_on_docker(tmp_path / "state", {releases[name].version: image for name, image in images.items()})
    yield service
    service.stop()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """HOME, empty: no git settings of whoever runs the tests."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home
