"""The prediction log in a real PostgreSQL: written, fed back, and again after the database was away."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mlops_assets.serving.app import create_app
from mlops_assets.serving.options import ServerOptions
from tests.integration.clients import free_port, wait_until
from tests.unit.serving.test_app import loaded, ready

psycopg: Any = pytest.importorskip("psycopg", reason="psycopg is not installed: make install")


class Postgres:
    """A cluster of its own in a temporary folder, on loopback; PostgreSQL refuses to run as root."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.environment = {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": str(self.port), "POSTGRES_USER": "mlops"}
        self._folder = folder
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
        self._run("initdb", "-D", f"{folder}/data", "-U", "mlops", "--auth=trust", "--no-sync")

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self._folder} -F"
        self._run("pg_ctl", "-D", f"{self._folder}/data", "-l", f"{self._folder}/log", "-w", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", f"{self._folder}/data", "-m", "immediate", "-w", "stop")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(f"postgresql://mlops@127.0.0.1:{self.port}/postgres") as connection:
            return connection.execute(query).fetchall()

    def _run(self, *command: str) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=self._user, cwd="/")


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    if shutil.which("initdb") is None:
        pytest.skip("no PostgreSQL on this machine: apt-get install postgresql, with its programs on PATH")
    folder = Path(tempfile.mkdtemp(prefix="mlops-pg-"))
    postgres = Postgres(folder)
    postgres.start()
    try:
        yield postgres
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            postgres.stop()
        shutil.rmtree(folder)


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
