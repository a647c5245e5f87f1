"""What became of the run that a sensor asked for, and what the sensor does next."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Self

import dagster as dg

from mlops_assets.automation.failed_runs import failure_of
from mlops_assets.automation.schedules import UNFINISHED

WAITS = tuple(timedelta(minutes=minutes) for minutes in (10, 20, 40, 80, 160))
"""Before each retry of a run that failed for a cause which may heal; after the last the sensor gives up."""

CAUSE, ATTEMPT, FIRST_RUN = "mlops/cause", "mlops/attempt", "mlops/first_run"
"""Tags of a sensor's run: why it was asked for, the number of the retry (0 for none), and for a retry the first run."""


@dataclass(frozen=True)
class Asked:
    """A run that a sensor asked for. The sensor's cursor holds it until the cause is handled.

    cause: sensor and reason, such as `run_on_git_change:3:<commit>`
    attempt: 0 for the first run, then the number of the retry
    failed_at: when the sensor saw that the run had failed
    first_run: the id of the first run, known from the first retry on
    """

    cause: str
    attempt: int
    at: datetime
    failed_at: datetime | None = None
    first_run: str = ""

    @property
    def run_key(self) -> str:
        """Another one for each attempt, so that Dagster starts each once."""
        key = self.cause.partition(":")[2]
        return f"{key}:retry-{self.attempt}" if self.attempt else key

    @property
    def tags(self) -> dict[str, str]:
        first = {FIRST_RUN: self.first_run} if self.first_run else {}
        return {CAUSE: self.cause, ATTEMPT: str(self.attempt), **first}

    def as_json(self) -> dict[str, Any]:
        return {
            "cause": self.cause,
            "attempt": self.attempt,
            "at": self.at.isoformat(),
            "failed_at": self.failed_at and self.failed_at.isoformat(),
            "first_run": self.first_run,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        failed_at = stored.get("failed_at")
        return cls(
            stored["cause"],
            int(stored["attempt"]),
            datetime.fromisoformat(stored["at"]),
            datetime.fromisoformat(failed_at) if failed_at else None,
            stored.get("first_run", ""),
        )


@dataclass(frozen=True)
class Ending:
    """How the newest run for a cause ended. `missing`: there is none; `failed for now`: a rerun may help."""

    state: Literal["missing", "at work", "succeeded", "cancelled", "failed for good", "failed for now"]
    run_id: str = ""
    reason: str = ""
    root: str = ""
    """The run that Dagster repeated by itself, whose alert is the first."""


@dataclass(frozen=True)
class Step:
    """What the sensor does: wait, take the cause as handled, or ask for the run of `asked`; and why."""

    do: Literal["wait", "handled", "retry"]
    asked: Asked
    reason: str


def next_step(asked: Asked, ending: Ending, now: datetime) -> Step:
    """The rule. A run that a person cancelled is not started again: the person meant it."""
    run = f"run {ending.run_id[:8]} for it"
    if ending.state == "at work":
        return Step("wait", replace(asked, failed_at=None), f"{run} is {ending.reason}")
    ended = {
        "succeeded": "ended well",
        "cancelled": "was cancelled and is not started again",
        "failed for good": f"failed, and a retry cannot help: {ending.reason}",
    }
    if ending.state in ended:
        return Step("handled", asked, f"{run} {ended[ending.state]}")
    if ending.state == "missing":
        failed, since = "its run is not there", asked.at
    else:
        failed, since = f"{run} failed: {ending.reason}", asked.failed_at or now
    if asked.attempt >= len(WAITS):
        return Step("handled", asked, f"{failed}; given up after {len(WAITS)} retries")
    number, due = asked.attempt + 1, since + WAITS[asked.attempt]
    # A time further ahead than the longest wait was written under a clock that ran ahead.
    if since <= now < due or now < since <= now + WAITS[-1]:
        waiting = replace(asked, failed_at=None if ending.state == "missing" else since)
        return Step("wait", waiting, f"{failed}; retry {number} of {len(WAITS)} at {due:%Y-%m-%d %H:%M} UTC")
    first = asked.first_run or ending.root or ending.run_id
    again = Asked(asked.cause, number, now, first_run=first)
    return Step("retry", again, f"retry {number} of {len(WAITS)}, since {failed}")


def ending_of(instance: dg.DagsterInstance, asked: Asked) -> Ending:
    """How the runs for this cause stand: any that works comes first, then the newest, whoever started it."""
    runs = instance.get_runs(dg.RunsFilter(tags={CAUSE: asked.cause}), limit=50)
    for run in runs:
        if run.status in UNFINISHED:
            return Ending("at work", run.run_id, run.status.value.lower().replace("_", " "))
    if not runs or int(runs[0].tags.get(ATTEMPT, "0")) < asked.attempt:
        return Ending("missing")
    newest = runs[0]
    if newest.status is dg.DagsterRunStatus.SUCCESS:
        return Ending("succeeded", newest.run_id)
    if newest.status is dg.DagsterRunStatus.CANCELED:
        return Ending("cancelled", newest.run_id)
    failure = failure_of(instance, newest.run_id)
    state = "failed for good" if failure.permanent else "failed for now"
    return Ending(state, newest.run_id, failure.reason, newest.root_run_id or "")


def what_follows(tags: Mapping[str, str], *, permanent: bool) -> str:
    """What a sensor does after its run failed; empty for a run of no sensor."""
    if CAUSE not in tags:
        return ""
    attempt = int(tags.get(ATTEMPT, "0"))
    if permanent:
        return "a retry cannot help, so none follows"
    if attempt >= len(WAITS):
        return f"given up after {len(WAITS)} retries"
    return f"retry {attempt + 1} of {len(WAITS)} follows in {WAITS[attempt].total_seconds() / 60:.0f} min"
