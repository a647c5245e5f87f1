"""Dagster's instance in the stack: its dagster.yaml, its databases and their roles."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from string import Template

from mlops_assets.failures import PermanentFailure

_MIGRATING = 5_118_272_940
"""The advisory lock of a migration: any number that nobody else uses."""

DAGSTER_DB, READER, OWNER = "dagster", "reader", "owner"
PREDICTION_LOG = "prediction_log"
"""The role of the model service, which strangers send requests to: it may add to its log, and read no text from it."""
_PREDICTION_LOG_MAY = (
    f"REVOKE ALL ON predictions, feedback FROM {PREDICTION_LOG}",
    f"GRANT INSERT, SELECT (request_id, caller) ON predictions TO {PREDICTION_LOG}",
    f"GRANT INSERT, SELECT, UPDATE (label, caller, at) ON feedback TO {PREDICTION_LOG}",
)
_OF_THE_IMAGE = re.compile(
    r"PATH|HOME|HOSTNAME|PWD|OLDPWD|SHLVL|_|LANG|TERM|GPG_KEY|PYTHON\w*|DAGSTER_HOME|DATABASE_ROLE|GRAFANA_ADMIN_\w+|\w+_LOGINS"
)
"""Variables that the container of a run sets itself, or must not get."""
_STALE_S = 300


def rendered(template: str, environ: Mapping[str, str]) -> str:
    """dagster.yaml with every `${NAME}` filled in. Raises `PermanentFailure` if a variable is not set."""
    cpus = environ.get("RUN_CPUS", "") or "0"
    if not re.fullmatch(r"\d{1,3}(\.\d+)?", cpus):
        raise PermanentFailure(f"RUN_CPUS must be a number of cores such as 2 or 1.5, 0 for all, got {cpus!r}")
    at_once = environ.get("RUNS_AT_ONCE", "") or "4"
    if not at_once.isdecimal() or not 1 <= int(at_once) <= 100:
        raise PermanentFailure(f"RUNS_AT_ONCE must be a whole number from 1 to 100, got {at_once!r}")
    names = sorted(name for name in environ if not _OF_THE_IMAGE.fullmatch(name))
    values = {**environ, "NAMES": json.dumps(names), "RUN_NANO_CPUS": str(round(float(cpus) * 1e9))}
    values |= {"RUNS_AT_ONCE": at_once, "MAKES_TABLES": str(environ.get("DATABASE_ROLE") == OWNER).lower()}
    try:
        return Template(template).substitute(values)
    except KeyError as error:
        raise PermanentFailure(f"dagster.yaml names {error.args[0]}, which is not set: make up sets it") from error


def database_logins(environ: Mapping[str, str], passwords: Mapping[str, str]) -> dict[str, str]:
    """The database users of this container's Dagster and of the model service that it deploys."""
    if environ.get("DATABASE_ROLE") == READER:
        return {"DAGSTER_PG_USER": READER, "DAGSTER_PG_PASSWORD": passwords[READER]}
    return {
        "DAGSTER_PG_USER": environ["POSTGRES_USER"],
        "DAGSTER_PG_PASSWORD": environ["POSTGRES_PASSWORD"],
        "PREDICTION_LOG_USER": PREDICTION_LOG,
        "PREDICTION_LOG_PASSWORD": passwords[PREDICTION_LOG],
    }


@contextmanager
def migration_lock(environ: Mapping[str, str]) -> Iterator[None]:
    """One migration at a time, on any machine. The lock ends with its connection. Alembic itself takes no lock."""
    with _connection(environ, environ["POSTGRES_DB"]) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_MIGRATING,))
        yield


def make_databases(environ: Mapping[str, str], passwords: Mapping[str, str]) -> None:
    """Create Dagster's database and the roles that are not its owner, unless they exist. `passwords` are by role."""
    from psycopg import sql

    own = environ["POSTGRES_DB"]
    with _connection(environ, own) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DAGSTER_DB,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DAGSTER_DB)))
        for role, password in passwords.items():
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            connection.execute(
                sql.SQL("ALTER ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                    sql.Identifier(role), sql.Literal(password)
                )
            )
    lock = ("REVOKE CREATE ON SCHEMA public FROM PUBLIC", "GRANT USAGE ON SCHEMA public TO reader")
    # In POSTGRES_DB the migrations of the facts grant what the reader sees: not everybody may read texts of requests.
    everything = (
        f"REVOKE CONNECT ON DATABASE {DAGSTER_DB} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {DAGSTER_DB} TO reader",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
    )
    for database, statements in ((own, lock), (DAGSTER_DB, (*lock, *everything))):
        with _connection(environ, database) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.execute(sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))


def grant_prediction_log(environ: Mapping[str, str]) -> None:
    """Let the model service write its log. The tables must exist: it may create none."""
    with _connection(environ, environ["POSTGRES_DB"]) as connection, connection.transaction():
        for statement in _PREDICTION_LOG_MAY:
            connection.execute(statement)


def migrate_tables(collecting_at_once: int) -> None:
    """Create Dagster's tables, or migrate those of an older version."""
    import dagster as dg

    from mlops_assets.automation.dagster_internals import make_storage_id
    from mlops_assets.automation.storage import bring_up_to_date

    with dg.DagsterInstance.get() as instance:
        bring_up_to_date(instance)
        make_storage_id(instance)
        instance.event_log_storage.set_concurrency_slots("collection", collecting_at_once)


def daemon_alive(environ: Mapping[str, str]) -> bool:
    """Whether Dagster's daemon sent a heartbeat within five minutes."""
    with _connection(environ, DAGSTER_DB) as connection:
        rows = connection.execute("SELECT daemon_type, extract(epoch FROM timestamp) FROM daemon_heartbeats").fetchall()
    return bool(rows) and max(float(at) for _, at in rows) > time.time() - _STALE_S


def write_dagster_yaml(clone: Path, home: Path, environ: Mapping[str, str]) -> None:
    """Write `dagster.yaml` to DAGSTER_HOME, from the stack's template."""
    (home / "dagster.yaml").write_text(
        rendered((clone / "stack" / "dagster.yaml").read_text(encoding="utf-8"), environ), encoding="utf-8"
    )


def _connection(environ: Mapping[str, str], database: str):  # noqa: ANN202  psycopg loads here
    import psycopg

    return psycopg.connect(
        host=environ["POSTGRES_HOST"],
        port=environ.get("POSTGRES_PORT", "") or "5432",
        user=environ["POSTGRES_USER"],
        password=environ["POSTGRES_PASSWORD"],
        dbname=database,
        autocommit=True,
        connect_timeout=10,
    )
