"""PostgreSQL's own programs (psql, pg_dump, pg_restore), here or in the stack's database container."""

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlops_assets.failures import OutsideFailure, PermanentFailure, TransientFailure
from mlops_assets.settings import child_environment

_SERVICE = "com.docker.compose.service=postgres"
_FOLDER = "com.docker.compose.project.working_dir"

Running = Callable[[str], Mapping[str, Mapping[str, str]]]
"""Maps a label to the names of the running containers that have it, each with all its labels."""


class DatabaseDown(TransientFailure):
    """The database does not answer, or refused what it was asked."""


class DatabaseUnknown(PermanentFailure):
    """The settings do not lead to a database."""


@dataclass(frozen=True, eq=False)
class PostgresPrograms:
    """One database; `prefix` comes before each command, `environment` holds the password and never an argument."""

    database: str
    prefix: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def maintenance(self) -> str:
        """The database to be in while `database` itself is renamed."""
        return "template1" if self.database == "postgres" else "postgres"

    def version(self) -> str:
        """The server's, such as 15.14."""
        return self.ask("SHOW server_version").split()[0]

    def ask(self, query: str, database: str | None = None) -> str:
        """The first column of each row, a line each."""
        arguments = ("--no-psqlrc", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", "--command", query)
        return self._run("psql", "--dbname", database or self.database, *arguments).strip()

    def change(self, *statements: str) -> None:
        """All of them in one transaction, from the maintenance database."""
        commands = [part for statement in statements for part in ("--command", statement)]
        once = ("--single-transaction",) if len(statements) > 1 else ()
        self._run(
            "psql", "--no-psqlrc", "--quiet", "--dbname", self.maintenance, "--set", "ON_ERROR_STOP=1", *once, *commands
        )

    def rows(self, table: str) -> int:
        """Rows of a table; 0 if it does not exist."""
        if not self.has(table):
            return 0
        return int(self.ask(f"SELECT count(*) FROM {table}"))  # noqa: S608  names of this package

    def has(self, table: str) -> bool:
        """Whether there is such a table."""
        return self.ask(f"SELECT to_regclass('{table}') IS NOT NULL") == "t"

    def connections(self) -> list[str]:
        """Who else is connected: application and address."""
        query = (
            "SELECT DISTINCT coalesce(nullif(application_name, ''), 'a client') || ' from ' "  # noqa: S608  our own name
            "|| coalesce(host(client_addr), 'the same machine') FROM pg_stat_activity "
            f"WHERE datname = '{self.database}' AND pid <> pg_backend_pid()"
        )
        return self.ask(query, self.maintenance).splitlines()

    def dump(self, target: Path) -> None:
        """The whole database as of one moment, without roles and passwords."""
        with target.open("wb") as out:
            self._run("pg_dump", "--format", "custom", "--dbname", self.database, stdout=out.fileno())

    def replace(self, dump: Path, stamp: str) -> str | None:
        """Replace the database by the dump and keep it under another name: returns that name, None if it was empty.

        The new database is complete before the names change, in one transaction. Clients lose their connection.
        Everything in it belongs to the user who restores; the stack's next start gives the rights anew.
        """
        fresh, before = f"{self.database}_restoring", f"{self.database}_before_{stamp.lower()}"
        self.change(f'DROP DATABASE IF EXISTS "{fresh}"')
        self.change(f'CREATE DATABASE "{fresh}"')
        with dump.open("rb") as given:
            options = ("--no-owner", "--no-acl", "--exit-on-error", "--single-transaction")
            self._run("pg_restore", *options, "--dbname", fresh, stdin=given.fileno())
        take_name = f'ALTER DATABASE "{fresh}" RENAME TO "{self.database}"'
        if not self.exists():
            self.change(take_name)
            return None
        had_tables = self.ask("SELECT 1 FROM pg_tables WHERE schemaname = 'public' LIMIT 1") == "1"
        end = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "  # noqa: S608  our own name
            f"WHERE datname = '{self.database}' AND pid <> pg_backend_pid()"
        )
        for last in (False, False, False, False, True):  # a client may reconnect faster than the renaming
            try:
                self.change(end, f'ALTER DATABASE "{self.database}" RENAME TO "{before}"', take_name)
                break
            except DatabaseDown:
                if last:
                    raise
        if had_tables:
            return before
        self.change(f'DROP DATABASE "{before}"')
        return None

    def exists(self) -> bool:
        """Whether the server has this database."""
        query = f"SELECT 1 FROM pg_database WHERE datname = '{self.database}'"  # noqa: S608  our own name
        return self.ask(query, self.maintenance) == "1"

    def named(self, database: str) -> "PostgresPrograms":
        """Another database of the same server."""
        return replace(self, database=database)

    def _run(self, *command: str, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.PIPE) -> str:
        environment = {**child_environment(), **self.environment}
        try:
            done = subprocess.run(
                [*self.prefix, *command],
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                env=environment,
                check=False,
            )
        except FileNotFoundError as error:
            raise DatabaseUnknown(
                f"{error.filename} is not on PATH: install PostgreSQL's client programs of the server's version"
            ) from error
        if done.returncode != 0:
            errors = done.stderr.decode(errors="replace").strip().splitlines()
            raise DatabaseDown(f"{command[0]} on database {self.database}: {errors[0] if errors else 'no answer'}")
        return (done.stdout or b"").decode()


