"""Runs that a sensor asked for, executed in this process with work that does what a test wants."""

from collections.abc import Callable

import dagster as dg

from mlops_assets.assets.failing import as_dagster_failure


def run_of(instance: dg.DagsterInstance, request: dg.RunRequest, work: Callable[[], object]) -> str:
    """Run one step with the tags of the request, as the daemon would start it; the run's id."""

    @dg.op
    def versioned_dataset() -> None:
        with as_dagster_failure():
            work()

    @dg.job
    def refresh_models() -> None:
        versioned_dataset()

    done = refresh_models.execute_in_process(instance=instance, tags=dict(request.tags), raise_on_error=False)
    return done.run_id


def nothing() -> None:
    """Work that goes well."""


def failing_with(failure: Exception) -> Callable[[], object]:
    """Work that fails with this."""

    def work() -> None:
        raise type(failure)(*failure.args)

    return work
