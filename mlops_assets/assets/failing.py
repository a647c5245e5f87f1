"""What an asset does with a failure of the work: say it in Dagster's words, with whether to try again."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from mlops_assets.failures import PermanentFailure, TransientFailure, disk_trouble

RETRIES = 2
RETRY_AFTER_S = 20


@contextmanager
def told_to_dagster() -> Iterator[None]:
    """A permanent failure fails the step at once; a transient one is tried again, `RETRIES` times.

    A disk that is full or read-only waits for a person.
    """
    try:
        yield
    except PermanentFailure as failure:
        raise dg.Failure(description=str(failure), allow_retries=False) from failure
    except TransientFailure as failure:
        raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=RETRY_AFTER_S) from failure
    except OSError as error:
        if (said := disk_trouble(error)) is None:
            raise
        raise dg.Failure(description=said, allow_retries=False) from error
