"""How a failure of the work becomes one of Dagster's."""

import errno

import dagster as dg
import pytest

from mlops_assets.assets import failing
from mlops_assets.assets.failing import as_dagster_failure
from mlops_assets.cli.console import console_of
from mlops_assets.failures import PermanentFailure, TransientFailure


def test_a_full_disk_is_named_with_the_next_step_and_not_tried_again() -> None:
    with pytest.raises(dg.Failure) as raised, as_dagster_failure():
        raise OSError(errno.ENOSPC, "No space left on device", "/data/raw/2026-01.parquet")
    assert raised.value.description is not None
    assert raised.value.description.startswith("/data/raw/2026-01.parquet: No space left on device: make room")
    assert raised.value.allow_retries is False


def test_another_error_of_the_system_stays_what_it_is() -> None:
    with pytest.raises(FileNotFoundError), as_dagster_failure():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "params.yaml")


def test_a_permanent_failure_ends_the_step_and_a_transient_one_is_tried_again() -> None:
    with pytest.raises(dg.Failure, match="rating is missing") as raised, as_dagster_failure():
        raise PermanentFailure("rating is missing")
    assert raised.value.allow_retries is False
    with pytest.raises(dg.RetryRequested), as_dagster_failure():
        raise TransientFailure("the store does not answer")


@pytest.mark.parametrize("of_a_check", [False, True])
def test_each_try_says_its_cause_in_the_log_the_event_and_the_console(capsys, monkeypatch, of_a_check) -> None:
    monkeypatch.setattr(failing, "RETRY_AFTER_S", 0)
    causes = iter(["the store does not answer", "the store is still away", "the store is gone"])

    def work(key: str) -> None:
        with as_dagster_failure():
            raise TransientFailure(f"{next(causes)} ({key})")

    @dg.asset
    def reviews(context: dg.AssetExecutionContext) -> None:
        if not of_a_check:
            work("reviews")

    @dg.asset_check(asset=reviews)
    def reviews_are_whole() -> dg.AssetCheckResult:
        work("reviews")
        return dg.AssetCheckResult(passed=True)

    with dg.instance_for_test() as instance:
        done = dg.Definitions(
            assets=[reviews],
            asset_checks=[reviews_are_whole] if of_a_check else [],
            loggers={"console": console_of(print)},
        ).resolve_implicit_global_asset_job_def()
        result = done.execute_in_process(
            instance=instance, raise_on_error=False, run_config={"loggers": {"console": {}}}
        )
        logged = [entry.user_message for entry in instance.all_logs(result.run_id) if not entry.dagster_event]
    said = [
        "try 1 of 3 failed: the store does not answer (reviews); again in 0 s",
        "try 2 of 3 failed: the store is still away (reviews); again in 0 s",
        "try 3 of 3 failed: the store is gone (reviews)",
    ]
    assert logged == said
    retried = [event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY]
    assert [event.step_retry_data.error.message.partition(": ")[2].strip() for event in retried] == said[:2]
    printed = capsys.readouterr().out
    assert [printed.count(line) for line in said] == [1, 1, 1]
    assert not result.success
