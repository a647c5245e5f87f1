"""Sustained drift and an old model are reasons to retrain, even if neither reviews nor code changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from mlops_assets.assets.partitions import range_tags, stored_range
from mlops_assets.automation.jobs import REFRESH_MODELS
from mlops_assets.automation.requested_run import RequestedRun, next_step, outcome_of
from mlops_assets.automation.schedules import at_work
from mlops_assets.params.operations import Triggers
from mlops_assets.reviews.sources.review_source import ReviewSource
from mlops_assets.settings import Settings


@dataclass(frozen=True)
class RetrainDecision:
    """Whether to train again (`because` is `drift`, `age` or empty), and why or why not."""

    because: str
    reason: str


def decide(
    now: datetime,
    *,
    drifted: bool,
    drift_reason: str,
    trained_at: datetime | None,
    last: Mapping[str, datetime],
    options: Triggers,
) -> RetrainDecision:
    """`trained_at` is when the live model was chosen, `last` when each reason last started a run."""
    if trained_at is None:
        return RetrainDecision("", "no model was promoted yet, or it came back with a restore")
    cooldown = timedelta(days=options.cooldown_days)
    age = now - trained_at
    old = bool(options.retrain_after_days) and age >= timedelta(days=options.retrain_after_days)
    limit = f"retrain_after_days is {options.retrain_after_days}" if options.retrain_after_days else "age never counts"
    stated_age = f"{age.days} days old" if age >= timedelta() else f"of {trained_at:%Y-%m-%d}, ahead of the clock"
    aged = f"the model is {stated_age}, {limit}"
    because, reason = ("drift", drift_reason) if drifted else ("age", aged) if old else ("", f"{drift_reason}; {aged}")
    if not because:
        return RetrainDecision("", reason)
    # A time further ahead than the cool-down comes from a wrong clock: it must not silence this sensor for weeks.
    recent = {cause: at for cause, at in last.items() if abs(now - at) < cooldown}
    if recent:
        latest = max(recent, key=lambda cause: recent[cause])
        return RetrainDecision(
            "",
            f"{reason}; but {latest} started a retrain at {recent[latest]:%Y-%m-%d %H:%M} UTC, "
            f"cooldown_days is {options.cooldown_days}",
        )
    return RetrainDecision(because, reason)


@dg.sensor(
    job_name=REFRESH_MODELS,
    minimum_interval_seconds=600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Trains again, with `force_retrain`, if drift lasted for `drift.sustained_ticks` ticks or the live "
    "model is older than `triggers.retrain_after_days` (0: never). Afterwards it waits for `triggers.cooldown_days`.",
)
def retrain_on_drift_or_age(
    context: dg.SensorEvaluationContext,
    settings: dg.ResourceParam[Settings],
    review_source: dg.ResourceParam[ReviewSource],
) -> dg.RunRequest | dg.SkipReason:
    if busy := at_work(context.instance):
        return dg.SkipReason(busy)
    from mlops_assets.params.reviews import DriftOptions
    from mlops_assets.reviews.drift.drift import sustained
    from mlops_assets.reviews.drift.history import read_history
    from mlops_assets.training.champion import read_decision

    ticks = int(settings.section(DriftOptions).sustained_ticks)
    lasting = sustained(read_history(settings.instance_folder), ticks)
    last, asked = _read_cursor(context.cursor)
    now, champion = settings.now(), read_decision(settings.models)
    decision = decide(
        now,
        drifted=lasting.sustained,
        drift_reason=lasting.reason,
        trained_at=champion.chosen_at if champion else None,
        last=last,
        options=settings.triggers,
    )
    span = stored_range(settings, review_source.name)
    step = next_step(asked, outcome_of(context.instance, asked), now) if asked else None
    if step is not None and step.do == "handled":
        context.update_cursor(_as_cursor({**last, **_started(step.asked)}, None))
        return dg.SkipReason(f"{decision.reason}; {step.reason}")
    if step is not None and step.do == "wait":
        context.update_cursor(_as_cursor(last, step.asked))
        return dg.SkipReason(f"{decision.reason}; {step.reason}")
    if not decision.because or span is None:
        # The reason is gone, so the retry is dropped.
        context.update_cursor(_as_cursor(last, None))
        return dg.SkipReason(decision.reason)
    if step is None:
        asked, because, reason = _asked(decision.because, now), decision.because, decision.reason
    else:
        asked, because = step.asked, next(iter(_started(step.asked)))
        reason = f"{decision.reason}; {step.reason}"
    context.update_cursor(_as_cursor(last, asked))
    apps, first, months = span
    return dg.RunRequest(
        run_key=asked.run_key,
        run_config={"resources": {"run_options": {"config": {"force_retrain": True}}}},
        tags={
            **range_tags(settings, apps, first, months),
            **asked.tags,
            "mlops/trigger": f"retrain_on_drift_or_age: {because}: {reason}",
        },
    )


_ASKED = "asked"


def _read_cursor(cursor: str | None) -> tuple[dict[str, datetime], RequestedRun | None]:
    """When each reason last started a retrain that is handled, and the requested run.

    A cursor of an older version has no `asked`: it holds times alone.
    """
    stored = json.loads(cursor) if cursor else {}
    asked = stored.pop(_ASKED, None)
    last = {because: datetime.fromisoformat(at) for because, at in stored.items()}
    return last, RequestedRun.from_json(asked) if asked else None


def _as_cursor(last: Mapping[str, datetime], asked: RequestedRun | None) -> str:
    times = {because: at.isoformat() for because, at in last.items()}
    return json.dumps({**times, _ASKED: asked.as_json()} if asked else times)


def _asked(because: str, now: datetime) -> RequestedRun:
    return RequestedRun(f"retrain_on_drift_or_age:{because}:{now.isoformat()}", 0, now)


def _started(asked: RequestedRun) -> dict[str, datetime]:
    """The reason of a run, with the time of its first request: the cool-down counts from there."""
    _, because, at = asked.cause.split(":", 2)
    return {because: datetime.fromisoformat(at)}