HISTORY = "dagster"
"""The database of Dagster's storage in the stack, beside the server's own."""


def databases_of(variables: Mapping[str, str], root: Path, running: Running) -> dict[str, PostgresPrograms]:
    """The databases of a backup: `main`, the server's, and `dagster` in the stack; empty if there are none."""
    main = postgres_of(variables, root, running)
    if main is None:
        return {}
    # On a server that POSTGRES_HOST names, a database called dagster may be anybody's.
    of_the_stack = bool(main.prefix) and main.database != HISTORY
    return {"main": main, **({"dagster": main.named(HISTORY)} if of_the_stack else {})}


def postgres_of(variables: Mapping[str, str], root: Path, running: Running) -> PostgresPrograms | None:
    """The database that POSTGRES_HOST names, else that of the stack that runs from `root`; None if neither is set.

    `variables` are POSTGRES_HOST, _PORT, _USER, _PASSWORD and _DB.
    """
    host, user = variables.get("POSTGRES_HOST"), variables.get("POSTGRES_USER") or "postgres"
    if not host and not variables.get("POSTGRES_DB"):
        return None
    database = variables.get("POSTGRES_DB") or user
    if not re.fullmatch(r"\w{1,40}", database):
        raise DatabaseUnknown(f"POSTGRES_DB must be at most 40 letters, digits and _, got {database!r}")
    login = {"PGUSER": user, "PGPASSWORD": variables.get("POSTGRES_PASSWORD", "")}
    if host:
        login |= {"PGHOST": host, "PGPORT": variables.get("POSTGRES_PORT") or "5432", "PGCONNECT_TIMEOUT": "10"}
        return PostgresPrograms(database, environment=login)
    return PostgresPrograms(database, _inside(_container(root, running), login), login)


def _inside(container: str, names: Mapping[str, str]) -> tuple[str, ...]:
    """A command in the container; variables go by name, so that no value is an argument."""
    return ("docker", "exec", "--interactive", *(part for name in names for part in ("--env", name)), container)


def _container(root: Path, running: Running) -> str:
    try:
        found = running(_SERVICE)
        names = {name for name, labels in found.items() if Path(labels.get(_FOLDER, "/")).is_relative_to(root)}
    except OutsideFailure as error:
        raise DatabaseUnknown(f"POSTGRES_DB is set, and {error}") from error
    if len(names) != 1:
        raise DatabaseUnknown(
            f"POSTGRES_DB is set, and {len(names)} databases of a stack run from {root}: start one with make up, "
            "or set POSTGRES_HOST, or leave POSTGRES_DB empty where nothing is in PostgreSQL"
        )
    return names.pop()
