"""The durable outbox: what is to be told and which channel has it, in one SQLite file. Knows no channel's protocol.

The summaries are the source: each is taken in once, in one transaction, so a process that dies anywhere leaves nothing
untold. A delivery is recorded right after the channel's answer; only between the two can a death cause a duplicate,
which bears the same id.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from mlops_assets.failures import TransientFailure
from mlops_assets.reporting.messages import Kind, Message, digest_of, heartbeat_of, messages_of, quiet_line
from mlops_assets.reporting.run_summary import WATCHED_JOBS, RunSummary, read_summary, summary_paths

FIRST_BACKOFF, LONGEST_BACKOFF = timedelta(seconds=30), timedelta(hours=1)
KEPT = timedelta(days=30)
"""Told messages are forgotten so long after; what waits stays."""

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS runs (key TEXT PRIMARY KEY, job TEXT, status TEXT, ended TEXT)",
    "CREATE TABLE IF NOT EXISTS messages (id TEXT PRIMARY KEY, made TEXT, kind TEXT, run_id TEXT, title TEXT, "
    "text TEXT, link TEXT)",
    "CREATE TABLE IF NOT EXISTS deliveries (id TEXT, channel TEXT, tries INTEGER DEFAULT 0, sent TEXT, "
    "PRIMARY KEY (id, channel))",
    "CREATE TABLE IF NOT EXISTS channels (channel TEXT PRIMARY KEY, name TEXT, failures INTEGER DEFAULT 0, "
    "next_try TEXT, error TEXT DEFAULT '')",
    "CREATE TABLE IF NOT EXISTS quiet (run_id TEXT PRIMARY KEY, line TEXT, digest TEXT)",
)
_OPENED = 1  # PRAGMA user_version once the summaries of the time before are marked as known


class Unreachable(TransientFailure):
    """A channel did not take a message; its text holds no secret."""


class Channel(Protocol):
    """One address that takes messages."""

    @property
    def key(self) -> str:
        """The same for the same address, and no secret."""
        ...

    @property
    def name(self) -> str:
        """What people call it, and no secret."""
        ...

    def takes(self, kind: Kind) -> bool:
        """Whether messages of this kind go there."""
        ...

    def send(self, message: Message) -> None:
        """Deliver; raises `Unreachable`."""
        ...


@dataclass(frozen=True)
class Standing:
    """How a channel stands: `waiting` messages, and the last error where it did not take one."""

    name: str
    waiting: int
    error: str


class Outbox:
    """One process at a time works on it; the caller holds the lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take_in(self, summaries: Path, channels: Sequence[Channel], now: datetime) -> int:
        """Make messages of every summary that is new here; how many summaries.

        When the file is new, the summaries of the time before it are known and untold, but for the latest.
        """
        with self._transaction() as db:
            self._register(db, channels)
            known = dict(db.execute("SELECT key, status FROM runs").fetchall())
            fresh = [summary for summary in _read_all(summaries, known) if _key(summary) not in known]
            fresh.sort(key=lambda summary: str(summary.ended))
            first_time = db.execute("PRAGMA user_version").fetchone()[0] != _OPENED
            for summary in fresh:
                if not first_time or summary is fresh[-1]:
                    self._tell(db, summary, channels, now)
                db.execute(
                    "INSERT INTO runs VALUES (?, ?, ?, ?)",
                    (_key(summary), summary.job, summary.status, str(summary.ended)),
                )
            db.execute(f"PRAGMA user_version = {_OPENED}")
        return len(fresh)

    def make_digest(self, channels: Sequence[Channel], now: datetime, *, hour: int) -> bool:
        """Gather the quiet runs of the days before into one message, once a day from `hour` (UTC) on."""
        day = now.astimezone(UTC).date().isoformat()
        if now.astimezone(UTC).hour < hour:
            return False
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM quiet WHERE digest = ?", (day,)).fetchone():
                return False
            lines = [row[0] for row in db.execute("SELECT line FROM quiet WHERE digest IS NULL ORDER BY line")]
            if not lines:
                return False
            self._put(db, digest_of(day, lines), channels, now)
            db.execute("UPDATE quiet SET digest = ? WHERE digest IS NULL", (day,))
        return True

    def deliver(self, channels: Sequence[Channel], clock: Callable[[], datetime]) -> int:
        """Send what waits to each channel that is due; how many were delivered.

        A channel that does not take a message is left alone for a while, twice as long each time. Messages that were
        never tried go first, so that one which a channel refuses for good keeps none behind it.
        """
        delivered = 0
        for channel in channels:
            while (message := self._next(channel, clock())) is not None:
                try:
                    channel.send(message)
                except Unreachable as error:
                    self._failed(channel, message, str(error), clock())
                    break
                self._sent(channel, message, clock())
                delivered += 1
        return delivered

    def standings(self, channels: Sequence[Channel]) -> list[Standing]:
        """How each channel stands."""
        with self._transaction() as db:
            return [self._standing(db, channel) for channel in channels]

    def last_success(self) -> str | None:
        """When a run that says that the pipeline lives last ended well, ISO time."""
        marks = ", ".join("?" * len(WATCHED_JOBS))
        query = f"SELECT max(ended) FROM runs WHERE status = 'SUCCESS' AND job IN ({marks})"  # noqa: S608  # marks alone
        with self._transaction() as db:
            return db.execute(query, WATCHED_JOBS).fetchone()[0]

    def forget(self, now: datetime, summaries: Path) -> None:
        """Remove what was told long ago, so that the file stays small.

        A run is known for as long as its summary is there, and each job's last one always: it says what comes next.
        """
        before = _iso(now - KEPT)
        with self._transaction() as db:
            waits = "SELECT id FROM deliveries WHERE sent IS NULL"
            db.execute(f"DELETE FROM messages WHERE made < ? AND id NOT IN ({waits})", (before,))  # noqa: S608  # constants
            db.execute("DELETE FROM deliveries WHERE id NOT IN (SELECT id FROM messages)")
            # Lines that a digest told say for which day one was made; a day more for a clock that is put back.
            told_before = (now.astimezone(UTC) - timedelta(days=1)).date().isoformat()
            db.execute("DELETE FROM quiet WHERE digest < ?", (told_before,))
            latest = "SELECT max(rowid) FROM runs GROUP BY job, status"
            old = db.execute(f"SELECT key FROM runs WHERE ended < ? AND rowid NOT IN ({latest})", (before,)).fetchall()  # noqa: S608  # constants
            gone = [row for row in old if not (summaries / f"{row[0].removesuffix('+promoted')}.json").exists()]
            db.executemany("DELETE FROM runs WHERE key = ?", gone)

    def _tell(self, db: sqlite3.Connection, summary: RunSummary, channels: Sequence[Channel], now: datetime) -> None:
        last = db.execute(
            "SELECT status FROM runs WHERE job = ? AND status IN ('SUCCESS', 'FAILURE') AND key NOT LIKE ? "
            "ORDER BY ended DESC, rowid DESC LIMIT 1",
            (summary.job, f"{summary.run_id}%"),
        ).fetchone()
        for message in messages_of(summary, failed_before=last is not None and last[0] == "FAILURE"):
            if message.kind == "quiet":
                line = quiet_line(summary, message)
                db.execute("INSERT OR IGNORE INTO quiet (run_id, line) VALUES (?, ?)", (message.run_id, line))
            else:
                self._put(db, message, channels, now)
        if ping := heartbeat_of(summary):
            self._put(db, ping, channels, now)

    @staticmethod
    def _put(db: sqlite3.Connection, message: Message, channels: Sequence[Channel], now: datetime) -> None:
        """A message that is there already stays as it is."""
        row = (message.id, _iso(now), message.kind, message.run_id, message.title, message.text, message.link)
        if db.execute("INSERT OR IGNORE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)", row).rowcount:
            for channel in channels:
                if channel.takes(message.kind):
                    db.execute("INSERT INTO deliveries (id, channel) VALUES (?, ?)", (message.id, channel.key))

    @staticmethod
    def _register(db: sqlite3.Connection, channels: Sequence[Channel]) -> None:
        """A channel that is new gets what waits for one that is no more: a corrected password loses no message."""
        known = {row[0] for row in db.execute("SELECT channel FROM channels")}
        present = {channel.key for channel in channels}
        gone = known - present
        for channel in channels:
            if channel.key in known:
                continue
            db.execute("INSERT INTO channels (channel, name) VALUES (?, ?)", (channel.key, channel.name))
            for one in gone:
                waiting = db.execute(
                    "SELECT id, kind FROM deliveries JOIN messages USING (id) WHERE channel = ? AND sent IS NULL",
                    (one,),
                ).fetchall()
                for message, kind in waiting:
                    if channel.takes(kind):
                        row = (message, channel.key)
                        db.execute("INSERT OR IGNORE INTO deliveries (id, channel) VALUES (?, ?)", row)
        if present - known:
            for one in gone:
                db.execute("DELETE FROM deliveries WHERE channel = ? AND sent IS NULL", (one,))
                db.execute("DELETE FROM channels WHERE channel = ?", (one,))

    def _next(self, channel: Channel, now: datetime) -> Message | None:
        with self._transaction() as db:
            row = db.execute("SELECT next_try FROM channels WHERE channel = ?", (channel.key,)).fetchone()
            if row is not None and row[0] and not _due(row[0], now):
                return None
            # Heartbeats go in their order: a late failure must not follow a success.
            found = db.execute(
                "SELECT messages.* FROM deliveries JOIN messages USING (id) WHERE channel = ? AND sent IS NULL "
                "ORDER BY CASE kind WHEN 'heartbeat' THEN 0 ELSE tries END, messages.rowid LIMIT 1",
                (channel.key,),
            ).fetchone()
        return Message(found[0], *found[2:]) if found else None

    def _sent(self, channel: Channel, message: Message, now: datetime) -> None:
        with self._transaction() as db:
            db.execute(
                "UPDATE deliveries SET sent = ?, tries = tries + 1 WHERE id = ? AND channel = ?",
                (_iso(now), message.id, channel.key),
            )
            db.execute(
                "UPDATE channels SET failures = 0, next_try = NULL, error = '' WHERE channel = ?", (channel.key,)
            )

    def _failed(self, channel: Channel, message: Message, error: str, now: datetime) -> None:
        with self._transaction() as db:
            key = (channel.key,)
            failures = db.execute("SELECT failures FROM channels WHERE channel = ?", key).fetchone()[0]
            db.execute("UPDATE deliveries SET tries = tries + 1 WHERE id = ? AND channel = ?", (message.id, *key))
            db.execute(
                "UPDATE channels SET failures = ?, next_try = ?, error = ? WHERE channel = ?",
                (failures + 1, _iso(now + backoff(failures)), error, *key),
            )

    @staticmethod
    def _standing(db: sqlite3.Connection, channel: Channel) -> Standing:
        count = "SELECT count(*) FROM deliveries WHERE channel = ? AND sent IS NULL"
        waiting = db.execute(count, (channel.key,)).fetchone()[0]
        row = db.execute("SELECT error FROM channels WHERE channel = ?", (channel.key,)).fetchone()
        return Standing(channel.name, waiting, row[0] if row else "")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, on the disk when it returns."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            try:
                for statement in _SCHEMA:
                    db.execute(statement)
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")


def backoff(failures: int) -> timedelta:
    """How long a channel that failed so often before is left alone."""
    return min(FIRST_BACKOFF * 2 ** min(failures, 20), LONGEST_BACKOFF)


def _due(next_try: str, now: datetime) -> bool:
    """A time further off than the longest wait was written under a clock that ran ahead."""
    at = datetime.fromisoformat(next_try)
    return at <= now or at > now + LONGEST_BACKOFF


def _key(summary: RunSummary) -> str:
    """A summary that a promoting run joined is taken in again: it tells of a deployment."""
    return f"{summary.run_id}{'+promoted' if summary.promoted_by is not None else ''}"


def _read_all(summaries: Path, known: Mapping[str, str]) -> list[RunSummary]:
    """Every summary that may be new here; a failed run's known summary too, which may have been joined since."""
    return [
        read_summary(path)
        for path in summary_paths(summaries)
        if f"{path.stem}+promoted" not in known and known.get(path.stem, "FAILURE") == "FAILURE"
    ]


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")
