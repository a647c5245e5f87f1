"""A backup restored where nothing was, over what is there, and refused where it is damaged or in use."""

import contextlib
import shlex
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import dagster as dg
import pytest
import yaml
from filelock import FileLock

from mlops_assets.backup.archive import ArchiveBroken, NotWritten
from mlops_assets.cli.backup import StillAtWork, WouldReplace, back_up, restore_backup
from mlops_assets.cli.instance import open_instance
from mlops_assets.deploy.history import DeploymentLog, Entry
from mlops_assets.failures import Failure, PermanentFailure
from mlops_assets.reviews.drift import newest
from mlops_assets.serving.log.prediction_store import open_store
from mlops_assets.settings import Settings
from tests.integration.postgres_server import Postgres, running_postgres
from tests.user_clone import make_clone, settings_of

SECRET = "correct-horse-battery-staple"


@dg.op
def speak(context: dg.OpExecutionContext) -> None:
    context.log.info("an event of the history")
    sys.stdout.write("a line of the step's output")


@dg.job(executor_def=dg.in_process_executor)
def speaking() -> None:
    speak()


def test_the_embedded_history_moves_to_a_machine_that_has_none(tmp_path: Path, capsys) -> None:
    here = _clone(tmp_path / "my history", PREDICTION_LOG=str(tmp_path / "my history" / "predictions.db"))
    run_id = _make_history(here)
    (here.root / ".env").write_text(f"GITHUB_TOKEN={SECRET}\nPOSTGRES_PASSWORD={SECRET}\n", encoding="utf-8")
    (here.instance_folder / "anchor").mkdir()
    (here.instance_folder / "anchor" / "model.onnx").write_bytes(b"the next run fetches it")
    (here.instance_folder / newest.NAME).write_bytes(b"the next run makes it again")
    archive = _backed_up(here)
    assert not [name for name in _contents(archive) if "anchor" in name or newest.NAME in name]
    printed = capsys.readouterr().out
    assert "1 runs, 2 predictions" in printed
    assert shlex.split(printed.rpartition("Restore: ")[2]) == ["make", "restore-backup", f"FILE={archive}"]
    assert archive.stat().st_mode & 0o077 == 0
    assert SECRET.encode() not in b"".join(_contents(archive).values())

    there = _clone(tmp_path / "there", PREDICTION_LOG=str(tmp_path / "there" / "predictions.db"))
    assert restore_backup(there, str(archive), overwrite=False) == 0
    assert "1 runs, 2 predictions" in capsys.readouterr().out
    assert _told(there, run_id) == _told(here, run_id)
    assert _deployments(there) == _deployments(here)
    assert not (there.root / ".backup-scratch").exists()
    # The history goes on: a second run stands beside the first.
    with open_instance(there) as instance:
        assert speaking.execute_in_process(instance=instance).success
        assert instance.get_runs_count() == 2


def test_a_history_is_replaced_only_when_told_and_is_kept_aside(tmp_path: Path) -> None:
    here, there = _clone(tmp_path / "here"), _clone(tmp_path / "there")
    run_id = _make_history(here)
    archive = _backed_up(here)
    own = _make_history(there)
    with pytest.raises(WouldReplace, match=r"1 runs, 0 predictions, 1 deployments.*OVERWRITE=1"):
        restore_backup(there, str(archive), overwrite=False)
    assert _told(there, own)
    assert restore_backup(there, str(archive), overwrite=True) == 0
    with open_instance(there) as instance:
        assert [run.run_id for run in instance.get_runs()] == [run_id]
    (kept,) = there.root.glob(".dagster.before-*")
    assert (kept / "history" / "runs" / f"{own}.db").is_file()


@pytest.mark.parametrize("harm", ["cut", "changed", "more", "no archive", "absent"])
def test_a_damaged_backup_is_refused_and_nothing_is_touched(tmp_path: Path, harm: str) -> None:
    here, there = _clone(tmp_path / "here"), _clone(tmp_path / "there")
    _make_history(here)
    own = _make_history(there)
    archive = _harm(_backed_up(here), harm)
    before = {path: path.read_bytes() for path in (there.root / ".dagster").rglob("*.db")}
    with pytest.raises(ArchiveBroken, match=archive.name):
        restore_backup(there, str(archive), overwrite=True)
    assert {path: path.read_bytes() for path in (there.root / ".dagster").rglob("*.db")} == before
    assert _told(there, own)
    assert not (there.root / ".backup-scratch").exists()


