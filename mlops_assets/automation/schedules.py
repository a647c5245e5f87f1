"""When the pipeline runs by the clock."""

import dagster as dg

from mlops_assets.assets.partitions import range_tags
from mlops_assets.automation.jobs import PIPELINE
from mlops_assets.resources.review_source import ReviewSource
from mlops_assets.settings import Settings


def build(settings: Settings) -> list[dg.ScheduleDefinition]:
    """`every_six_hours`."""

    @dg.schedule(
        job_name=PIPELINE,
        cron_schedule="0 */6 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every six hours: collects what is new and, where something is, retrains and deploys.",
    )
    def every_six_hours(
        context: dg.ScheduleEvaluationContext, review_source: dg.ResourceParam[ReviewSource]
    ) -> dg.RunRequest:
        first, last = review_source.months()
        return dg.RunRequest(
            run_key=context.scheduled_execution_time.isoformat(),
            tags=range_tags(settings, review_source.apps(), settings.from_month or first, last),
        )

    return [every_six_hours]
