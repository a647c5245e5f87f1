"""How tests are spread over the workers of pytest-xdist (the Makefile says how many there are), and Hypothesis."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# An example may take as long as a busy machine makes it.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

HANGS_AFTER_S = 1800
"""A long test with its setup, which builds images or starts a stack, on a machine that has much else to do."""

SHARED = {"docker": "tests/integration/test_docker_", "stack": "tests/long/test_stack_"}
SLOWEST = (
    "docker",
    "stack",
    "tests/long/test_readme.py",
    "tests/long/test_killed_run.py",
    "tests/long/test_outages.py",
    "tests/long/test_kubernetes_pods.py",
    "tests/long/test_ray.py",
    "tests/long/test_ui.py",
    "tests/long/test_housekeeping_soak.py",
    "tests/unit/reviews/drift/test_drift_calibration.py",
)
"""They begin first, so that no worker is left alone with them in the end."""


def lane(nodeid: str) -> str:
    """What one worker does alone: a file, for its fixtures' sake, or files that share one stack or the same images."""
    file = nodeid.partition("::")[0]
    return next((name for name, start in SHARED.items() if file.startswith(start)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadFileScheduling  # only with `-n`: pytest works without it

    class OneWorkerPerLane(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return lane(nodeid)

    config.option.loadscopereorder = False
    return OneWorkerPerLane(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.timeout(HANGS_AFTER_S))
    order = {name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: order.get(lane(item.nodeid), len(order)))
