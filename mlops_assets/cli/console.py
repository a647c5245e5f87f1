"""What `make run` prints while it works: each step when it starts, its messages, and failures in one line."""

import logging
from collections.abc import Callable
from typing import Any

import dagster as dg

from mlops_assets.automation.failed_runs import STOPPED_BY_HAND, interrupted

_IN_THE_SUMMARY = ("Skipping step", "Dependencies for step")


class _Lines(logging.Handler):
    """One line per message; the UI has the full log with stack traces."""

    def __init__(self, run_id: str, stopped: Callable[[str], None]) -> None:
        super().__init__()
        self._run_id, self._stopped = run_id, stopped

    def emit(self, record: logging.LogRecord) -> None:
        event: Any = getattr(record, "dagster_meta", {}).get("dagster_event")
        if event is None:
            message = getattr(record, "dagster_meta", {}).get("orig_message", record.getMessage())
            if record.levelno >= logging.INFO and not message.startswith(_IN_THE_SUMMARY):
                print(f"    {message}", flush=True)
        elif event.event_type is dg.DagsterEventType.STEP_START:
            print(event.step_key, flush=True)
        elif event.event_type is dg.DagsterEventType.STEP_FAILURE and interrupted(event):
            print(f"    {event.step_key}: stopped by you (Ctrl-C)", flush=True)
            self._stopped(self._run_id)
        elif event.event_type is dg.DagsterEventType.STEP_FAILURE:
            print(f"    {event.step_key} failed", flush=True)


def console_of(stopped: Callable[[str], None]) -> dg.LoggerDefinition:
    """The logger of `make run`; it calls `stopped` with the run's id when Ctrl-C ends a step."""

    @dg.logger
    def console(init_context: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger(f"mlops_assets.{init_context.run_id}", logging.DEBUG)
        logger.addHandler(_Lines(str(init_context.run_id), stopped))
        return logger

    return console


def ask_to_cancel(instance: dg.DagsterInstance, run_id: str) -> None:
    """Make Dagster end the interrupted run as cancelled: its daemon would start a failed run again."""
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.add_run_tags(run_id, {STOPPED_BY_HAND: "Ctrl-C"})
        instance.report_run_canceling(run, "Stopped with Ctrl-C.")


def cancelled(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether Ctrl-C stopped the run; a run that it interrupted between two steps is cancelled here."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.status is dg.DagsterRunStatus.CANCELED:
        return run is not None
    if run.status is dg.DagsterRunStatus.FAILURE and _ended_unexpectedly(instance, run_id):
        instance.add_run_tags(run_id, {STOPPED_BY_HAND: "Ctrl-C"})
        instance.report_run_canceled(run, "Stopped with Ctrl-C.")
        return True
    return False


def _ended_unexpectedly(instance: dg.DagsterInstance, run_id: str) -> bool:
    found = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    events = [entry.dagster_event for entry in found if entry.dagster_event and entry.dagster_event.event_specific_data]
    reasons = [event.job_failure_data.failure_reason for event in events]
    return any(reason is not None and reason.value == "UNEXPECTED_TERMINATION" for reason in reasons)
