"""When the pipeline runs by the clock."""

import dagster as dg

from mlops_assets.assets.partitions import range_tags
from mlops_assets.automation.jobs import COLLECTS, PIPELINE
from mlops_assets.reviews.sources.review_source import ReviewSource
from mlops_assets.settings import Settings

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build(settings: Settings) -> list[dg.ScheduleDefinition]:
    """`every_six_hours`."""

    @dg.schedule(
        job_name=PIPELINE,
        cron_schedule="0 */6 * * *",
        execution_timezone=settings.triggers.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every six hours: collects what is new and, where something is, retrains and deploys. A tick that "
        "finds the pipeline at work starts nothing: the next one covers its months. After a pause one tick catches up.",
    )
    def every_six_hours(
        context: dg.ScheduleEvaluationContext, review_source: dg.ResourceParam[ReviewSource]
    ) -> dg.RunRequest | dg.SkipReason:
        if busy := at_work(context.instance):
            return dg.SkipReason(f"{busy}: the next tick covers the months of this one")
        apps = review_source.apps()
        first, last = review_source.months()
        first = settings.from_month or first
        return dg.RunRequest(
            run_key=context.scheduled_execution_time.isoformat(),
            tags={
                **range_tags(settings, apps, first, last),
                "mlops/trigger": f"every_six_hours: {', '.join(apps)} from {first} to {last}",
            },
        )

    return [every_six_hours]


def at_work(instance: dg.DagsterInstance) -> str | None:
    """The run of the whole pipeline that has not ended; none where there is none."""
    for job in COLLECTS:
        for run in instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNFINISHED), limit=1):
            return f"run {run.run_id[:8]} of {job} is {run.status.value.lower().replace('_', ' ')}"
    return None
