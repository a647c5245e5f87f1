"""When the pipeline runs by the clock, and how old its results may get."""

from datetime import timedelta

import dagster as dg

from mlops_assets.assets.partitions import range_tags
from mlops_assets.automation.jobs import PIPELINE
from mlops_assets.failures import PermanentFailure
from mlops_assets.params.operations import OperationRules
from mlops_assets.reviews.sources.review_source import ReviewSource
from mlops_assets.settings import Settings

KEPT_FRESH = ("raw_reviews", "validated_reviews")
"""What every run of the pipeline materializes, also when it finds nothing new. The later assets are skipped then."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def every_six_hours(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule of the pipeline, in the time zone of params.yaml."""

    @dg.schedule(
        job_name=PIPELINE,
        name="every_six_hours",
        cron_schedule="0 */6 * * *",
        execution_timezone=settings.triggers.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every six hours: collects new reviews and, if there are any, retrains and deploys. A tick that "
        "finds the pipeline at work starts nothing: the next covers its months. After a pause one tick catches up.",
    )
    def tick(
        context: dg.ScheduleEvaluationContext, review_source: dg.ResourceParam[ReviewSource]
    ) -> dg.RunRequest | dg.SkipReason:
        if busy := at_work(context.instance):
            return dg.SkipReason(f"{busy}: the next tick covers the months of this one")
        first, last = review_source.months()
        apps = review_source.apps() if settings.from_month else review_source.due_apps()
        first = settings.from_month or first
        return dg.RunRequest(
            run_key=context.scheduled_execution_time.isoformat(),
            tags={
                **range_tags(settings, apps, first, last),
                "mlops/trigger": f"every_six_hours: {', '.join(apps)} from {first} to {last}",
            },
        )

    return tick


def at_work(instance: dg.DagsterInstance) -> str | None:
    """The unfinished run of the whole pipeline, or None."""
    for run in instance.get_runs(dg.RunsFilter(job_name=PIPELINE, statuses=UNFINISHED), limit=1):
        return f"run {run.run_id[:8]} of {PIPELINE} is {run.status.value.lower().replace('_', ' ')}"
    return None


def keep_fresh(settings: Settings, assets: list[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The assets, those of `KEPT_FRESH` with a policy that turns red when `make status` calls a run overdue.

    `make status` counts from the end of the last run, however it ended; the policy from the last materialization. So
    after repeated failures the policy is red although runs take place.
    """
    try:
        rules = settings.section(OperationRules)
    except PermanentFailure:
        return assets  # every run refuses these parameters, with the reason; loading the code must not
    # Dagster takes no shorter window than a minute.
    policy = dg.FreshnessPolicy.time_window(fail_window=max(rules.longest_gap, timedelta(minutes=1)))

    def with_policy(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(freshness_policy=policy) if spec.key.to_user_string() in KEPT_FRESH else spec

    return [asset.map_asset_specs(with_policy) for asset in assets]
