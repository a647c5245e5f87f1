"""Failures of the work become Dagster's: with the reason, and whether to retry."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from mlops_assets.failures import Failure, disk_trouble, rerun_may_help

RETRIES = 2
RETRY_AFTER_S = 20


class TriedAgain(dg.RetryRequested):
    """Asks Dagster for another try. Its text, the reason, is shown in the event of the failed try."""

    def __init__(self, message: str) -> None:
        super().__init__(max_retries=RETRIES, seconds_to_wait=RETRY_AFTER_S)
        self.message = message

    def __str__(self) -> str:
        return self.message


@contextmanager
def as_dagster_failure() -> Iterator[None]:
    """A permanent failure fails the step at once. A transient one is retried up to `RETRIES` times, with the reason.

    A full or read-only disk is not retried: a person must act.
    """
    try:
        yield
    except Failure as failure:
        if rerun_may_help(failure):
            raise _tried_again(failure) from failure
        raise dg.Failure(description=str(failure), allow_retries=False) from failure
    except OSError as error:
        if (message := disk_trouble(error)) is None:
            raise
        raise dg.Failure(description=message, allow_retries=False) from error


def _tried_again(failure: Failure) -> TriedAgain:
    """Log the reason and return the request for another try. After the last try Dagster refuses the request."""
    try:
        context = dg.OpExecutionContext.get()
    except dg.DagsterInvariantViolationError:
        return TriedAgain(str(failure))  # called outside a run
    number = context.retry_number + 1
    message = f"try {number} of {RETRIES + 1} failed: {failure}"
    if number <= RETRIES:
        message += f"; again in {RETRY_AFTER_S} s"
    context.log.warning(message)
    return TriedAgain(message)
