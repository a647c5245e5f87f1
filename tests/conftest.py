"""How tests are spread over the workers of pytest-xdist; the Makefile says how many there are."""

from typing import Any

import pytest

SLOWEST = (
    "docker",
    "tests/long/test_stack.py",
    "tests/long/test_readme.py",
    "tests/long/test_killed_run.py",
    "tests/long/test_outages.py",
    "tests/long/test_kubernetes_pods.py",
)
"""They begin first, so that no worker is left alone with them in the end."""


def lane(nodeid: str) -> str:
    """What one worker does alone: a test file, for its fixtures' sake, or all tests that share images of the engine."""
    file = nodeid.partition("::")[0]
    return "docker" if file.startswith("tests/integration/test_docker_") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadFileScheduling  # only with `-n`: pytest works without it

    class OneWorkerPerLane(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return lane(nodeid)

    config.option.loadscopereorder = False
    return OneWorkerPerLane(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: order.get(lane(item.nodeid), len(order)))
