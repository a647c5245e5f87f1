"""The job that removes what nothing needs any more: old versions, old releases, old run history."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from pydantic import Field

from mlops_assets.assets.failing import as_dagster_failure
from mlops_assets.automation.dagster_internals import delete_run
from mlops_assets.deploy.service import Service
from mlops_assets.params.operations import Versions
from mlops_assets.settings import Settings
from mlops_assets.steps.prune import prune
from mlops_assets.versioning.repository import VersionRepository

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_NEWEST_KEPT = 20
"""So many ended runs stay, however old: a pipeline that paused still shows its history."""


class PruneConfig(dg.Config):
    """Options of one pruning."""

    dry_run: bool = Field(default=False, description="List what would be removed, and remove nothing.")


@dg.op(pool="repository")
def remove_what_nothing_needs(
    context: dg.OpExecutionContext,
    config: PruneConfig,
    settings: dg.ResourceParam[Settings],
    repository: dg.ResourceParam[VersionRepository],
    service: dg.ResourceParam[Service],
) -> None:
    """Log what will be removed, then remove it. The live model, its predecessors and tagged versions stay."""
    with as_dagster_failure():
        prune(settings, repository, service, context.log.info, dry_run=config.dry_run)
        prune_runs(context.instance, settings, context.log.info, dry_run=config.dry_run)


@dg.job(
    name="prune",
    executor_def=dg.in_process_executor,
    description="Removes versions, releases, images and run history past their retention, and logs first what it will "
    "remove. With config `dry_run` it removes nothing.",
)
def prune_job() -> None:
    remove_what_nothing_needs()


prune_every_night = dg.ScheduleDefinition(
    name="prune_every_night",
    job=prune_job,
    cron_schedule="30 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Removes what is past its retention, at 03:30 UTC.",
)


def prune_runs(
    instance: dg.DagsterInstance,
    settings: Settings,
    report: Callable[[str], None],
    *,
    dry_run: bool = False,
    newest: int = _NEWEST_KEPT,
) -> int:
    """Remove runs that ended past their retention, with their events, logs and summaries; how many.

    The newest so many stay, and those that an asset's page shows as its latest materialization.
    """
    days = settings.section(Versions).retention.runs_days
    before = datetime.now(UTC) - timedelta(days=days)
    kept = {run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=_ENDED), limit=newest)}
    latest = instance.get_latest_materialization_events(instance.all_asset_keys())
    kept |= {event.run_id for event in latest.values() if event is not None}
    ended = instance.get_runs(dg.RunsFilter(statuses=_ENDED, created_before=before))
    old = [run.run_id for run in ended if run.run_id not in kept]
    report(f"remove {len(old)} runs that began more than {days} days ago: their events, logs and summaries")
    if not dry_run:
        for run_id in old:
            _delete_run(instance, run_id, settings.instance_folder / "summaries")
    return len(old)


def _delete_run(instance: dg.DagsterInstance, run_id: str, summaries: Path) -> None:
    for suffix in (".json", ".md", ".html"):
        (summaries / f"{run_id}{suffix}").unlink(missing_ok=True)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    delete_run(instance, run_id)
