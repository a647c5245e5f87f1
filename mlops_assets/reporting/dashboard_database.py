"""The PostgreSQL database behind the dashboards: its tables as numbered migrations, and the writing of rows.

The tables are in the schema `facts`, apart from Dagster's own; the service's `predictions` and `feedback` are in
`public`, as the server makes them. A migration runs once, in order, and is never edited afterwards.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_assets.failures import PermanentFailure, TransientFailure
from mlops_assets.reporting import topic_tables
from mlops_assets.serving.log.prediction_store import CREATE

Row = Mapping[str, Any]

_LOCK = 7_203_411_861
"""The advisory lock for writing and migrating: any number that nothing else locks."""

_DATA = "data"
_NEWEST_COMPLAINTS = 50
"""Per app: the reviews that have their text in the database."""

_VERSIONS = (
    "CREATE SCHEMA IF NOT EXISTS facts",
    "CREATE TABLE IF NOT EXISTS facts.schema_version "
    "(version INTEGER PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())",
)
"""The schema and the table of its versions, which migrations need."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE facts.runs (run_id TEXT PRIMARY KEY, digest TEXT NOT NULL, job TEXT NOT NULL, "
        "trigger TEXT NOT NULL, outcome TEXT NOT NULL, started TIMESTAMPTZ, ended TIMESTAMPTZ, "
        "duration_s DOUBLE PRECISION, dataset_version TEXT, cause TEXT)",
        "CREATE INDEX runs_ended ON facts.runs (ended)",
        "CREATE TABLE facts.stages (run_id TEXT NOT NULL REFERENCES facts.runs ON DELETE CASCADE, "
        "stage TEXT NOT NULL, status TEXT NOT NULL, seconds DOUBLE PRECISION, reason TEXT NOT NULL, "
        "PRIMARY KEY (run_id, stage))",
        "CREATE TABLE facts.scores (run_id TEXT NOT NULL REFERENCES facts.runs ON DELETE CASCADE, at TIMESTAMPTZ, "
        "kind TEXT NOT NULL, side TEXT NOT NULL, model_version TEXT NOT NULL, dataset_version TEXT NOT NULL, "
        "n INTEGER NOT NULL, accuracy DOUBLE PRECISION, accuracy_low DOUBLE PRECISION, accuracy_high DOUBLE PRECISION, "
        "macro_f1 DOUBLE PRECISION, macro_f1_low DOUBLE PRECISION, macro_f1_high DOUBLE PRECISION, "
        "champion BOOLEAN NOT NULL, PRIMARY KEY (run_id, kind, side))",
        "CREATE INDEX scores_at ON facts.scores (at)",
        "CREATE TABLE facts.deployments (at TIMESTAMPTZ NOT NULL, target TEXT NOT NULL, "
        "release_version TEXT NOT NULL, model_version TEXT NOT NULL, dataset_version TEXT NOT NULL, "
        "caused_by TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, image TEXT NOT NULL, "
        "PRIMARY KEY (at, release_version, outcome))",
        # Each release that served; until is empty for the live release.
        "CREATE VIEW facts.served AS SELECT * FROM (SELECT at, lead(at) OVER (ORDER BY at) AS until, release_version, "
        "model_version, dataset_version, caused_by, target, outcome FROM facts.deployments "
        "WHERE outcome IN ('live', 'stopped')) AS changes WHERE outcome = 'live'",
        'CREATE TABLE facts.drift_ticks (at TIMESTAMPTZ NOT NULL, "of" TEXT NOT NULL, model_version TEXT NOT NULL, '
        'drifted BOOLEAN NOT NULL, features TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (at, "of"))',
        'CREATE TABLE facts.drift (at TIMESTAMPTZ NOT NULL, "of" TEXT NOT NULL, feature TEXT NOT NULL, '
        "effect DOUBLE PRECISION NOT NULL, floor DOUBLE PRECISION NOT NULL, p DOUBLE PRECISION NOT NULL, "
        'drifted BOOLEAN NOT NULL, PRIMARY KEY (at, "of", feature))',
        'CREATE TABLE facts.volumes (app_id TEXT NOT NULL, month DATE NOT NULL, "raw" INTEGER NOT NULL, '
        "deleted INTEGER NOT NULL, validated INTEGER NOT NULL, quarantined INTEGER NOT NULL, "
        "PRIMARY KEY (app_id, month))",
        "CREATE TABLE facts.quarantine (app_id TEXT NOT NULL, month DATE NOT NULL, reason TEXT NOT NULL, "
        "reviews INTEGER NOT NULL, PRIMARY KEY (app_id, month, reason))",
        "CREATE TABLE facts.reviews (app_id TEXT NOT NULL, review_id TEXT NOT NULL, app_version TEXT, "
        "at TIMESTAMPTZ NOT NULL, month DATE NOT NULL, rating INTEGER, sentiment TEXT, confidence DOUBLE PRECISION, "
        'model_version TEXT, "text" TEXT, PRIMARY KEY (app_id, review_id))',
        "CREATE INDEX reviews_at ON facts.reviews (at)",
        "CREATE TABLE facts.synced (part TEXT PRIMARY KEY, digest TEXT NOT NULL, "
        "at TIMESTAMPTZ NOT NULL DEFAULT now())",
        # The server makes these with its first prediction; a dashboard must not fail before that.
        *CREATE,
    ),
    (
        # Each month is written by itself, known by its own digest in facts.synced; the next pass fills the tables.
        "DELETE FROM facts.synced",
        "DELETE FROM facts.volumes",
        "DELETE FROM facts.quarantine",
        "DELETE FROM facts.reviews",
        # How many reviews each model answered. A review without an answer is in none of them.
        "CREATE TABLE facts.answers (app_id TEXT NOT NULL, month DATE NOT NULL, model_version TEXT NOT NULL, "
        "reviews INTEGER NOT NULL, PRIMARY KEY (app_id, month, model_version))",
        "CREATE INDEX reviews_month ON facts.reviews (app_id, month, at)",
        'CREATE INDEX reviews_text ON facts.reviews (app_id) WHERE "text" IS NOT NULL',
    ),
    topic_tables.MIGRATION,
)

