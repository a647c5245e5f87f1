"""The PostgreSQL database behind the dashboards: migrated, filled, and open to Grafana's role for reading."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from mlops_assets.failures import PermanentFailure, TransientFailure
from mlops_assets.reporting.fact_schema import MIGRATIONS, READER, READER_SEES, VERSIONS

Row = Mapping[str, Any]

_LOCK = 7_203_411_861
"""The advisory lock of whoever writes or migrates: any number that nobody else takes."""

_DATA = "data"


class FactsNotWritten(TransientFailure):
    """The database did not take the facts; they are still on disk, and the next pass writes what is missing."""


@dataclass(frozen=True)
class Facts:
    """What one pass has to write: rows by column name. `review_rows` is called only where `data_digest` is new; it
    gives volumes, quarantine reasons and reviews.
    """

    runs: Sequence[Row]
    stages: Sequence[Row]
    scores: Sequence[Row]
    deployments: Sequence[Row]
    drift_ticks: Sequence[Row]
    drift: Sequence[Row]
    data_digest: str
    review_rows: Callable[[], tuple[Sequence[Row], Sequence[Row], Sequence[Row]]]


class FactStore:
    """Connects with each call; raises `FactsNotWritten` where the database is away or refuses."""

    def __init__(self, place: str) -> None:
        self._place = place

    def prepare(self) -> int:
        """Migrate, and let the reader in; the schema's version."""
        return self._transact(_prepare)

    def write(self, read: Callable[[], Facts]) -> int:
        """Write what is missing, all of it or nothing; how many runs were written.

        `read` is called with the lock held, so that no older reading is written over a newer one.
        """

        def work(connection: Any) -> int:
            _prepare(connection)
            return _write(connection, read())

        return self._transact(work)

    def _transact(self, work: Callable[[Any], int]) -> int:
        # By name: the embedded default does without the package, and so do the type checker and its machine.
        psycopg: Any = import_module("psycopg")
        try:
            with psycopg.connect(self._place, connect_timeout=5, options="-c statement_timeout=120000") as connection:
                connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
                return work(connection)
        except (psycopg.Error, OSError) as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise FactsNotWritten(
                f"the database of the dashboards took nothing: {said}: the next run or tick writes what is missing"
            ) from error


def _prepare(connection: Any) -> int:
    _migrate(connection)
    # Too little where the schema is new, too much where somebody granted all tables.
    wrong = (
        "SELECT NOT has_schema_privilege(rolname, 'facts', 'USAGE') OR "
        "has_column_privilege(rolname, 'predictions', 'caller', 'SELECT') FROM pg_roles WHERE rolname = %s"
    )
    if connection.execute(wrong, (READER,)).fetchone() == (True,):
        for statement in READER_SEES:
            connection.execute(statement)
    return len(MIGRATIONS)


def _migrate(connection: Any) -> None:
    """Run what is missing, once each."""
    if connection.execute("SELECT to_regclass('facts.schema_version')").fetchone() == (None,):
        for statement in VERSIONS:
            connection.execute(statement)
    (found,) = connection.execute("SELECT coalesce(max(version), 0) FROM facts.schema_version").fetchone()
    if found > len(MIGRATIONS):
        raise PermanentFailure(
            f"the database of the dashboards has schema version {found}, and this code knows {len(MIGRATIONS)}: "
            "run the newer code, or restore a backup that is as old as this one"
        )
    for version, statements in enumerate(MIGRATIONS[found:], start=found + 1):
        for statement in statements:
            connection.execute(statement)
        connection.execute("INSERT INTO facts.schema_version (version) VALUES (%s)", (version,))


def _write(connection: Any, facts: Facts) -> int:
    known = dict(connection.execute("SELECT run_id, digest FROM facts.runs").fetchall())
    new = {row["run_id"] for row in facts.runs if known.get(row["run_id"]) != row["digest"]}
    if new:
        connection.execute("DELETE FROM facts.runs WHERE run_id = ANY(%s)", (sorted(new),))
        for table, rows in (("runs", facts.runs), ("stages", facts.stages), ("scores", facts.scores)):
            _insert(connection, table, [row for row in rows if row["run_id"] in new])
    _insert(connection, "deployments", facts.deployments)
    _insert(connection, "drift_ticks", facts.drift_ticks)
    _insert(connection, "drift", facts.drift)
    held = connection.execute("SELECT digest FROM facts.synced WHERE part = %s", (_DATA,)).fetchone()
    if held != (facts.data_digest,):
        for table, rows in zip(("volumes", "quarantine", "reviews"), facts.review_rows(), strict=True):
            connection.execute(f"DELETE FROM facts.{table}")  # noqa: S608  # one of the three names above
            _copy(connection, table, rows)
        connection.execute(
            "INSERT INTO facts.synced (part, digest) VALUES (%s, %s) "
            "ON CONFLICT (part) DO UPDATE SET digest = excluded.digest, at = now()",
            (_DATA, facts.data_digest),
        )
    return len(new)


def _insert(connection: Any, table: str, rows: Sequence[Row]) -> None:
    if not rows:
        return
    columns = list(rows[0])
    marks = ", ".join(["%s"] * len(columns))
    # Table and columns are names in this code; values go in as parameters.
    statement = f"INSERT INTO facts.{table} ({_quoted(columns)}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608  # as above
    with connection.cursor() as cursor:
        cursor.executemany(statement, [tuple(row[name] for name in columns) for row in rows])


def _copy(connection: Any, table: str, rows: Sequence[Row]) -> None:
    if not rows:
        return
    columns = list(rows[0])
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY facts.{table} ({_quoted(columns)}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(tuple(row[name] for name in columns))


def _quoted(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
