"""What several integration tests stand on: the Docker engine, a PostgreSQL, a home without anybody's git settings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.deploy.docker.engine import DockerEngine
from tests.docker_engine import engine_or_skip
from tests.integration.postgres_server import Postgres, running_postgres


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    with engine_or_skip() as engine:
        yield engine


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
