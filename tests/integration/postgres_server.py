"""A real PostgreSQL for one test or module."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.user_clone import free_port

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

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://mlops@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """A new, empty database; its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}")
        return self.url(database)

    def rows(self, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url(database)) as connection:
            return connection.execute(query).fetchall()

    def _run(self, *command: str) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=self._user, cwd="/")


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A started cluster that is gone afterwards; skips where the machine has no PostgreSQL."""
    if shutil.which("initdb") is None:
        pytest.skip("no PostgreSQL on this machine: apt-get install postgresql, with its programs on PATH")
    folder = Path(tempfile.mkdtemp(prefix="mlops-pg-"))
    server = Postgres(folder)
    server.start()
    try:
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder)
