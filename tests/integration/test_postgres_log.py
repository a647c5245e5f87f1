"""The prediction log in a real PostgreSQL: written, fed back, and again after the database was away."""

import time
from typing import Any

from starlette.testclient import TestClient

from mlops_assets.serving.app import create_app
from mlops_assets.serving.options import ServerOptions
from tests.integration.clients import wait_until
from tests.integration.postgres_server import Postgres
from tests.unit.serving.test_app import loaded, ready


def test_predictions_and_feedback_go_to_postgresql_and_on_after_it_was_away(postgres: Postgres) -> None:
    options = ServerOptions.from_environment(postgres.environment)
    with TestClient(create_app(loaded, options=options)) as client:
        ready(client)
        request_id = client.post("/predict", json={"text": "aaab"}).json()["request_id"]
        assert wait_until(lambda: bool(_logged(postgres, request_id)))
        assert _logged(postgres, request_id) == [("positive", 0.75, 4, None)]
        reply = client.post("/feedback", json={"request_id": request_id, "label": "negative"})
        assert reply.status_code == 200
        assert postgres.rows("select request_id, label from feedback") == [(request_id, "negative")]

        postgres.stop()
        started = time.monotonic()
        assert client.post("/predict", json={"text": "aab"}).status_code == 200
        assert time.monotonic() - started < 1
        postgres.start()

        def written_again() -> bool:
            later = client.post("/predict", json={"text": "b"}).json()["request_id"]
            return wait_until(lambda: bool(_logged(postgres, later)), timeout_s=2)

        assert any(written_again() for _ in range(10))


def _logged(postgres: Postgres, request_id: str) -> list[tuple[Any, ...]]:
    query = "select sentiment, confidence, characters, text from predictions where request_id = "
    found = postgres.rows("select to_regclass('predictions') is not null")
    return postgres.rows(f"{query}'{request_id}'") if found == [(True,)] else []  # our own hex id
