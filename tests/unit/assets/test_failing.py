"""How a failure of the work becomes one of Dagster's."""

import errno

import dagster as dg
import pytest

from mlops_assets.assets.failing import told_to_dagster
from mlops_assets.failures import PermanentFailure, TransientFailure


def test_a_full_disk_is_named_with_the_next_step_and_not_tried_again() -> None:
    with pytest.raises(dg.Failure) as raised, told_to_dagster():
        raise OSError(errno.ENOSPC, "No space left on device", "/data/raw/2026-01.parquet")
    assert raised.value.description is not None
    assert raised.value.description.startswith("/data/raw/2026-01.parquet: No space left on device: make room")
    assert raised.value.allow_retries is False


def test_another_error_of_the_system_stays_what_it_is() -> None:
    with pytest.raises(FileNotFoundError), told_to_dagster():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "params.yaml")


def test_a_permanent_failure_ends_the_step_and_a_transient_one_is_tried_again() -> None:
    with pytest.raises(dg.Failure, match="rating is missing") as raised, told_to_dagster():
        raise PermanentFailure("rating is missing")
    assert raised.value.allow_retries is False
    with pytest.raises(dg.RetryRequested), told_to_dagster():
        raise TransientFailure("the store does not answer")
