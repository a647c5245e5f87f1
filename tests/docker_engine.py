"""The engine for tests with the mark `docker`: skipped without one, a failure where REQUIRE_DOCKER=1 promises it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.deploy.backend import Packaged
from mlops_assets.deploy.docker.backend import DockerBackend
from mlops_assets.deploy.docker.engine import DockerEngine, EngineDown
from mlops_assets.deploy.docker.images import ImageRecord
from mlops_assets.deploy.service import Service
from tests.user_clone import free_port

REPOSITORY = "localhost:5000/mlops-test"


def engine_or_skip() -> DockerEngine:
    """An open engine; the caller closes it."""
    try:
        return DockerEngine()
    except EngineDown as error:
        if os.environ.get("REQUIRE_DOCKER") == "1":  # noqa: TID251  a promise about the tests, no setting
            pytest.fail(f"REQUIRE_DOCKER=1, but {error}")
        pytest.skip(str(error))


def service_on_docker(folder: Path, images: Mapping[str, Packaged], certificate: Path | None = None) -> Service:
    """A service on a free port that knows `images`, by release version, as proven and pushed."""
    folder.mkdir(parents=True, exist_ok=True)
    for version, image in images.items():
        ImageRecord(folder / "images.json").set(version, image)
    return Service(DockerBackend(folder, free_port(), certificate=certificate))


def port_of(service: Service) -> int:
    return int(service.url.rsplit(":", 1)[1])


def project_of(service: Service) -> str:
    """The label of all that the service has on the engine."""
    return f"mlops-{port_of(service)}"


def servers(engine: DockerEngine, service: Service) -> list[Any]:
    """The containers that serve or are about to."""
    found = engine.containers(f"mlops.project={project_of(service)}")
    return [container for container in found if container.labels["mlops.role"] == "server"]
