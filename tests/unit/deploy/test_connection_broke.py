"""The way to the engine breaks at any call of a deployment: a release serves, and the next deployment finishes."""

from pathlib import Path
from typing import Any

import pytest

from mlops_assets.deploy.docker.machine import EngineDown
from mlops_assets.deploy.release import Release, build_release
from mlops_assets.deploy.rollout import DeploymentRefused, RolledBack
from mlops_assets.deploy.service import Service
from tests.fakes.service import UNWATCHED, FakeBackend, silent
from tests.fakes.tiny_model import seal_tiny_model

CALLS = ("sweep", "current", "as_set", "public", "start", "running", "ask", "traffic", "switch", "stop", "log")


class Breaking(FakeBackend):
    """Breaks once, at the call with the number `breaks_at`."""

    breaks_at = -1
    calls = 0

    def __getattribute__(self, name: str) -> Any:
        if name in CALLS:
            self.calls += 1
            if self.calls == self.breaks_at:
                raise EngineDown(f"ssh://host broke off at {name}")
        return super().__getattribute__(name)


@pytest.fixture
def releases(tmp_path: Path) -> tuple[Release, Release]:
    for name, intercept in (("a", 0.0), ("b", 0.4)):
        seal_tiny_model(tmp_path / name, intercept=intercept)
    a, b = (build_release(tmp_path / name, tmp_path / "built") for name in ("a", "b"))
    return a, b


@pytest.mark.slow
def test_whatever_call_breaks_a_proven_release_serves_and_the_next_deployment_finishes(
    tmp_path: Path, releases: tuple[Release, Release]
) -> None:
    old, new = releases
    errors: list[Exception] = []
    for number in range(1, 200):
        backend = Breaking(tmp_path / f"state {number}")
        service = Service(backend, watching=UNWATCHED)
        service.deploy(old, silent)
        backend.calls, backend.breaks_at = 0, number
        try:
            service.deploy(new, silent)
        except (EngineDown, DeploymentRefused, RolledBack) as broke:
            errors.append(broke)
            serving = backend.serving
            assert serving is not None
            assert serving.alive
            if isinstance(broke, DeploymentRefused | RolledBack):
                assert serving.release == old
            backend.breaks_at = -1
            service.deploy(new, silent)
        assert backend.serving is not None
        assert (backend.serving.release, backend.serving.alive) == (new, True)
        assert service.log.entries()[0].outcome == "live"
        if backend.calls < number:
            break
    assert all("ssh://host broke off at" in str(error) for error in errors)
    assert {type(error) for error in errors} == {EngineDown, DeploymentRefused, RolledBack}
