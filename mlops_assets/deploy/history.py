"""The deployment log: what was live when, who or what put it there; and which release a rollback returns to."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Literal

from mlops_assets.deploy.backend import Target
from mlops_assets.deploy.release import Release
from mlops_assets.failures import Failure, PermanentFailure

Outcome = Literal["live", "refused", "rolled back", "stopped", "waits", "approved", "rejected", "step"]
"""`waits`: for a person's approval (`approval.py`). `step`: a step of a canary has ended; its reason says how."""

_CREATE = (
    "CREATE TABLE IF NOT EXISTS deployments (at TEXT NOT NULL, target TEXT NOT NULL, release_version TEXT NOT NULL, "
    "model_version TEXT NOT NULL, dataset_version TEXT NOT NULL, caused_by TEXT NOT NULL, outcome TEXT NOT NULL, "
    "reason TEXT NOT NULL, image TEXT NOT NULL)"
)
ALL = 100_000
"""More entries than a log ever has."""
_COLUMNS = "at, target, release_version, model_version, dataset_version, caused_by, outcome, reason, image"


@dataclass(frozen=True)
class Entry:
    """An attempt; `at` is ISO time in UTC, `caused_by` a run, person or command, `image` a digest or empty."""

    at: str
    target: str
    release_version: str
    model_version: str
    dataset_version: str
    caused_by: str
    outcome: Outcome
    reason: str
    image: str = ""


class DeploymentLog:
    """An SQLite file; `sqlite3 FILE 'select * from deployments'` works too."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, entry: Entry) -> None:
        """Append one attempt."""
        with self._open() as connection:
            _insert(connection, entry)

    def add_decided(self, decide: Callable[[list[Entry]], Entry | None]) -> Entry | None:
        """Append what `decide` makes of all entries, unless it is None. Nobody else appends in between."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            entry = decide(_read(connection, ALL))
            if entry is not None:
                _insert(connection, entry)
            return entry

    def entries(self, limit: int = 100) -> list[Entry]:
        """The newest first."""
        with self._open() as connection:
            return _read(connection, limit)

    def newest(self) -> Entry | None:
        """The last entry of what serves, or of what was stopped."""
        return next((entry for entry in self.entries(ALL) if entry.outcome in {"live", "stopped"}), None)

    def last_live(self, count: int) -> list[Entry]:
        """The newest entry of each of the last `count` different releases that were live, newest first."""
        found: dict[str, Entry] = {}
        for entry in self.entries(ALL):
            if entry.outcome == "live":
                found.setdefault(entry.release_version, entry)
        return list(found.values())[:count]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
            connection.execute(_CREATE)
            yield connection


def _insert(connection: sqlite3.Connection, entry: Entry) -> None:
    marks = ", ".join(["?"] * 9)
    connection.execute(f"INSERT INTO deployments ({_COLUMNS}) VALUES ({marks})", astuple(entry))  # noqa: S608  # constants


def _read(connection: sqlite3.Connection, limit: int) -> list[Entry]:
    query = f"SELECT {_COLUMNS} FROM deployments ORDER BY rowid DESC LIMIT ?"  # noqa: S608  # constants
    return [Entry(*row) for row in connection.execute(query, (limit,))]


def now() -> str:
    """The time for an entry."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Record:
    """One deployment's entries in the log."""

    log: DeploymentLog
    target: Target
    release: Release
    caused_by: str
    image: str

    def add(self, outcome: Outcome, error: Failure | None = None) -> None:
        """How the deployment ended, and why."""
        self._add(outcome, str(error).splitlines()[0] if error is not None else "")

    def add_step(self, line: str) -> None:
        """What a step of a canary has shown."""
        self._add("step", line)

    def _add(self, outcome: Outcome, reason: str) -> None:
        release = self.release
        versions = (release.version, release.model_version, release.dataset_version)
        self.log.add(Entry(now(), self.target, *versions, self.caused_by, outcome, reason, self.image))

    def is_live(self) -> bool:
        """Whether the log says that the release is live: a deployment killed after its switch has left no entry."""
        newest = self.log.newest()
        wanted = ("live", self.target, self.release.version)
        return newest is not None and (newest.outcome, newest.target, newest.release_version) == wanted


@dataclass(frozen=True)
class Hold:
    """Why a release is not put live: `release_version` serves instead, or nothing if it is empty.

    `waits`: a person is asked for an approval, and has not answered.
    """

    release_version: str
    reason: str
    waits: bool = False


ROLLBACK = "rollback"
"""The first word of a deployment's `caused_by` after a rollback."""


def hold_after_rollback(entries: Sequence[Entry], wanted: str) -> Hold | None:
    """What serves instead of release `wanted`, because a person rolled back from it. `entries`: newest first."""
    lives = [entry for entry in entries if entry.outcome == "live"]
    if not lives or lives[0].release_version == wanted:
        return None
    kept = lives[0].release_version
    # Another target, other settings or a new container do not end the hold: the newest entry may be a run's.
    same = list(takewhile(lambda entry: entry.release_version == kept, lives))
    rollback = next((entry for entry in same if entry.caused_by.startswith(ROLLBACK)), None)
    if rollback is None or wanted not in {entry.release_version for entry in lives[len(same) :]}:
        return None
    return Hold(
        kept,
        f"release {wanted} was rolled back to {kept} ({rollback.caused_by}): "
        f"it stays until there is a new one, or make rollback TO={wanted}",
    )


KEPT = 5
"""So many releases that were live stay on the machine, ready to be live again."""


class NoWayBack(PermanentFailure):
    """The log knows no such release."""


def choose(last_live: Sequence[Entry], live: str | None, to: str | None = None) -> Entry:
    """The entry to return to: `to` (a release or model version), else the newest that is not live.

    `last_live` holds each release once, the newest first, as `DeploymentLog.last_live(KEPT)` gives it.
    """
    known = ", ".join(f"{entry.release_version} (model {entry.model_version})" for entry in last_live) or "none"
    if to is not None:
        for entry in last_live:
            if to in (entry.release_version, entry.model_version):
                return entry
        raise NoWayBack(f"TO={to} is none of the last {KEPT} releases that were live: {known}")
    for entry in last_live:
        if entry.release_version != live:
            return entry
    raise NoWayBack(f"no release was live before {live or 'now'}: known are {known}")
