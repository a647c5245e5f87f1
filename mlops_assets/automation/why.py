"""Why runs started and why they did not: each trigger's decision at each tick, and runs that people started."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

STARTED_BY = "started_by"
"""Tag of a run that a person launched: their login at the team server's door, or their user on this machine."""

MADE_BY_HAND = "mlops/make_run"
"""Tag of a run in the process of `make run`."""

SHOWN = 20
_TICKS = 500
_RUNS = 200
_LATE = timedelta(minutes=2)


@dataclass(frozen=True)
class TriggerDecision:
    """What a trigger decided at `times` ticks in a row, the newest at `at` and the oldest at `since`."""

    at: datetime
    trigger: str
    decision: str
    reason: str
    since: datetime
    times: int = 1

    def row(self) -> dict[str, str]:
        """As a line of a table."""
        span = f"{self.at:%Y-%m-%d %H:%M}"
        if self.times > 1:
            span += f" ({self.times} ticks since {self.since:%m-%d %H:%M})"
        return {"when": span, "trigger": self.trigger, "decision": self.decision, "reason": self.reason}


def decisions(instance: dg.DagsterInstance, newest: int = SHOWN) -> list[TriggerDecision]:
    """The newest decisions of all triggers, newest first; `make run` and launches in the UI count as decisions."""
    records = instance.get_run_records(limit=_RUNS)
    started = {record.dagster_run.run_id: record for record in records}
    found = _by_hand(records)
    for state in instance.all_instigator_state():
        found += _of_trigger(instance, state, started)
    return sorted(found, key=lambda decision: decision.at, reverse=True)[:newest]


def _of_trigger(instance: dg.DagsterInstance, state: Any, started: Mapping[str, dg.RunRecord]) -> list[TriggerDecision]:
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=_TICKS)
    # The summary sensors act on runs that ended; they say nothing about why a run began.
    if state.instigator_name.startswith("summarise_"):
        return []
    return list(_joined([_decided(state.instigator_name, tick, started) for tick in ticks]))


def _decided(trigger: str, tick: Any, started: Mapping[str, dg.RunRecord]) -> TriggerDecision:
    at = datetime.fromtimestamp(tick.timestamp, UTC)
    if tick.status.value == "SUCCESS" and tick.run_ids:
        decision = f"run {', '.join(run_id[:8] for run_id in tick.run_ids)}"
        record = started.get(tick.run_ids[0])
        reason = record.dagster_run.tags.get("mlops/trigger", "").removeprefix(f"{trigger}: ") if record else ""
        reason = reason or "the run is past its retention"
    elif tick.status.value == "FAILURE" and tick.error is not None:
        decision, reason = "failed", " ".join(tick.error.message.split())
    elif tick.status.value == "STARTED":
        decision, reason = "deciding", "the tick has not ended"
    else:
        decision, reason = "no run", " ".join((tick.skip_reason or "no reason given").split())
    if tick.instigator_type.value == "SCHEDULE":
        # A schedule's tick has the planned time; after a pause it really happens later.
        run = started.get(tick.run_ids[0]) if tick.run_ids else None
        ended = datetime.fromtimestamp(tick.end_timestamp, UTC) if tick.end_timestamp else at
        came = run.create_timestamp.astimezone(UTC) if run else ended
        if came - at > _LATE:
            reason += f" (planned for {at:%Y-%m-%d %H:%M})"
        at = came
    return TriggerDecision(at, trigger, decision, reason, since=at)


def _joined(newest_first: Sequence[TriggerDecision]) -> Iterator[TriggerDecision]:
    """Consecutive ticks with the same decision and reason, as one decision."""
    last: TriggerDecision | None = None
    for decision in newest_first:
        if last and (decision.decision, decision.reason) == (last.decision, last.reason):
            last = replace(last, since=decision.at, times=last.times + 1)
            continue
        if last:
            yield last
        last = decision
    if last:
        yield last


def _by_hand(records: Sequence[dg.RunRecord]) -> list[TriggerDecision]:
    found = []
    for record in records:
        tags, at = record.dagster_run.tags, record.create_timestamp
        person = f", started by {tags[STARTED_BY]}" if STARTED_BY in tags else ""
        if MADE_BY_HAND in tags:
            trigger, reason = "make run", f"asked for by hand{person}"
        elif "dagster/backfill" in tags:
            trigger, reason = "backfill", f"backfill {tags['dagster/backfill']}{person}"
        elif person or not any(name in tags for name in ("dagster/schedule_name", "dagster/sensor_name")):
            trigger, reason = "UI or command line", f"job {record.dagster_run.job_name}{person}"
        else:
            continue
        found.append(TriggerDecision(at, trigger, f"run {record.dagster_run.run_id[:8]}", reason, since=at))
    return found
