import pytest
from hypothesis import HealthCheck, settings

from tests.collection_machine import CollectionMachine


@pytest.mark.slow
class TestAnyHistory(CollectionMachine.TestCase):
    # Derandomised: the long run of the same machine looks for new cases.
    settings = settings(
        max_examples=10,
        stateful_step_count=12,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
