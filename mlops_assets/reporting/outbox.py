"""The durable outbox: messages and which channel received them, in one SQLite file. Knows no channel's protocol.

Messages are made from the run summaries, each summary once and in one transaction, so a crash loses no message. A
delivery is recorded right after the channel accepts it. A crash between the two sends a duplicate, with the same id.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from mlops_assets.failures import TransientFailure
from mlops_assets.reporting import alerts as posted
from mlops_assets.reporting.messages import Kind, Message, digest_of, heartbeat_of, messages_of, quiet_line
from mlops_assets.reporting.run_summary import WATCHED_JOBS, RunSummary, read_summary, summary_paths

FIRST_BACKOFF, LONGEST_BACKOFF = timedelta(seconds=30), timedelta(hours=1)
KEPT = timedelta(days=30)
"""How long a delivered message is remembered; a waiting message stays until it is delivered."""

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS runs (key TEXT PRIMARY KEY, job TEXT, status TEXT, ended TEXT)",
    "CREATE TABLE IF NOT EXISTS messages (id TEXT PRIMARY KEY, made TEXT, kind TEXT, run_id TEXT, title TEXT, "
    "text TEXT, link TEXT)",
    "CREATE TABLE IF NOT EXISTS deliveries (id TEXT, channel TEXT, tries INTEGER DEFAULT 0, sent TEXT, "
    "PRIMARY KEY (id, channel))",
    "CREATE TABLE IF NOT EXISTS channels (channel TEXT PRIMARY KEY, name TEXT, failures INTEGER DEFAULT 0, "
    "next_try TEXT, error TEXT DEFAULT '')",
    "CREATE TABLE IF NOT EXISTS quiet (run_id TEXT PRIMARY KEY, line TEXT, digest TEXT)",
    posted.SCHEMA,
)
_OPENED = 1  # PRAGMA user_version after the first pass, which marks older summaries as known


class Unreachable(TransientFailure):
    """A channel refused a message or did not answer; the error text holds no secret."""


class Channel(Protocol):
    """One address that takes messages."""

    @property
    def key(self) -> str:
        """Identifies the address without giving it away."""
        ...

    @property
    def name(self) -> str:
        """For people; holds no secret."""
        ...

    def takes(self, kind: Kind) -> bool:
        """Whether messages of this kind go there."""
        ...

    def send(self, message: Message) -> None:
        """Deliver; raises `Unreachable`."""
        ...


@dataclass(frozen=True)
class ChannelStatus:
    """How many messages wait for a channel, and the error of its last attempt, empty if that succeeded."""

    name: str
    waiting: int
    error: str


class Outbox:
    """Only one process may use it at a time; the caller holds the lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take_in(self, summaries: Path, channels: Sequence[Channel], now: datetime) -> int:
        """Make messages from every new summary; how many summaries.

        On first use, only the latest summary makes messages; older ones are just marked as known.
        """
        with self._transaction() as db:
            self._register(db, channels)
            known = dict(db.execute("SELECT key, status FROM runs").fetchall())
            fresh = [summary for summary in _read_all(summaries, known) if _key(summary) not in known]
            fresh.sort(key=lambda summary: str(summary.ended))
            first_time = db.execute("PRAGMA user_version").fetchone()[0] != _OPENED
            for summary in fresh:
                if not first_time or summary is fresh[-1]:
                    self._put_messages(db, summary, channels, now)
                db.execute(
                    "INSERT INTO runs VALUES (?, ?, ?, ?)",
                    (_key(summary), summary.job, summary.status, str(summary.ended)),
                )
            db.execute(f"PRAGMA user_version = {_OPENED}")
        return len(fresh)

    def take_in_alerts(
        self, alerts: Sequence[posted.Alert], channels: Sequence[Channel], now: datetime, *, apps: Sequence[str]
    ) -> None:
        """Make one message about the alerts that began or ended; none about those that people know of."""
        with self._transaction() as db:
            if news := posted.told_now(db, alerts):
                self._put(db, posted.message_of(news, apps), channels, now)

    def firing(self) -> list[tuple[str, str]]:
        """Name and beginning of each alert that people were told of and that has not ended."""
        with self._transaction() as db:
            return db.execute("SELECT name, since FROM alerts ORDER BY since").fetchall()

    def make_digest(self, channels: Sequence[Channel], now: datetime, *, hour: int) -> bool:
        """Put the quiet runs since the last digest into one message, once a day from `hour` (UTC) on."""
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

    def add(self, message: Message, channels: Sequence[Channel], now: datetime) -> None:
        """Put a message in; one whose id is known stays as it is."""
        with self._transaction() as db:
            self._register(db, channels)
            self._put(db, message, channels, now)

    def deliver(self, channels: Sequence[Channel], clock: Callable[[], datetime]) -> int:
        """Send what waits to each channel that is due; how many were delivered.

        A channel that fails is left alone for a while, twice as long after each failure. Untried messages go first, so
        that a message the channel never accepts does not block the others.
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

    def channel_status(self, channels: Sequence[Channel]) -> list[ChannelStatus]:
        """What waits for each channel, and its last error."""
        with self._transaction() as db:
            return [self._status(db, channel) for channel in channels]

    def last_success(self) -> str | None:
        """When a run of a watched job last succeeded, as ISO time."""
        marks = ", ".join("?" * len(WATCHED_JOBS))
        query = f"SELECT max(ended) FROM runs WHERE status = 'SUCCESS' AND job IN ({marks})"  # noqa: S608  # marks alone
        with self._transaction() as db:
            return db.execute(query, WATCHED_JOBS).fetchone()[0]

    def forget(self, now: datetime, summaries: Path) -> None:
        """Remove what was delivered long ago, so that the file stays small.

        A run stays known while its summary exists. Each job's last run always does: the next message depends on it.
        """
        before = _iso(now - KEPT)
        with self._transaction() as db:
            waits = "SELECT id FROM deliveries WHERE sent IS NULL"
            db.execute(f"DELETE FROM messages WHERE made < ? AND id NOT IN ({waits})", (before,))  # noqa: S608  # constants
            db.execute("DELETE FROM deliveries WHERE id NOT IN (SELECT id FROM messages)")
            # Lines in a digest record that a day has one; kept a day longer in case the clock is put back.
            digested_before = (now.astimezone(UTC) - timedelta(days=1)).date().isoformat()
            db.execute("DELETE FROM quiet WHERE digest < ?", (digested_before,))
            latest = "SELECT max(rowid) FROM runs GROUP BY job, status"
            old = db.execute(f"SELECT key FROM runs WHERE ended < ? AND rowid NOT IN ({latest})", (before,)).fetchall()  # noqa: S608  # constants
            gone = [row for row in old if not (summaries / f"{row[0].removesuffix('+promoted')}.json").exists()]
            db.executemany("DELETE FROM runs WHERE key = ?", gone)

    def _put_messages(
        self, db: sqlite3.Connection, summary: RunSummary, channels: Sequence[Channel], now: datetime
    ) -> None:
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
        """A message that exists stays as it is."""
        row = (message.id, _iso(now), message.kind, message.run_id, message.title, message.text, message.link)
        if db.execute("INSERT OR IGNORE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)", row).rowcount:
            for channel in channels:
                if channel.takes(message.kind):
                    db.execute("INSERT INTO deliveries (id, channel) VALUES (?, ?)", (message.id, channel.key))

    @staticmethod
    def _register(db: sqlite3.Connection, channels: Sequence[Channel]) -> None:
        """A new channel inherits what waits for removed channels: correcting a password loses no message."""
        known = {row[0] for row in db.execute("SELECT channel FROM channels")}
        present = {channel.key for channel in channels}
        gone = known - present
        for channel in channels:
            if channel.key in known:
                continue
            db.execute("INSERT INTO channels (channel, name) VALUES (?, ?)", (channel.key, channel.name))
            for removed in gone:
                waiting = db.execute(
                    "SELECT id, kind FROM deliveries JOIN messages USING (id) WHERE channel = ? AND sent IS NULL",
                    (removed,),
                ).fetchall()
                for message, kind in waiting:
                    if channel.takes(kind):
                        row = (message, channel.key)
                        db.execute("INSERT OR IGNORE INTO deliveries (id, channel) VALUES (?, ?)", row)
        if present - known:
            for removed in gone:
                db.execute("DELETE FROM deliveries WHERE channel = ? AND sent IS NULL", (removed,))
                db.execute("DELETE FROM channels WHERE channel = ?", (removed,))

    def _next(self, channel: Channel, now: datetime) -> Message | None:
        with self._transaction() as db:
            row = db.execute("SELECT next_try FROM channels WHERE channel = ?", (channel.key,)).fetchone()
            if row is not None and row[0] and not _due(row[0], now):
                return None
            # Heartbeats go in order: a late failure must not follow a success.
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
    def _status(db: sqlite3.Connection, channel: Channel) -> ChannelStatus:
        count = "SELECT count(*) FROM deliveries WHERE channel = ? AND sent IS NULL"
        waiting = db.execute(count, (channel.key,)).fetchone()[0]
        row = db.execute("SELECT error FROM channels WHERE channel = ?", (channel.key,)).fetchone()
        return ChannelStatus(channel.name, waiting, row[0] if row else "")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; on disk when it returns."""
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
    """How long to leave a channel alone after one more failure than this."""
    return min(FIRST_BACKOFF * 2 ** min(failures, 20), LONGEST_BACKOFF)


def _due(next_try: str, now: datetime) -> bool:
    """Times beyond the longest wait are due too: the clock ran ahead when they were written."""
    at = datetime.fromisoformat(next_try)
    return at <= now or at > now + LONGEST_BACKOFF


def _key(summary: RunSummary) -> str:
    """A summary that a promoting run joined has a key of its own: its deployment is news."""
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