_READER = "reader"
"""Grafana's role, if the database has it. It can only read: a viewer of a dashboard can send any query."""

_READER_SEES = (
    f"GRANT USAGE ON SCHEMA facts TO {_READER}",
    f"GRANT SELECT ON ALL TABLES IN SCHEMA facts TO {_READER}",
    f"ALTER DEFAULT PRIVILEGES IN SCHEMA facts GRANT SELECT ON TABLES TO {_READER}",
    # Neither the text of requests nor who sent them.
    f"REVOKE ALL ON predictions FROM {_READER}",
    f"GRANT SELECT (request_id, at, sentiment, confidence, characters, model_version, dataset_version) "
    f"ON predictions TO {_READER}",
    f"REVOKE ALL ON feedback FROM {_READER}",
    f"GRANT SELECT (request_id, at, label) ON feedback TO {_READER}",
)


class DashboardsNotWritten(TransientFailure):
    """The database refused the rows; what they come from is on disk, and the next pass writes what is missing."""


@dataclass(frozen=True)
class MonthOfRows:
    """What the database holds of one app's month, by table. Only the month's newest complaints have their text."""

    volumes: Sequence[Row]
    quarantine: Sequence[Row]
    reviews: Sequence[Row]
    answers: Sequence[Row]


@dataclass(frozen=True)
class DashboardRows:
    """What one pass has to write: rows by column name.

    `months` has a digest by app and month (`<app_id>/<YYYY-MM>`), `data_digest` is one of them all. `month` gives the
    rows of a month and is called if its digest is new, `reviews` gives some of its reviews by id, with their texts.
    """

    runs: Sequence[Row]
    stages: Sequence[Row]
    scores: Sequence[Row]
    deployments: Sequence[Row]
    drift_ticks: Sequence[Row]
    drift: Sequence[Row]
    data_digest: str
    months: Mapping[str, str]
    month: Callable[[str], MonthOfRows]
    reviews: Callable[[str, Sequence[str]], Sequence[Row]]
    topics: topic_tables.TopicRows


