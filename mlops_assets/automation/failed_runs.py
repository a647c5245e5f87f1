"""Why a run failed, and whether a rerun may help: read from the run's own events."""

import re
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mlops_assets.assets.failing import TriedAgain

STOPPED_BY_HAND = "mlops/stopped"
"""Tag of a run that Ctrl-C stopped."""

_ASKED_AGAIN = (TriedAgain.__name__, dg.RetryRequested.__name__)
_INTERRUPTED = (dg.DagsterExecutionInterruptedError.__name__, KeyboardInterrupt.__name__)
_ENDS = (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE)
_FROM_OUTSIDE = "This run has been marked as failed from outside"
_WRONG_REQUEST = re.compile(r"\w*CheckError|Dagster(Invalid|Invariant)\w*|Dagster\w*PartitionKeyError")
"""What Dagster raises for a run that cannot be: the same request fails the same way."""


@dataclass(frozen=True)
class RunFailure:
    """The first cause in one line; `permanent` where a rerun would fail for it again."""

    permanent: bool
    reason: str


def failure_of(instance: dg.DagsterInstance, run_id: str) -> RunFailure:
    """Why this failed run failed. A step that fails for good counts before one that a rerun may heal."""
    entries = instance.all_logs(run_id, of_type={*_ENDS, dg.DagsterEventType.ENGINE_EVENT})
    events = [entry.dagster_event for entry in entries if entry.dagster_event]
    steps = [event for event in events if event.event_type is dg.DagsterEventType.STEP_FAILURE]
    if steps:
        first = min(steps, key=_may_heal)
        return RunFailure(not _may_heal(first), f"{first.step_key}: {first_cause(first)}")
    ends = [index for index, event in enumerate(events) if event.event_type in _ENDS]
    if not ends:
        return RunFailure(False, "it ended without a word")
    last = events[ends[-1]]
    error = last.job_failure_data.error if last.event_specific_data else None
    wrong = error is not None and _WRONG_REQUEST.fullmatch(error.cls_name or "") is not None
    message = last.message or ""
    if error is not None:
        message = error.message if wrong else _innermost(error)
    if message.startswith(_FROM_OUTSIDE) and ends[-1]:
        message = events[ends[-1] - 1].message or message  # who marked it says why in an event of its own
    return RunFailure(wrong, " ".join(message.split()).removeprefix("[DagsterApiServer] ") or "it ended without a word")


def first_cause(event: dg.DagsterEvent) -> str:
    """The user's message of a failed step in one line: the failure's description, the first of our own failures in the
    chain (it names the next step; what lies below it is a library's), else the innermost error.
    """
    data = event.step_failure_data
    if interrupted(event):
        return "interrupted: its run was cancelled, or its process was told to end"
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return _innermost(data.error)


def _innermost(error: Any) -> str:
    """The first of our own failures in the chain, else the error below all others."""
    last = "unknown error"
    while error is not None:
        last = " ".join(error.message.split())
        if own := re.match(r"mlops_assets\.[\w.]+: ", last):
            return last[own.end() :]
        error = error.cause
    return last


def interrupted(event: dg.DagsterEvent) -> bool:
    """Whether a step failed because somebody or something ended its process."""
    data = event.step_failure_data
    by_signal = data.error_source is not None and data.error_source.value == "INTERRUPT"
    return by_signal or bool(data.error and data.error.cls_name in _INTERRUPTED)


def _may_heal(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error
    # Without an error the step's process or pod was lost.
    return error is None or error.cls_name in _ASKED_AGAIN or interrupted(event)
