"""Predictions that the log's database did not take, in an SQLite file until it does."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlops_assets.serving.log.prediction_store import Row

SPOOL = "spool.sqlite"
_CREATE = (
    "CREATE TABLE IF NOT EXISTS waiting (request_id TEXT PRIMARY KEY, at TEXT, caller TEXT, sentiment TEXT, "
    "confidence REAL, probabilities TEXT, characters INTEGER, text TEXT, model_version TEXT, dataset_version TEXT)"
)
MOST = 100_000
"""Rows, about 40 MB without texts."""


class Spool:
    """A bounded file that survives its server. The servers of one service may share it. One thread at a time."""

    def __init__(self, path: Path, *, most: int = MOST) -> None:
        self.path, self._most = path, most

    def __len__(self) -> int:
        if not self.path.exists():
            return 0
        with self._open() as connection:
            return connection.execute("SELECT count(*) FROM waiting").fetchone()[0]

    def add(self, rows: Sequence[Row]) -> int:
        """Keep the rows; how many found no room."""
        try:
            with self._open() as connection:
                room = max(0, self._most - connection.execute("SELECT count(*) FROM waiting").fetchone()[0])
                marks = ", ".join(["?"] * 10)
                connection.executemany(f"INSERT OR IGNORE INTO waiting VALUES ({marks})", rows[:room])  # noqa: S608  # marks alone
        except (sqlite3.Error, OSError):
            return len(rows)  # The disk has no room either; the caller counts and reports them.
        return len(rows) - len(rows[:room])

    def oldest(self, count: int) -> list[Row]:
        """The rows that wait longest."""
        with self._open() as connection:
            return connection.execute("SELECT * FROM waiting ORDER BY rowid LIMIT ?", (count,)).fetchall()

    def remove(self, rows: Sequence[Row]) -> None:
        """What the database has."""
        with self._open() as connection:
            connection.executemany("DELETE FROM waiting WHERE request_id = ?", [(row[0],) for row in rows])

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))  # it may hold texts
        with contextlib.closing(sqlite3.connect(self.path, timeout=5)) as connection, connection:
            connection.execute("PRAGMA secure_delete=ON")
            connection.execute(_CREATE)
            yield connection