class DashboardDatabase:
    """Connects with each call; raises `DashboardsNotWritten` if the database is away or refuses."""

    def __init__(self, url: str) -> None:
        self._url = url

    def prepare(self) -> int:
        """Migrate, and grant the reader its rights; the schema's version."""
        return self._in_transaction(_prepare)

    def write(self, read: Callable[[], DashboardRows]) -> int:
        """Write what is missing, all of it or nothing; how many runs were written.

        `read` is called with the lock held, so that rows read earlier never replace rows read later.
        """

        def work(connection: Any) -> int:
            _prepare(connection)
            return _write(connection, read())

        return self._in_transaction(work)

    def _in_transaction(self, work: Callable[[Any], int]) -> int:
        import psycopg

        connect: Any = psycopg.connect  # its types refuse SQL that is put together
        try:
            with connect(self._url, connect_timeout=5, options="-c statement_timeout=120000") as connection:
                connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
                return work(connection)
        except (psycopg.Error, OSError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DashboardsNotWritten(
                f"the database of the dashboards took nothing: {reason}: the next run or tick writes what is missing"
            ) from error


def _prepare(connection: Any) -> int:
    _migrate(connection)
    # The reader has too few rights on a new schema, and too many if somebody granted all tables.
    wrong = (
        "SELECT NOT has_schema_privilege(rolname, 'facts', 'USAGE') OR "
        "has_column_privilege(rolname, 'predictions', 'caller', 'SELECT') FROM pg_roles WHERE rolname = %s"
    )
    if connection.execute(wrong, (_READER,)).fetchone() == (True,):
        for statement in _READER_SEES:
            connection.execute(statement)
    return len(MIGRATIONS)


def _migrate(connection: Any) -> None:
    """Run what is missing, once each."""
    if connection.execute("SELECT to_regclass('facts.schema_version')").fetchone() == (None,):
        for statement in _VERSIONS:
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


def _write(connection: Any, found: DashboardRows) -> int:
    known = dict(connection.execute("SELECT run_id, digest FROM facts.runs").fetchall())
    new = {row["run_id"] for row in found.runs if known.get(row["run_id"]) != row["digest"]}
    if new:
        connection.execute("DELETE FROM facts.runs WHERE run_id = ANY(%s)", (sorted(new),))
        for table, rows in (("runs", found.runs), ("stages", found.stages), ("scores", found.scores)):
            _insert(connection, table, [row for row in rows if row["run_id"] in new])
    _insert(connection, "deployments", found.deployments)
    _insert(connection, "drift_ticks", found.drift_ticks)
    _insert(connection, "drift", found.drift)
    stored = connection.execute("SELECT digest FROM facts.synced WHERE part = %s", (_DATA,)).fetchone()
    if stored != (found.data_digest,):
        _write_months(connection, found)
        _mark_synced(connection, _DATA, found.data_digest)
    topic_tables.write_topics(connection, found.topics, _copy)
    return len(new)


def _write_months(connection: Any, found: DashboardRows) -> None:
    """Replace the rows of the months that changed. All go before the first comes: a review may change its month."""
    stored = dict(connection.execute("SELECT part, digest FROM facts.synced WHERE part <> %s", (_DATA,)).fetchall())
    gone = stored.keys() - found.months.keys()
    changed = [name for name, digest in found.months.items() if stored.get(name) != digest]
    tables = ("volumes", "quarantine", "reviews", "answers")
    for name in (*gone, *changed):
        app_id, month = name.split("/")
        for table in tables:
            # One of the four names above.
            statement = f"DELETE FROM facts.{table} WHERE app_id = %s AND month = %s"  # noqa: S608  # as said
            connection.execute(statement, (app_id, f"{month}-01"))
    connection.execute("DELETE FROM facts.synced WHERE part = ANY(%s)", (sorted(gone),))
    for name in changed:
        rows = found.month(name)
        for table in tables:
            _copy(connection, table, getattr(rows, table))
        _mark_synced(connection, name, found.months[name])
    for app_id in sorted({name.split("/")[0] for name in (*gone, *changed)}):
        _show_newest_complaints(connection, app_id, found)


def _show_newest_complaints(connection: Any, app_id: str, found: DashboardRows) -> None:
    """Give the app's newest complaints their text, and take it from all others."""
    newest = connection.execute(
        "SELECT review_id, to_char(month, 'YYYY-MM'), \"text\" IS NULL FROM facts.reviews WHERE app_id = %s "
        "AND (rating <= 2 OR sentiment = 'negative') ORDER BY month DESC, at DESC, review_id DESC LIMIT %s",
        (app_id, _NEWEST_COMPLAINTS),
    ).fetchall()
    connection.execute(
        'UPDATE facts.reviews SET "text" = NULL WHERE app_id = %s AND "text" IS NOT NULL AND review_id <> ALL(%s)',
        (app_id, [review_id for review_id, _, _ in newest]),
    )
    missing: dict[str, list[str]] = {}
    for review_id, month, without_text in newest:
        if without_text:
            missing.setdefault(f"{app_id}/{month}", []).append(review_id)
    for name, ids in missing.items():
        for row in found.reviews(name, ids):
            connection.execute(
                'UPDATE facts.reviews SET "text" = %s WHERE app_id = %s AND review_id = %s',
                (row["text"], app_id, row["review_id"]),
            )


def _mark_synced(connection: Any, part: str, digest: str) -> None:
    connection.execute(
        "INSERT INTO facts.synced (part, digest) VALUES (%s, %s) "
        "ON CONFLICT (part) DO UPDATE SET digest = excluded.digest, at = now()",
        (part, digest),
    )


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
