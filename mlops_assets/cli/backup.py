"""`make backup` and `make restore-backup`: databases and run history as one file, and back."""

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock, Timeout

from mlops_assets.backup.archive import Manifest, unpack_archive, write_archive
from mlops_assets.backup.history_files import copy_history, put_back, rows
from mlops_assets.failures import PermanentFailure, TransientFailure
from mlops_assets.reviews.labels.table import FOLDER, NAME, LabelTable
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.backup.postgres_programs import PostgresPrograms

_DUMPS = "postgresql"
"""Folder in the archive: `main.dump` of the server's database, `dagster.dump` of the stack's history."""


class StillAtWork(TransientFailure):
    """What would be replaced is in use."""


class WouldReplace(PermanentFailure):
    """A restore would replace a history, and OVERWRITE=1 was not set."""


def back_up(settings: Settings, to: str) -> int:
    """`make backup [TO=folder]`: one archive of what the databases and the run history hold now."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = Path(to).expanduser().absolute() if to else settings.root / "backups"
    databases = _databases(settings)
    with _scratch(settings.root) as staged:
        copy_history(settings.instance_folder, settings.service_folder, settings.prediction_log, staged)
        versions = _versions(settings)
        if (labels := LabelTable(settings.data / FOLDER)).files():
            shutil.copyfile(labels.path, staged / NAME)
        for name, database in databases.items():
            if name == "dagster" and not database.exists():
                continue  # the stack's database was started alone and has no history yet
            versions["postgresql"] = database.version()
            (staged / _DUMPS).mkdir(exist_ok=True)
            database.dump(staged / _DUMPS / f"{name}.dump")
        counts = _counts(staged / "dagster", staged / "predictions.sqlite", databases)
        if not any(staged.rglob("*")):
            raise PermanentFailure(f"there is no history in {settings.root} yet: make run, then make backup")
        target = folder / f"mlops-{stamp}.tar.gz"
        manifest = write_archive(target, staged, datetime.now(UTC).isoformat(timespec="seconds"), versions, counts)
    size = target.stat().st_size / 1e6
    print(f"Wrote {target}: {len(manifest.files)} files, {_listed(counts)}, {size:.1f} MB")
    print(f"Restore: make restore-backup FILE={shlex.quote(str(target))}")
    return 0


def restore_backup(settings: Settings, file: str, *, overwrite: bool) -> int:
    """`make restore-backup FILE= [OVERWRITE=1]`: replace the history by an archive and keep the old one beside."""
    if not file:
        raise PermanentFailure("FILE names no backup: make restore-backup FILE=backups/<name>.tar.gz")
    archive = Path(file).expanduser().absolute()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    with _scratch(settings.root) as scratch:
        unpacked = scratch / "backup"
        manifest = unpack_archive(archive, unpacked)
        _refuse_newer(manifest)
        known = _databases(settings).items()
        databases = {name: database for name, database in known if manifest.has(f"{_DUMPS}/{name}.dump")}
        _refuse_homeless(settings, manifest, databases)
        settings.instance_folder.mkdir(parents=True, exist_ok=True)
        try:
            locked = FileLock(settings.instance_folder / "run.lock").acquire(timeout=0)
        except Timeout:
            raise StillAtWork(f"a run works in {settings.root}: let it end, then restore") from None
        _give_to_owner(unpacked, settings.root)
        with locked:
            _refuse_live(settings, databases)
            if not overwrite:
                _refuse_history(settings, databases, archive)
            dumps = [(database, unpacked / _DUMPS / f"{name}.dump") for name, database in databases.items()]
            replaced = [database.replace(dump, stamp) for database, dump in dumps]
            kept = [f"database {name}" for name in replaced if name]
            places = (settings.instance_folder, settings.service_folder, settings.prediction_log)
            kept += [str(path) for path in put_back(unpacked, *places, stamp)]
            if manifest.has(NAME):
                added = LabelTable(settings.data / FOLDER).merge((unpacked / NAME).read_text(encoding="utf-8"))
                print(f"Labels of people: {added} joined those that are here")
        counts = _counts(settings.instance_folder, settings.prediction_log, databases)
    print(f"Restored {archive.name} of {manifest.made_at}: {_listed(counts)}")
    for name in kept:
        print(f"Kept what was here before: {name}")
    print("The next start brings it to this version: make run, make ui or make up")
    return 0


@contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    """An empty folder on the clone's own disk, so that a rename moves a file out of it.

    One backup or restore at a time; leftovers of a killed one are removed first.
    """
    (root / "backups").mkdir(exist_ok=True)
    try:
        locked = FileLock(root / "backups" / ".lock").acquire(timeout=0)
    except Timeout:
        raise StillAtWork(f"another backup or restore works in {root}: let it end, then try again") from None
    with locked:
        folder = root / ".backup-scratch"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def _databases(settings: Settings) -> "dict[str, PostgresPrograms]":
    from mlops_assets.backup.postgres_programs import databases_of
    from mlops_assets.deploy.docker.engine import running_containers

    variables = {name: value.get_secret_value() for name, value in settings.server.items()}
    return databases_of(variables, settings.root, running_containers)


def _counts(instance: Path, predictions: Path | None, databases: "dict[str, PostgresPrograms]") -> dict[str, int]:
    embedded = rows(instance / "history" / "runs.db", "runs")
    logged = rows(predictions, "predictions") if predictions else 0
    existing = [database for database in databases.values() if database.exists()]
    return {
        "runs": embedded + sum(database.rows("runs") for database in existing),
        "predictions": logged + sum(database.rows("predictions") for database in existing),
    }


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _versions(settings: Settings) -> dict[str, str]:
    from importlib.metadata import version

    from mlops_assets import outside

    commit = outside.build(settings)["git_history"].head()[1]
    return {"mlops-assets": version("mlops-assets"), "dagster": version("dagster"), "code": commit}


def _refuse_newer(manifest: Manifest) -> None:
    from importlib.metadata import version

    from packaging.version import Version

    here, there = version("dagster"), manifest.versions.get("dagster", "0")
    if Version(there) > Version(here):
        raise PermanentFailure(
            f"the backup was made by dagster {there}, here is {here}: take the version of the project that made it "
            f"(commit {manifest.versions.get('code') or 'unknown'}), or a later one"
        )


def _refuse_homeless(settings: Settings, manifest: Manifest, databases: "dict[str, PostgresPrograms]") -> None:
    dumps = {file.name for file in manifest.files if file.name.startswith(f"{_DUMPS}/")}
    if homeless := sorted(dumps - {f"{_DUMPS}/{name}.dump" for name in databases}):
        raise PermanentFailure(
            f"the backup holds a PostgreSQL database ({homeless[0]}), and there is none here: start the stack's "
            "(make up), or set POSTGRES_HOST, POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB"
        )
    if manifest.has("predictions.sqlite") and settings.prediction_log is None:
        raise PermanentFailure("the backup holds an SQLite log of predictions: set PREDICTION_LOG to where it goes")


def _refuse_live(settings: Settings, databases: "dict[str, PostgresPrograms]") -> None:
    """A process that has the history open would go on writing to the files that were moved aside."""
    for database in databases.values():
        # The model service and Grafana only lose their connection, and come back by themselves.
        if database.exists() and database.has("runs") and (others := database.connections()):
            raise StillAtWork(
                f"database {database.database} is in use by {', '.join(others)}: stop Dagster, then restore "
                "(make down, stack/stack.sh database, make restore-backup, make up)"
            )
    if at_work := _processes_of(settings.instance_folder):
        raise StillAtWork(f"{settings.instance_folder} is in use by {', '.join(at_work)}: stop make ui, then restore")


def _refuse_history(settings: Settings, databases: "dict[str, PostgresPrograms]", archive: Path) -> None:
    counts = _counts(settings.instance_folder, settings.prediction_log, databases)
    counts["deployments"] = rows(settings.service_folder / "deployments.sqlite", "deployments")
    if any(counts.values()):
        raise WouldReplace(
            f"here is a history already ({_listed(counts)}): "
            f"make restore-backup FILE={shlex.quote(str(archive))} OVERWRITE=1 "
            "puts the backup in its place and keeps it aside"
        )


def _give_to_owner(unpacked: Path, root: Path) -> None:
    """The stack's containers run as the clone's owner and could not read files that belong to root."""
    if os.geteuid() == 0:
        owner = root.stat()
        for path in (unpacked, *unpacked.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)


def _processes_of(instance: Path) -> list[str]:
    """Dagster's processes of this instance: webserver, daemon, code location, runs."""
    own = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    found: set[str] = set()
    for process in psutil.process_iter():
        try:
            home = process.environ().get("DAGSTER_HOME")
            if process.pid not in own and home and Path(home).resolve() == instance.resolve():
                found.add(f"{process.name()} (process {process.pid})")
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, OSError):
            continue  # it ended, or belongs to somebody who cannot write here
    return sorted(found)