def test_a_database_that_somebody_writes_to_is_copied_as_of_one_moment(tmp_path: Path) -> None:
    here = _clone(tmp_path / "here")
    run_id = _make_history(here)
    (here.root / ".backup-scratch").mkdir()  # left by a killed one
    (here.root / ".backup-scratch" / "half").write_text("a secret of before", encoding="utf-8")
    database = here.instance_folder / "history" / "runs" / "index.db"
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as writer:
        (before,) = writer.execute("SELECT count(*) FROM event_logs").fetchone()
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO event_logs (run_id, event) VALUES (?, 'half')", (run_id,))
        archive = _backed_up(here)
        writer.execute("COMMIT")
    contents = _contents(archive)
    assert not any(name.endswith("half") for name in contents)
    (tmp_path / "copy.db").write_bytes(contents["dagster/history/runs/index.db"])
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM event_logs").fetchone() == (before,)
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_one_backup_at_a_time(tmp_path: Path) -> None:
    here = _clone(tmp_path / "here")
    _make_history(here)
    (here.root / "backups").mkdir()
    with FileLock(here.root / "backups" / ".lock"), pytest.raises(StillAtWork, match="another backup or restore"):
        back_up(here, "")


def test_what_is_in_use_is_not_replaced(tmp_path: Path) -> None:
    here, there = _clone(tmp_path / "here"), _clone(tmp_path / "there")
    _make_history(here)
    archive = _backed_up(here)
    there.instance_folder.mkdir()
    with FileLock(there.instance_folder / "run.lock"), pytest.raises(StillAtWork, match="a run works in"):
        restore_backup(there, str(archive), overwrite=True)
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()"],
        env={"DAGSTER_HOME": str(there.instance_folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        with pytest.raises(StillAtWork, match=rf"in use by .*process {daemon.pid}"):
            restore_backup(there, str(archive), overwrite=True)
        daemon.kill()
    assert restore_backup(there, str(archive), overwrite=False) == 0


def test_a_backup_that_cannot_be_written_leaves_no_part_of_it(tmp_path: Path) -> None:
    here = _clone(tmp_path / "here")
    with pytest.raises(PermanentFailure, match="no history"):
        back_up(here, "")
    _make_history(here)
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(NotWritten, match=r"is no folder to write to.*TO="):
        back_up(here, str(tmp_path / "file"))
    assert not (here.root / ".backup-scratch").exists()


def test_a_backup_of_a_newer_dagster_is_refused(tmp_path: Path, monkeypatch) -> None:
    here, there = _clone(tmp_path / "here"), _clone(tmp_path / "there")
    _make_history(here)
    monkeypatch.setattr("mlops_assets.cli.backup._versions", lambda _: {"dagster": "99.0.0", "code": "abc"})
    archive = _backed_up(here)
    with pytest.raises(PermanentFailure, match=r"made by dagster 99\.0\.0.*commit abc"):
        restore_backup(there, str(archive), overwrite=False)


def test_the_stacks_database_moves_to_a_fresh_one(tmp_path: Path, postgres: Postgres) -> None:
    here = _clone_on(postgres, "here_db", tmp_path / "here")
    run_id = _make_history(here)
    archive = _backed_up(here)
    contents = _contents(archive)
    assert "postgresql/main.dump" in contents
    assert "dagster/dagster.yaml" not in contents
    assert SECRET.encode() not in b"".join(contents.values())

    with running_postgres() as elsewhere:
        there = _clone_on(elsewhere, "there_db", tmp_path / "there")
        assert restore_backup(there, str(archive), overwrite=False) == 0
        assert elsewhere.rows("SELECT run_id FROM runs", "there_db") == [(run_id,)]
        assert _told(there, run_id) == _told(here, run_id)
        assert elsewhere.rows("SELECT count(*) FROM predictions", "there_db") == [(2,)]
        assert elsewhere.rows("SELECT label FROM feedback", "there_db") == [("negative",)]


def test_a_database_that_holds_something_or_is_in_use_is_not_replaced(tmp_path: Path, postgres: Postgres) -> None:
    here = _clone_on(postgres, "mine", tmp_path / "here")
    first = _make_history(here)
    archive = _backed_up(here)
    second = _make_history(here)
    with pytest.raises(WouldReplace, match="2 runs"):
        restore_backup(here, str(archive), overwrite=False)
    import psycopg

    with (
        psycopg.connect(postgres.url("mine"), application_name="dagster-webserver"),
        pytest.raises(StillAtWork, match="database mine is in use by dagster-webserver from 127"),
    ):
        restore_backup(here, str(archive), overwrite=True)
    assert restore_backup(here, str(archive), overwrite=True) == 0
    with open_instance(here) as instance:
        assert [run.run_id for run in instance.get_runs()] == [first]
    (kept,) = [name for (name,) in postgres.rows("SELECT datname FROM pg_database") if name.startswith("mine_before_")]
    assert postgres.rows("SELECT run_id FROM runs ORDER BY id", kept) == [(first,), (second,)]


def test_a_dump_needs_a_database_to_go_to(tmp_path: Path, postgres: Postgres) -> None:
    here = _clone_on(postgres, "alone", tmp_path / "here")
    _make_history(here)
    archive = _backed_up(here)
    with pytest.raises(PermanentFailure, match=r"holds a PostgreSQL database \(.*main.dump\), and there is none here"):
        restore_backup(_clone(tmp_path / "there"), str(archive), overwrite=False)


def test_a_database_that_does_not_answer_is_named(tmp_path: Path) -> None:
    here = _clone(tmp_path / "here", POSTGRES_HOST="127.0.0.1", POSTGRES_PORT="1", POSTGRES_USER="mlops")
    with pytest.raises(Failure, match=r"psql on database mlops: .*127.0.0.1"):
        back_up(here, "")


def _clone(folder: Path, **environ: str) -> Settings:
    return settings_of(make_clone(folder), **environ)


def _clone_on(postgres: Postgres, database: str, folder: Path) -> Settings:
    """A clone whose history is in the database, as in the stack, and whose server logs there too."""
    postgres.create(database)
    environ = {**postgres.environment, "POSTGRES_DB": database, "POSTGRES_PASSWORD": SECRET}
    settings = _clone(folder, **environ)
    settings.instance_folder.mkdir()
    config = yaml.safe_load((settings.root / "dagster.yaml").read_text(encoding="utf-8"))
    # Dagster speaks psycopg2, and sqlalchemy's own default is psycopg.
    url = postgres.url(database).replace("postgresql:", "postgresql+psycopg2:")
    url = url.replace("mlops@", f"mlops:{SECRET}@")  # which this server does not ask for
    config["storage"] = {"postgres": {"postgres_url": url}}
    (settings.instance_folder / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return settings


def _make_history(settings: Settings) -> str:
    """A run, its output and summary, a deployment, two predictions and a person's word on one."""
    with open_instance(settings) as instance:
        run_id = speaking.execute_in_process(instance=instance).run_id
    summaries = settings.instance_folder / "summaries"
    summaries.mkdir(exist_ok=True)
    (summaries / f"{run_id}.json").write_text("{}", encoding="utf-8")
    place = f"sqlite:{settings.prediction_log}" if settings.prediction_log else ""
    if "POSTGRES_HOST" in settings.server:
        port, database = settings.server["POSTGRES_PORT"], settings.server["POSTGRES_DB"]
        place = f"postgresql://mlops@127.0.0.1:{port.get_secret_value()}/{database.get_secret_value()}"
    if place:
        store = open_store(place)
        rows = [(f"{run_id}{n}", "2026-01-01", "c", "positive", 0.9, "{}", 4, None, "m", "d") for n in range(2)]
        store.write(rows)
        assert store.attach(f"{run_id}0", "negative", "c", "2026-01-02")
        store.close()
    entry = Entry("2026-01-01T00:00:00+00:00", "docker", "r", "m", "d", f"run {run_id}", "live", "", "image@sha256:1")
    DeploymentLog(settings.service_folder / "deployments.sqlite").add(entry)
    return run_id


def _told(settings: Settings, run_id: str) -> list[str]:
    """What the history says of a run: its events and its output."""
    with open_instance(settings) as instance:
        events = [entry.user_message for entry in instance.all_logs(run_id)]
    (output,) = (settings.instance_folder / "storage" / run_id / "compute_logs").glob("*.out")
    assert (settings.instance_folder / "summaries" / f"{run_id}.json").is_file()
    assert "an event of the history" in events
    return [*events, output.read_text(encoding="utf-8")]


def _deployments(settings: Settings) -> list[Entry]:
    return DeploymentLog(settings.service_folder / "deployments.sqlite").entries()


def _backed_up(settings: Settings) -> Path:
    assert back_up(settings, "") == 0
    return max((settings.root / "backups").glob("*.tar.gz"), key=lambda path: path.stat().st_mtime_ns)


def _contents(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


def _harm(archive: Path, how: str) -> Path:
    harmed = archive.with_name(f"harmed-{archive.name}")
    if how == "cut":
        harmed.write_bytes(archive.read_bytes()[:-2000])
    elif how == "no archive":
        harmed.write_text("a letter", encoding="utf-8")
    elif how != "absent":
        with tarfile.open(archive) as old, tarfile.open(harmed, "w:gz") as new:
            for member in old:
                content = old.extractfile(member)
                if how == "changed" and member.name.endswith("runs.db"):
                    member.size -= 1
                new.addfile(member, content)
            if how == "more":
                new.add(archive, arcname="dagster/../../more")
    return harmed
