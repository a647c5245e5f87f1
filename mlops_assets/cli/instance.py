"""The embedded Dagster instance: made before any other process needs it, freed from runs whose process is gone."""

import contextlib
import io
import os
from datetime import UTC, datetime

import dagster as dg
import psutil

from mlops_assets.settings import Settings

_UNFINISHED = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance in `.dagster/`, its database created or migrated by this process alone."""
    home = settings.instance_folder
    home.mkdir(parents=True, exist_ok=True)
    link = home / "dagster.yaml"
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(settings.root / "dagster.yaml", home))
    instance = dg.DagsterInstance.from_config(str(home))
    made_by = home / "made-by-dagster"
    if not made_by.exists() or made_by.read_text(encoding="utf-8") != dg.__version__:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            instance.upgrade()  # prints progress of databases that are empty
        made_by.write_text(dg.__version__, encoding="utf-8")
    return instance


def end_orphans(instance: dg.DagsterInstance) -> list[str]:
    """End every run whose process is gone and free its pools; the ids of those runs."""
    ended: list[str] = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)):
        if _process_lives(instance, run.run_id):
            continue
        message = "The process of this run is gone (killed, or the machine restarted): start the run again."
        instance.report_run_failed(run, message)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        ended.append(run.run_id)
    return ended


def _process_lives(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether the process that wrote the run's last event still runs; its id may have gone to a younger one."""
    entries = [entry for entry in instance.all_logs(run_id) if entry.dagster_event and entry.dagster_event.pid]
    if not entries:
        return False
    last = entries[-1]
    event = last.dagster_event
    if event is None or event.pid is None:
        return False
    try:
        process = psutil.Process(event.pid)
        written = datetime.fromtimestamp(last.timestamp, UTC)
        return (
            datetime.fromtimestamp(process.create_time(), UTC) <= written and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False
