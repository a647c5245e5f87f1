"""The run that a sensor asked for: how it ended, and whether the sensor asks again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Self

import dagster as dg

from mlops_assets.automation.failed_runs import failure_of
from mlops_assets.automation.schedules import UNFINISHED

WAITS = tuple(timedelta(minutes=minutes) for minutes in (10, 20, 40, 80, 160))
"""The wait before each retry of a run whose failure may be temporary. After the last retry the sensor gives up."""

CAUSE, ATTEMPT, FIRST_RUN = "mlops/cause", "mlops/attempt", "mlops/first_run"
"""Tags of a sensor's run: why it was requested, the number of the retry (0: first attempt), and a retry's first run."""


@dataclass(frozen=True)
class RequestedRun:
    """A run that a sensor requested. The sensor's cursor holds it until the cause is handled.

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
        """Unique to the attempt, so that Dagster starts each attempt once."""
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
class RunOutcome:
    """The state of the newest run for a cause. `missing`: there is no run; `failed for now`: a rerun may help."""

    state: Literal["missing", "at work", "succeeded", "cancelled", "failed for good", "failed for now"]
    run_id: str = ""
    reason: str = ""
    root: str = ""
    """If Dagster itself repeated the run: the run that it repeated, about which people were alerted first."""


@dataclass(frozen=True)
class NextStep:
    """What the sensor does: wait, treat the cause as handled, or request the run `asked` again; and why."""

    do: Literal["wait", "handled", "retry"]
    asked: RequestedRun
    reason: str


def next_step(asked: RequestedRun, ending: RunOutcome, now: datetime) -> NextStep:
    """The rule. A run that a person cancelled is not started again: it was cancelled on purpose."""
    run = f"run {ending.run_id[:8]} for it"
    if ending.state == "at work":
        return NextStep("wait", replace(asked, failed_at=None), f"{run} is {ending.reason}")
    ended = {
        "succeeded": "ended well",
        "cancelled": "was cancelled and is not started again",
        "failed for good": f"failed, and a retry cannot help: {ending.reason}",
    }
    if ending.state in ended:
        return NextStep("handled", asked, f"{run} {ended[ending.state]}")
    if ending.state == "missing":
        failed, since = "its run is not there", asked.at
    else:
        failed, since = f"{run} failed: {ending.reason}", asked.failed_at or now
    if asked.attempt >= len(WAITS):
        return NextStep("handled", asked, f"{failed}; given up after {len(WAITS)} retries")
    number, due = asked.attempt + 1, since + WAITS[asked.attempt]
    # If `since` is further ahead than the longest wait, the clock was wrong when it was written.
    if since <= now < due or now < since <= now + WAITS[-1]:
        waiting = replace(asked, failed_at=None if ending.state == "missing" else since)
        return NextStep("wait", waiting, f"{failed}; retry {number} of {len(WAITS)} at {due:%Y-%m-%d %H:%M} UTC")
    first = asked.first_run or ending.root or ending.run_id
    again = RequestedRun(asked.cause, number, now, first_run=first)
    return NextStep("retry", again, f"retry {number} of {len(WAITS)}, since {failed}")


def outcome_of(instance: dg.DagsterInstance, asked: RequestedRun) -> RunOutcome:
    """The outcome of the runs for this cause: an unfinished run counts first, then the newest, whoever started it."""
    runs = instance.get_runs(dg.RunsFilter(tags={CAUSE: asked.cause}), limit=50)
    for run in runs:
        if run.status in UNFINISHED:
            return RunOutcome("at work", run.run_id, run.status.value.lower().replace("_", " "))
    if not runs or int(runs[0].tags.get(ATTEMPT, "0")) < asked.attempt:
        return RunOutcome("missing")
    newest = runs[0]
    if newest.status is dg.DagsterRunStatus.SUCCESS:
        return RunOutcome("succeeded", newest.run_id)
    if newest.status is dg.DagsterRunStatus.CANCELED:
        return RunOutcome("cancelled", newest.run_id)
    failure = failure_of(instance, newest.run_id)
    state = "failed for good" if failure.permanent else "failed for now"
    return RunOutcome(state, newest.run_id, failure.reason, newest.root_run_id or "")


def what_follows(tags: Mapping[str, str], *, permanent: bool) -> str:
    """What the sensor does after its run failed. Empty if no sensor requested the run."""
    if CAUSE not in tags:
        return ""
    attempt = int(tags.get(ATTEMPT, "0"))
    if permanent:
        return "a retry cannot help, so none follows"
    if attempt >= len(WAITS):
        return f"given up after {len(WAITS)} retries"
    return f"retry {attempt + 1} of {len(WAITS)} follows in {WAITS[attempt].total_seconds() / 60:.0f} min"
