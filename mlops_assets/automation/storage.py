"""Dagster's storage brought to the version that is installed."""

import contextlib
import io

import dagster as dg

from mlops_assets.failures import PermanentFailure


def bring_up_to_date(instance: dg.DagsterInstance) -> None:
    """Make what is missing and migrate what is older, without losing a row; to be called by one process at a time.

    Raises `PermanentFailure` where the storage was written by a newer Dagster.
    """
    from alembic.util import CommandError

    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            instance.upgrade()  # prints progress of databases that are empty
            instance.reindex()
    except CommandError as error:
        raise PermanentFailure(
            f"the run history was written by a Dagster newer than {dg.__version__} ({error}): start the newer version "
            "again, or restore a backup that this one made"
        ) from error
