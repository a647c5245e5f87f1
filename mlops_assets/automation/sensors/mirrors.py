"""Mirrors: the job that brings them up to date, and the sensor that launches it when one is behind."""

import json
from datetime import datetime, timedelta

import dagster as dg

from mlops_assets.assets.failing import as_dagster_failure
from mlops_assets.automation.requested_run import RequestedRun, next_step, outcome_of
from mlops_assets.automation.schedules import at_work
from mlops_assets.mirrors.mirror import MirrorBehind
from mlops_assets.settings import Settings
from mlops_assets.steps.mirroring.mirrors import Mirrors

MIRROR = "mirror"
ASKED_ANEW = timedelta(hours=6)
"""After the last retry the sensor waits so long before it begins again. People are told each time."""


@dg.op
def bring_copies_up_to_date(context: dg.OpExecutionContext, mirrors: dg.ResourceParam[Mirrors]) -> None:
    """One pass over each mirror. If a mirror cannot be reached, the next run goes on from there."""
    with as_dagster_failure():
        if behind := mirrors.catch_up(context.log.info):
            raise MirrorBehind("; ".join(behind))


@dg.job(
    name=MIRROR,
    executor_def=dg.in_process_executor,
    description="Brings what changed to the mirrors (docs/mirrors.md). It fails if one of them cannot be reached, "
    "and the next run goes on from there.",
)
def mirror() -> None:
    bring_copies_up_to_date()


@dg.sensor(
    job_name=MIRROR,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches `mirror` when a mirror lacks something. While one is away, retries follow after 10 minutes "
    "to 160, then every six hours.",
)
def keep_mirrors_up_to_date(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], mirrors: dg.ResourceParam[Mirrors]
) -> dg.RunRequest | dg.SkipReason:
    now = settings.now()
    asked = RequestedRun.from_json(json.loads(context.cursor)) if context.cursor else None
    waiting = mirrors.waiting()
    if not waiting:
        context.update_cursor("")
        return dg.SkipReason("the mirrors have everything")
    if busy := at_work(context.instance):
        return dg.SkipReason(f"{waiting}; {busy}, and the mirrors follow when it has ended")
    if asked is None:
        return _request(context, _asked(now), waiting)
    outcome = outcome_of(context.instance, asked)
    step = next_step(asked, outcome, now)
    if step.do == "retry":
        return _request(context, step.asked, f"{waiting}; {step.reason}")
    if step.do == "handled" and (outcome.state == "succeeded" or now - asked.at >= ASKED_ANEW):
        return _request(context, _asked(now), waiting)
    context.update_cursor(json.dumps(step.asked.as_json()))
    anew = f"; again from {asked.at + ASKED_ANEW:%Y-%m-%d %H:%M} UTC on" if step.do == "handled" else ""
    return dg.SkipReason(f"{waiting}; {step.reason}{anew}")


def _asked(now: datetime) -> RequestedRun:
    return RequestedRun(f"keep_mirrors_up_to_date:{now.isoformat()}", 0, now)


def _request(context: dg.SensorEvaluationContext, asked: RequestedRun, reason: str) -> dg.RunRequest:
    context.update_cursor(json.dumps(asked.as_json()))
    return dg.RunRequest(
        run_key=asked.run_key, tags={**asked.tags, "mlops/trigger": f"keep_mirrors_up_to_date: {reason}"}
    )
