"""Releases for the process target, and a service on which nothing is live."""

import pytest

from mlops_assets.artifact import Golden
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.release import build_release
from mlops_assets.deploy.service import Service
from tests.fakes.tiny_model import TEXTS, seal, seal_tiny_model
from tests.integration.process.place import ENVIRONMENT
from tests.integration.server_sources import FAILS_AT_TIMES, SLOW_AT_TIMES, server_with
from tests.user_clone import free_port


@pytest.fixture(scope="session")
def releases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("releases")
    for name, intercept in (("a", 0.0), ("b", 0.4), ("wrong", 0.0)):
        seal_tiny_model(folder / name, intercept=intercept)
    seal(folder / "wrong", [Golden(TEXTS[0], (0.99, 0.01))])
    built = {name: build_release(folder / name, folder / "built") for name in ("a", "b", "wrong")}
    for name, model, added in (
        ("fails at times", "b", FAILS_AT_TIMES),
        ("fails at times too", "a", FAILS_AT_TIMES),
        ("slow at times", "b", SLOW_AT_TIMES),
    ):
        package = server_with(folder / f"server-{name}", added, "prediction_routes.py")
        built[name] = build_release(folder / model, folder / "built", package=package)
    return built


@pytest.fixture
def service(tmp_path):
    # As deep as a real clone may lie: a socket's address holds only 108 bytes.
    service = Service(ProcessBackend(tmp_path / ("deep" * 30) / "state", free_port(), environment=ENVIRONMENT))
    yield service
    service.stop()
