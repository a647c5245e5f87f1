"""Drift that lasts and a model that grew old are reasons to retrain, although no review and no code changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from mlops_assets.assets.partitions import range_tags, stored_range
from mlops_assets.automation.causes import Asked, ending_of, next_step
from mlops_assets.automation.jobs import REFRESH_MODELS
from mlops_assets.automation.schedules import at_work
from mlops_assets.reviews.sources.review_source import ReviewSource
from mlops_assets.settings import Settings, Triggers


@dataclass(frozen=True)
class RetrainDecision:
    """Whether to train again, because of what (`drift`, `age`, empty), and why or why not."""

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
    """`trained_at` is when the serving model was chosen, `last` when each reason last started a run."""
    if trained_at is None:
        return RetrainDecision("", "no model was promoted yet, or it came back with a restore")
    cooldown = timedelta(days=options.cooldown_days)
    age = now - trained_at
    old = bool(options.retrain_after_days) and age >= timedelta(days=options.retrain_after_days)
    limit = f"retrain_after_days is {options.retrain_after_days}" if options.retrain_after_days else "age never counts"
    told = f"{age.days} days old" if age >= timedelta() else f"of {trained_at:%Y-%m-%d}, ahead of the clock"
    aged = f"the model is {told}, {limit}"
    because, reason = ("drift", drift_reason) if drifted else ("age", aged) if old else ("", f"{drift_reason}; {aged}")
    if not because:
        return RetrainDecision("", reason)
    # A retrain further ahead than the cool-down is from a clock that was wrong: it must not silence this for weeks.
    recent = {cause: at for cause, at in last.items() if abs(now - at) < cooldown}
    if recent:
        latest = max(recent, key=lambda cause: recent[cause])
        return RetrainDecision(
            "",
            f"{reason}; but {latest} started a retrain at {recent[latest]:%Y-%m-%d %H:%M} UTC, "
            f"cooldown_days is {options.cooldown_days}",
        )
    return RetrainDecision(because, reason)


def build(settings: Settings) -> dg.SensorDefinition:
    """The sensor `retrain_on_drift_or_age`."""
    options = settings.triggers

    @dg.sensor(
        job_name=REFRESH_MODELS,
        minimum_interval_seconds=600,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Trains again, with `force_retrain`, where drift lasted for `drift.sustained_ticks` ticks or the "
        f"serving model is older than {options.retrain_after_days} days (`triggers.retrain_after_days`; 0 is never); "
        f"at most once in {options.cooldown_days} days (`triggers.cooldown_days`).",
    )
    def retrain_on_drift_or_age(
        context: dg.SensorEvaluationContext, review_source: dg.ResourceParam[ReviewSource]
    ) -> dg.RunRequest | dg.SkipReason:
        if busy := at_work(context.instance):
            return dg.SkipReason(busy)
        from mlops_assets.reviews.drift.drift import DriftOptions, sustained
        from mlops_assets.reviews.drift.history import read_history
        from mlops_assets.training.champion import read_decision

        ticks = int(DriftOptions.from_params(settings.sections["drift"]).sustained_ticks)
        lasting = sustained(read_history(settings.instance_folder), ticks)
        last, asked = _read_cursor(context.cursor)
        now, champion = settings.now(), read_decision(settings.models)
        decision = decide(
            now,
            drifted=lasting.sustained,
            drift_reason=lasting.reason,
            trained_at=champion.chosen_at if champion else None,
            last=last,
            options=options,
        )
        span = stored_range(settings, review_source.name)
        step = next_step(asked, ending_of(context.instance, asked), now) if asked else None
        if step is not None and step.do == "handled":
            context.update_cursor(_as_cursor({**last, **_started(step.asked)}, None))
            return dg.SkipReason(f"{decision.reason}; {step.reason}")
        if step is not None and step.do == "wait":
            context.update_cursor(_as_cursor(last, step.asked))
            return dg.SkipReason(f"{decision.reason}; {step.reason}")
        if not decision.because or span is None:
            # A retry whose reason is gone is dropped.
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

    return retrain_on_drift_or_age


_ASKED = "asked"


def _read_cursor(cursor: str | None) -> tuple[dict[str, datetime], Asked | None]:
    """When each reason last started a retrain that is handled, and the run that is asked for.

    A cursor without `asked`, as the version before wrote it, holds times alone.
    """
    stored = json.loads(cursor) if cursor else {}
    asked = stored.pop(_ASKED, None)
    last = {because: datetime.fromisoformat(at) for because, at in stored.items()}
    return last, Asked.from_json(asked) if asked else None


def _as_cursor(last: Mapping[str, datetime], asked: Asked | None) -> str:
    times = {because: at.isoformat() for because, at in last.items()}
    return json.dumps({**times, _ASKED: asked.as_json()} if asked else times)


def _asked(because: str, now: datetime) -> Asked:
    return Asked(f"retrain_on_drift_or_age:{because}:{now.isoformat()}", 0, now)


def _started(asked: Asked) -> dict[str, datetime]:
    """The reason of a run, with the time at which it was first asked for: the cool-down counts from there."""
    _, because, at = asked.cause.split(":", 2)
    return {because: datetime.fromisoformat(at)}
