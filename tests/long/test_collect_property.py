import pytest
from hypothesis import HealthCheck, settings

from tests.collection_machine import CollectionMachine


@pytest.mark.long
class TestAnyLongHistory(CollectionMachine.TestCase):
    settings = settings(
        max_examples=20,
        stateful_step_count=25,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
