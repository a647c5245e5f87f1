"""The tables `predictions` and `feedback`, in SQLite or PostgreSQL. Used by one thread at a time."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from mlops_assets.failures import TransientFailure

Row = tuple[str, str, str, str, float, str, int, str | None, str, str]
FeedbackRow = tuple[str, str, str, str]

_COLUMNS = (
    "request_id, at, caller, sentiment, confidence, probabilities, characters, text, model_version, dataset_version"
)
CREATE = (
    "CREATE TABLE IF NOT EXISTS predictions (request_id TEXT PRIMARY KEY, at TEXT NOT NULL, caller TEXT NOT NULL, "
    "sentiment TEXT NOT NULL, confidence DOUBLE PRECISION NOT NULL, probabilities TEXT NOT NULL, "
    "characters INTEGER NOT NULL, text TEXT, model_version TEXT NOT NULL, dataset_version TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS predictions_at ON predictions (at)",
    "CREATE TABLE IF NOT EXISTS feedback (request_id TEXT PRIMARY KEY REFERENCES predictions (request_id), "
    "label TEXT NOT NULL, caller TEXT NOT NULL, at TEXT NOT NULL)",
)


class StoreDown(TransientFailure):
    """The database cannot be written."""


class PredictionStore(Protocol):
    """Every method may raise `StoreDown`; a later call tries again."""

    def write(self, rows: Sequence[Row]) -> None: ...

    def attach(self, request_id: str, label: str, caller: str, at: str) -> bool:
        """Whether the caller asked for this prediction; a second label replaces the first."""
        ...

    def remove_before(self, at: str, *, dry_run: bool = False) -> int:
        """Remove predictions older than this ISO time, with their feedback; how many."""
        ...

    def forget_texts(self, is_wanted: Callable[[str], bool]) -> int:
        """Remove these texts and keep the rest of their predictions; how many predictions had one."""
        ...

    def feedback_on_texts(self) -> list[FeedbackRow]:
        """The feedback on predictions whose text is kept: text, label, caller, ISO time; the oldest first."""
        ...

    def confidences(self, model_version: str, since: str, most: int) -> list[float]:
        """How sure the model's newest answers since this ISO time were, at most so many."""
        ...

    def close(self) -> None: ...


