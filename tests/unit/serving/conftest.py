"""A client of the service that tests of this folder ask."""

import pytest

from tests.unit.serving.served import client_of, ready


@pytest.fixture
def client():
    with client_of() as client:
        yield ready(client)
