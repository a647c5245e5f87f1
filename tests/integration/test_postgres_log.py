"""The prediction log in a real PostgreSQL: written, fed back, and again after the database was away."""

from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient

from mlops_assets.serving.app import create_app
from mlops_assets.serving.log.prediction_store import open_store
from mlops_assets.serving.options import ServerOptions
from mlops_assets.team_server.instance import grant_prediction_log, make_databases
from tests.integration.clients import wait_until
from tests.integration.postgres_server import Postgres
from tests.unit.serving.served import loaded, ready


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
        assert client.post("/predict", json={"text": "aab"}).status_code == 200
        postgres.start()

        def written_again() -> bool:
            later = client.post("/predict", json={"text": "b"}).json()["request_id"]
            return wait_until(lambda: bool(_logged(postgres, later)), timeout_s=2)

        assert any(written_again() for _ in range(10))


def test_the_server_writes_its_log_as_a_role_that_can_do_nothing_else(postgres: Postgres) -> None:
    """As in the stack: on an installation whose tables are there, and whose server was the owner so far."""
    environ = {**postgres.environment, "POSTGRES_DB": "reviews", "POSTGRES_PASSWORD": ""}
    database = postgres.create("reviews")
    log = open_store(database)
    row = ("before", "2026-01-01", "web", "positive", 0.9, "{}", 4, "secret text", "m", "d")
    log.write([row])
    log.close()
    for _ in range(2):
        make_databases(environ, {"reader": "r", "prediction_log": "p"})
        grant_prediction_log(environ)

    options = ServerOptions.from_environment({**environ, "POSTGRES_USER": "prediction_log"})
    with TestClient(create_app(loaded, options=options)) as client:
        ready(client)
        request_id = client.post("/predict", json={"text": "aaab"}).json()["request_id"]
        count = "SELECT count(*) FROM predictions"
        assert wait_until(lambda: postgres.rows(count, "reviews") == [(2,)])
        for label in ("negative", "positive"):
            reply = client.post("/feedback", json={"request_id": request_id, "label": label})
            assert reply.status_code == 200, reply.text
    assert postgres.rows("SELECT label FROM feedback", "reviews") == [("positive",)]

    with psycopg.connect(database.replace("mlops@", "prediction_log@"), autocommit=True) as connection:
        for query in (
            "SELECT text FROM predictions", "DELETE FROM predictions", "UPDATE predictions SET text = ''",
            "DELETE FROM feedback", "TRUNCATE feedback CASCADE", "CREATE TABLE mine (x int)", "DROP TABLE feedback",
            "CREATE TEMP TABLE x (y int)", "COPY predictions TO PROGRAM 'true'", "CREATE ROLE other",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(query)
    with pytest.raises(psycopg.OperationalError, match="CONNECT"):
        psycopg.connect(postgres.url("dagster").replace("mlops@", "prediction_log@"))
    psycopg.connect(postgres.url("dagster").replace("mlops@", "reader@")).close()


def _logged(postgres: Postgres, request_id: str) -> list[tuple[Any, ...]]:
    query = "select sentiment, confidence, characters, text from predictions where request_id = "
    found = postgres.rows("select to_regclass('predictions') is not null")
    return postgres.rows(f"{query}'{request_id}'") if found == [(True,)] else []  # our own hex id
