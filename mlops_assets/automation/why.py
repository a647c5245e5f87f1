"""Why did it run, why did it not: the decision of every trigger at every tick, and what started each run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from mlops_assets.automation.run_summary import MADE_BY_HAND

SHOWN = 20
_TICKS = 500
_RUNS = 200
_LATE = timedelta(minutes=2)


@dataclass(frozen=True)
class Decision:
    """One decision of a trigger; `times` ticks in a row said the same, the newest at `at`, the oldest at `since`."""

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


def decisions(instance: dg.DagsterInstance, newest: int = SHOWN) -> list[Decision]:
    """The newest decisions over all triggers, newest first; `make run` and a person's launches are decisions too."""
    records = instance.get_run_records(limit=_RUNS)
    started = {record.dagster_run.run_id: record for record in records}
    found = [one for state in instance.all_instigator_state() for one in _of_trigger(instance, state, started)]
    found += _by_hand(records)
    return sorted(found, key=lambda one: one.at, reverse=True)[:newest]


def _of_trigger(instance: dg.DagsterInstance, state: Any, started: Mapping[str, dg.RunRecord]) -> list[Decision]:
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=_TICKS)
    said = [_decided(state.instigator_name, tick, started) for tick in ticks]
    # What the summary sensors do about a run that ended says nothing about why one began.
    return list(_joined([one for one in said if not one.trigger.startswith("summarise_")]))


def _decided(trigger: str, tick: Any, started: Mapping[str, dg.RunRecord]) -> Decision:
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
        # Its tick bears the time that was planned; after a pause it comes later.
        run = started.get(tick.run_ids[0]) if tick.run_ids else None
        ended = datetime.fromtimestamp(tick.end_timestamp, UTC) if tick.end_timestamp else at
        came = run.create_timestamp.astimezone(UTC) if run else ended
        if came - at > _LATE:
            reason += f" (planned for {at:%Y-%m-%d %H:%M})"
        at = came
    return Decision(at, trigger, decision, reason, since=at)


def _joined(newest_first: Sequence[Decision]) -> Iterator[Decision]:
    """Ticks in a row that said the same, as one."""
    last: Decision | None = None
    for one in newest_first:
        if last and (one.decision, one.reason) == (last.decision, last.reason):
            last = replace(last, since=one.at, times=last.times + 1)
            continue
        if last:
            yield last
        last = one
    if last:
        yield last


def _by_hand(records: Sequence[dg.RunRecord]) -> list[Decision]:
    found = []
    for record in records:
        tags, at = record.dagster_run.tags, record.create_timestamp
        if MADE_BY_HAND in tags:
            trigger, reason = "make run", "asked for by hand"
        elif "dagster/backfill" in tags:
            trigger, reason = "backfill", f"backfill {tags['dagster/backfill']}"
        elif not any(name in tags for name in ("dagster/schedule_name", "dagster/sensor_name")):
            trigger, reason = "UI or command line", f"job {record.dagster_run.job_name}"
        else:
            continue
        found.append(Decision(at, trigger, f"run {record.dagster_run.run_id[:8]}", reason, since=at))
    return found
