"""What `make run` prints while it works: each step as it begins, what it reports, and failures in one line."""

import logging
from typing import Any

import dagster as dg

_SAID_BY_THE_SUMMARY = ("Skipping step", "Dependencies for step")


class _Lines(logging.Handler):
    """One line a message; the full log with stack traces is in the UI."""

    def emit(self, record: logging.LogRecord) -> None:
        event: Any = getattr(record, "dagster_meta", {}).get("dagster_event")
        if event is None:
            message = getattr(record, "dagster_meta", {}).get("orig_message", record.getMessage())
            if record.levelno >= logging.INFO and not message.startswith(_SAID_BY_THE_SUMMARY):
                print(f"    {message}", flush=True)
        elif event.event_type is dg.DagsterEventType.STEP_START:
            print(event.step_key, flush=True)
        elif event.event_type is dg.DagsterEventType.STEP_FAILURE:
            print(f"    {event.step_key} failed", flush=True)


@dg.logger
def console(init_context: dg.InitLoggerContext) -> logging.Logger:
    """The logger of runs that `make run` starts."""
    logger = logging.Logger(f"mlops_assets.{init_context.run_id}", logging.DEBUG)
    logger.addHandler(_Lines())
    return logger
