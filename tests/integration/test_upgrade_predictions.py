"""Predictions and feedback that version 0.1.0 wrote are there for this one, which writes on."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.reporting.dashboard_database import MIGRATIONS, DashboardDatabase
from mlops_assets.serving.log.prediction_store import open_store
from tests.integration.postgres_server import psycopg, running_postgres

WRITTEN_BY_0_1_0 = (
    "CREATE TABLE predictions (request_id TEXT PRIMARY KEY, at TEXT NOT NULL, caller TEXT NOT NULL, "
    "sentiment TEXT NOT NULL, confidence DOUBLE PRECISION NOT NULL, probabilities TEXT NOT NULL, "
    "characters INTEGER NOT NULL, text TEXT, model_version TEXT NOT NULL, dataset_version TEXT NOT NULL)",
    "CREATE INDEX predictions_at ON predictions (at)",
    "CREATE TABLE feedback (request_id TEXT PRIMARY KEY REFERENCES predictions (request_id), "
    "label TEXT NOT NULL, caller TEXT NOT NULL, at TEXT NOT NULL)",
    "INSERT INTO predictions VALUES ('old', '2026-01-01T00:00:00+00:00', 'team', 'positive', 0.75, "
    "'{\"positive\": 0.75}', 5, 'bagus', 'm1', 'd1')",
    "INSERT INTO predictions VALUES ('older', '2025-12-31T00:00:00+00:00', 'team', 'negative', 0.9, '{}', 5, NULL, "
    "'m1', 'd1')",
    "INSERT INTO feedback VALUES ('old', 'negative', 'team', '2026-01-02T00:00:00+00:00')",
)
"""Never edited: what lies in the volumes of those who have it."""
PREDICTIONS = "SELECT request_id, at, caller, sentiment, confidence, text, model_version FROM predictions ORDER BY at"
FEEDBACK = "SELECT request_id, label FROM feedback ORDER BY request_id"


@contextlib.contextmanager
def database(kind: str, folder: Path) -> Iterator[tuple[str, Any]]:
    """Its place, and how to open a connection to it."""
    if kind == "sqlite":
        path = folder / "predictions.db"
        yield f"sqlite:{path}", lambda: contextlib.closing(sqlite3.connect(path))
        return
    with running_postgres() as postgres:
        yield postgres.url(), lambda: psycopg.connect(postgres.url())


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_an_older_server_logged_stays_and_is_added_to(tmp_path: Path, kind: str) -> None:
    with database(kind, tmp_path) as (place, connect):
        with connect() as connection:
            for statement in WRITTEN_BY_0_1_0:
                connection.execute(statement)
            connection.commit()
        store = open_store(place)
        store.write([("new", "2026-03-01T00:00:00+00:00", "team", "positive", 0.8, "{}", 5, None, "m2", "d2")])
        assert store.attach("older", "positive", "team", "2026-03-02T00:00:00+00:00")
        store.close()
        with connect() as connection:
            assert [tuple(row) for row in connection.execute(PREDICTIONS).fetchall()] == [
                ("older", "2025-12-31T00:00:00+00:00", "team", "negative", 0.9, None, "m1"),
                ("old", "2026-01-01T00:00:00+00:00", "team", "positive", 0.75, "bagus", "m1"),
                ("new", "2026-03-01T00:00:00+00:00", "team", "positive", 0.8, None, "m2"),
            ]
            said = [tuple(row) for row in connection.execute(FEEDBACK).fetchall()]
            assert said == [("old", "negative"), ("older", "positive")]


def test_the_numbered_migrations_keep_what_an_older_server_logged() -> None:
    with running_postgres() as postgres, psycopg.connect(postgres.url()) as connection:
        for statement in WRITTEN_BY_0_1_0:
            connection.execute(statement)
        connection.commit()
        before = connection.execute(PREDICTIONS).fetchall(), connection.execute(FEEDBACK).fetchall()
        connection.commit()
        assert (
            DashboardDatabase(postgres.url()).prepare()
            == DashboardDatabase(postgres.url()).prepare()
            == len(MIGRATIONS)
        )
        assert (connection.execute(PREDICTIONS).fetchall(), connection.execute(FEEDBACK).fetchall()) == before
