"""The sensors that write the summary of a run after it has ended: one for each way to end."""

import dagster as dg

from mlops_assets.automation.jobs import promote
from mlops_assets.automation.promotion import promotion_request, trained_without_verdict
from mlops_assets.automation.run_summary import leave_summary
from mlops_assets.automation.why import MADE_BY_HAND
from mlops_assets.deploy.service import Service
from mlops_assets.settings import Settings


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes the summary of a run that succeeded to .dagster/summaries/, once.",
)
def summarise_success(
    context: dg.RunStatusSensorContext, settings: dg.ResourceParam[Settings], service: dg.ResourceParam[Service]
) -> dg.SkipReason:
    return _summarise(context, settings, service)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.FAILURE,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes the summary of a run that failed. If only one of the two trainings failed, launches `promote` "
    "with the other model.",
    request_job=promote,
)
def summarise_failure(
    context: dg.RunStatusSensorContext, settings: dg.ResourceParam[Settings], service: dg.ResourceParam[Service]
) -> dg.SkipReason | dg.RunRequest:
    skip = _summarise(context, settings, service)
    run = context.dagster_run
    # `make run` promotes in its own process; a run key starts one run only.
    trained = None if MADE_BY_HAND in run.tags else trained_without_verdict(context.instance, run.run_id)
    return promotion_request(run.run_id, trained) if trained else skip


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELED,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes the summary of a run that was cancelled.",
)
def summarise_cancelled(
    context: dg.RunStatusSensorContext, settings: dg.ResourceParam[Settings], service: dg.ResourceParam[Service]
) -> dg.SkipReason:
    return _summarise(context, settings, service)


def _summarise(context: dg.RunStatusSensorContext, settings: Settings, service: Service) -> dg.SkipReason:
    """Write the summary, unless the run has one."""
    run_id = context.dagster_run.run_id
    _, written = leave_summary(context.instance, run_id, settings, service)
    return dg.SkipReason(f"run {run_id}: summary {'written' if written else 'was there'}")
