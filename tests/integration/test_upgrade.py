"""The history of an older version moves to this one: nothing is lost, and the migrations run once."""

import gzip
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.scheduler.instigation import TickStatus

from mlops_assets.cli.instance import open_instance
from mlops_assets.team_server.instance import migration_lock, rendered
from tests.integration.clients import wait_until
from tests.integration.postgres_server import Postgres, running_postgres
from tests.repository import ROOT
from tests.user_clone import make_clone, settings_of

OLDER = Path(__file__).parent / "older_storage" / "dagster-1.6.0.sql.gz"
RUNS, SUCCEEDED = 5, 4


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[tuple[Postgres, dict[str, str]]]:
    """PostgreSQL with the volumes of the older version, and what a container of this one gets."""
    clone = make_clone(tmp_path / "clone")
    (clone / "stack" / "made" / "grafana").mkdir(parents=True)
    with running_postgres() as postgres:
        postgres.create("reviews")
        postgres.create("dagster")
        _psql(postgres, gzip.decompress(OLDER.read_bytes()))
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
            "CLONE": str(clone),
            "DAGSTER_HOME": str(tmp_path),
            **postgres.environment,
            "POSTGRES_PASSWORD": "not asked for on loopback",
            "POSTGRES_DB": "reviews",
            "COMPOSE_PROJECT_NAME": "team",
            "ORCHESTRATOR_IMAGE": "orchestrator",
            "STACK_UID": "1",
            "STACK_GID": "1",
            "RUN_MEMORY": "4g",
            "RUNS_AT_ONCE": "4",
            "DATABASE_ROLE": "owner",
            "DAGSTER_PG_USER": "mlops",
            "DAGSTER_PG_PASSWORD": "not asked for on loopback",
        }
        config = yaml.safe_load(rendered((ROOT / "stack" / "dagster.yaml").read_text(encoding="utf-8"), environ))
        config["storage"]["postgres"]["postgres_db"]["port"] = postgres.port
        (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        yield postgres, environ


def test_runs_events_and_ticks_of_an_older_dagster_are_there_after_the_start(stack, monkeypatch) -> None:
    postgres, environ = stack
    before = _contents(postgres)
    assert (len(before["runs"]), len(before["job_ticks"])) == (RUNS, 2)
    # Three that start at the same time, as after `make up` twice: they wait for each other, and for whoever was first.
    with migration_lock(environ):
        started = [_migrate(environ) for _ in range(3)]
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        assert wait_until(lambda: postgres.rows(waiting) == [(3,)], timeout_s=300)
        assert postgres.rows("SELECT version_num FROM alembic_version", "dagster") == [("46b412388816",)]
    assert [_ended(one) for one in started] == [(0, "")] * 3
    after = _contents(postgres)
    assert {table: rows for table, rows in after.items() if rows != before[table]} == {}
    assert postgres.rows("SELECT version_num FROM alembic_version", "dagster") == [(_newest_revision(),)]

    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.get() as instance:
        ended = [run.status for run in instance.get_runs()]
        assert ended.count(dg.DagsterRunStatus.SUCCESS) == SUCCEEDED
        assert ended.count(dg.DagsterRunStatus.FAILURE) == RUNS - SUCCEEDED
        latest = instance.get_latest_materialization_event(dg.AssetKey("reviews"))
        assert latest is not None
        assert latest.asset_materialization is not None
        assert latest.asset_materialization.metadata["rows"].value == 42
        messages = [entry.user_message for entry in instance.all_logs(latest.run_id)]
        assert "said by the older version" in messages
        (tick, older) = instance.get_ticks("every_six_hours", "every_six_hours")
        assert (tick.status, older.status) == (TickStatus.SUCCESS, TickStatus.SKIPPED)
        # And the history goes on.
        assert dg.materialize([_asset()], instance=instance).success
        assert instance.get_runs_count() == RUNS + 1
    reader = "SELECT has_table_privilege('reader', 'runs', 'SELECT'), has_table_privilege('reader', 'runs', 'INSERT')"
    assert postgres.rows(reader, "dagster") == [(True, False)]
    for right, granted in (("INSERT", True), ("SELECT", False)):
        query = f"SELECT has_table_privilege('prediction_log', 'predictions', '{right}')"
        assert postgres.rows(query, "reviews") == [(granted,)]


def test_an_older_embedded_history_is_there_after_the_first_command(tmp_path: Path) -> None:
    settings = settings_of(make_clone(tmp_path / "clone"))
    with tarfile.open(OLDER.with_name("dagster-1.6.0-sqlite.tar.gz")) as archive:
        archive.extractall(settings.instance_folder, filter="data")
    with open_instance(settings) as instance:
        ended = [run.status for run in instance.get_runs()]
        assert (ended.count(dg.DagsterRunStatus.SUCCESS), len(ended)) == (SUCCEEDED, RUNS)
        latest = instance.get_latest_materialization_event(dg.AssetKey("reviews"))
        assert latest is not None
        assert "said by the older version" in [entry.user_message for entry in instance.all_logs(latest.run_id)]
        assert len(instance.get_ticks("every_six_hours", "every_six_hours")) == 2
        assert dg.materialize([_asset()], instance=instance).success
        assert instance.get_runs_count() == RUNS + 1
    assert (settings.instance_folder / "made-by-dagster").read_text(encoding="utf-8") == dg.__version__


def test_a_second_start_changes_nothing(stack) -> None:
    postgres, environ = stack
    assert _ended(_migrate(environ)) == (0, "")
    once = _contents(postgres), postgres.rows(_SCHEMA, "dagster")
    assert _ended(_migrate(environ)) == (0, "")
    assert (_contents(postgres), postgres.rows(_SCHEMA, "dagster")) == once


def test_a_history_of_a_newer_dagster_is_left_alone_and_says_so(stack) -> None:
    postgres, environ = stack
    _psql(postgres, b"UPDATE alembic_version SET version_num = 'ffffffffffff'")
    before = _contents(postgres)
    code, said = _ended(_migrate(environ))
    assert code == 2
    assert re.search(
        r"^error: the run history was written by a Dagster newer than [\d.]+ .*ffffffffffff.*: start", said
    )
    assert _contents(postgres) == before


_SCHEMA = (
    "SELECT table_name, column_name, data_type FROM information_schema.columns "
    "WHERE table_schema = 'public' ORDER BY 1, 2"
)


def _migrate(environ: dict[str, str]) -> subprocess.Popen[str]:
    """The stack's one-shot service."""
    command = [sys.executable, "-m", "mlops_assets.team_server", "migrate"]
    return subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=500)
    return process.returncode, said


def _contents(postgres: Postgres) -> dict[str, list[tuple]]:
    """What must never be lost: each run, event and tick as it was written."""
    return {
        "runs": postgres.rows("SELECT run_id, status, run_body FROM runs ORDER BY id", "dagster"),
        "event_logs": postgres.rows("SELECT id, run_id, event FROM event_logs ORDER BY id", "dagster"),
        "job_ticks": postgres.rows("SELECT id, status, tick_body FROM job_ticks ORDER BY id", "dagster"),
        "asset_keys": postgres.rows("SELECT asset_key, last_run_id FROM asset_keys ORDER BY 1", "dagster"),
    }


def _newest_revision() -> str:
    from alembic.script import ScriptDirectory
    from dagster._core.storage import alembic as migrations

    head = ScriptDirectory(str(Path(str(migrations.__path__[0])))).get_current_head()
    assert head is not None
    return head


def _asset() -> dg.AssetsDefinition:
    @dg.asset
    def reviews() -> None: ...

    return reviews


def _psql(postgres: Postgres, script: bytes) -> None:
    command = ["psql", "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", postgres.url("dagster")]
    subprocess.run(command, input=script, check=True, stdout=subprocess.DEVNULL)
