"""The engine for tests with the mark `docker`: skipped without one, a failure where REQUIRE_DOCKER=1 promises it."""

import os

import pytest

from mlops_assets.deploy.docker.engine import DockerEngine, EngineDown


def engine_or_skip() -> DockerEngine:
    """An open engine; the caller closes it."""
    try:
        return DockerEngine()
    except EngineDown as error:
        if os.environ.get("REQUIRE_DOCKER") == "1":  # noqa: TID251  a promise about the tests, no setting
            pytest.fail(f"REQUIRE_DOCKER=1, but {error}")
        pytest.skip(str(error))
