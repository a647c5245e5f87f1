"""Runs whose process is gone (killed, or the machine restarted) are ended, which frees their pools."""

from datetime import UTC, datetime

import dagster as dg
import psutil

_UNFINISHED = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_WORKING = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
"""Under a daemon a starting run may not have a process yet. Run monitoring ends it if it never gets one."""


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process is gone and frees their pools, within a minute of a restart.",
)
def end_orphaned_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    if not isinstance(context.instance.run_launcher, dg.DefaultRunLauncher):
        return dg.SkipReason("runs execute on other machines, whose processes cannot be seen from here")
    ended = end_orphans(context.instance, _WORKING)
    return dg.SkipReason(f"ended {', '.join(ended)}" if ended else "every unfinished run has its process")


def end_orphans(instance: dg.DagsterInstance, statuses: list[dg.DagsterRunStatus] = _UNFINISHED) -> list[str]:
    """End every run of these statuses whose process is gone and free its pools; the ids of those runs."""
    ended: list[str] = []
    for run in instance.get_runs(dg.RunsFilter(statuses=statuses)):
        if _process_lives(instance, run.run_id):
            continue
        now = instance.get_run_by_id(run.run_id)
        if now is None or now.status not in statuses:
            continue  # it ended in the meantime
        message = "The process of this run is gone (killed, or the machine restarted): start the run again."
        instance.report_run_failed(now, message)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        ended.append(run.run_id)
    return ended


def _process_lives(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether the process that wrote the run's last event is still running. A newer process may have the same id."""
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