class SqlStore:
    """Both databases understand this SQL; connecting, the mark of a parameter and the errors differ."""

    def __init__(self, connect: Callable[[], Any], mark: str, errors: tuple[type[Exception], ...], exists: str) -> None:
        """`exists` is a query: whether the tables exist. The server's role may be one that cannot create any."""
        self._connect, self._errors, self._exists = connect, errors, exists
        self._connection: Any = None
        marks = ", ".join([mark] * 10)
        # Only the marks are inserted here, and they come from the two lines at the end of this file.
        self._insert = f"INSERT INTO predictions ({_COLUMNS}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608
        self._known = f"SELECT 1 FROM predictions WHERE request_id = {mark} AND caller = {mark}"  # noqa: S608  # as above
        self._confidences = (
            f"SELECT confidence FROM predictions WHERE model_version = {mark} AND at >= {mark} "  # noqa: S608  # as above
            f"ORDER BY at DESC LIMIT {mark}"
        )
        self._older = f"FROM predictions WHERE at < {mark}"
        self._forget_text = f"UPDATE predictions SET text = NULL WHERE text = {mark}"  # noqa: S608  # as above
        self._attach = (
            f"INSERT INTO feedback (request_id, label, caller, at) VALUES ({', '.join([mark] * 4)}) "  # noqa: S608  # as above
            "ON CONFLICT (request_id) DO UPDATE SET label = excluded.label, caller = excluded.caller, at = excluded.at"
        )

    def write(self, rows: Sequence[Row]) -> None:
        self._transact(lambda cursor: cursor.executemany(self._insert, rows))

    def attach(self, request_id: str, label: str, caller: str, at: str) -> bool:
        def attach(cursor: Any) -> bool:
            cursor.execute(self._known, (request_id, caller))
            if cursor.fetchone() is None:
                return False
            cursor.execute(self._attach, (request_id, label, caller, at))
            return True

        return self._transact(attach)

    def remove_before(self, at: str, *, dry_run: bool = False) -> int:
        def remove(cursor: Any) -> int:
            cursor.execute(f"SELECT count(*) {self._older}", (at,))
            (count,) = cursor.fetchone()
            if not dry_run:
                of_old = f"DELETE FROM feedback WHERE request_id IN (SELECT request_id {self._older})"  # noqa: S608  # as above
                cursor.execute(of_old, (at,))
                cursor.execute(f"DELETE {self._older}", (at,))
            return count

        return self._transact(remove)

    def forget_texts(self, is_wanted: Callable[[str], bool]) -> int:
        def forget(cursor: Any) -> int:
            cursor.execute("SELECT DISTINCT text FROM predictions WHERE text IS NOT NULL")
            count = 0
            for (text,) in cursor.fetchall():
                if is_wanted(text):
                    cursor.execute(self._forget_text, (text,))
                    count += cursor.rowcount
            return count

        return self._transact(forget)

    def feedback_on_texts(self) -> list[FeedbackRow]:
        def read(cursor: Any) -> list[FeedbackRow]:
            cursor.execute(
                "SELECT predictions.text, feedback.label, feedback.caller, feedback.at FROM feedback "
                "JOIN predictions ON predictions.request_id = feedback.request_id "
                "WHERE predictions.text IS NOT NULL ORDER BY feedback.at"
            )
            return [tuple(row) for row in cursor.fetchall()]

        return self._transact(read)

    def confidences(self, model_version: str, since: str, most: int) -> list[float]:
        def read(cursor: Any) -> list[float]:
            cursor.execute(self._confidences, (model_version, since, most))
            return [confidence for (confidence,) in cursor.fetchall()]

        return self._transact(read)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _transact(self, work: Callable[[Any], Any]) -> Any:
        try:
            if self._connection is None:
                self._connection = self._connect()
                cursor = self._connection.cursor()
                cursor.execute(self._exists)
                if not cursor.fetchone()[0]:
                    for statement in CREATE:
                        cursor.execute(statement)
                self._connection.commit()
            cursor = self._connection.cursor()
            outcome = work(cursor)
            self._connection.commit()
        except self._errors as error:
            self._forget()
            raise StoreDown(f"the prediction log cannot be used: {error}".replace("\n", " ").strip()) from error
        return outcome

    def _forget(self) -> None:
        """Drop a connection that failed; the next call opens a fresh one."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.close()
        except self._errors:
            return  # It is broken already, and the caller reports that.


def open_store(address: str) -> PredictionStore:
    """The store at `sqlite:PATH` or `postgresql://…`; connects with the first use."""
    if address.startswith("sqlite:"):
        path = Path(address.removeprefix("sqlite:"))

        def connect_sqlite() -> sqlite3.Connection:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # SQLite gives its files beside this one the same permissions.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            for file in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
                if file.exists() and file.stat().st_uid == os.geteuid():
                    file.chmod(0o600)
            connection = sqlite3.connect(path, timeout=5, check_same_thread=False)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA secure_delete=ON")  # what is erased leaves no bytes in the file
            return connection

        exists = "SELECT count(*) = 2 FROM sqlite_master WHERE name IN ('predictions', 'feedback')"
        return SqlStore(connect_sqlite, "?", (sqlite3.Error, OSError), exists)
    import psycopg

    exists = "SELECT to_regclass('predictions') IS NOT NULL AND to_regclass('feedback') IS NOT NULL"
    return SqlStore(lambda: psycopg.connect(address, connect_timeout=5), "%s", (psycopg.Error, OSError), exists)


def open_existing_store(address: str) -> PredictionStore | None:
    """The store at this address; None without an address, and if there is no such SQLite file."""
    missing = address.startswith("sqlite:") and not Path(address.removeprefix("sqlite:")).is_file()
    return open_store(address) if address and not missing else None
