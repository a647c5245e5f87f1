"""When a sensor's run is retried, and when its cause is handled."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from mlops_assets.assets import failing
from mlops_assets.automation.requested_run import WAITS, RequestedRun, RunOutcome, next_step, outcome_of
from mlops_assets.failures import PermanentFailure, TransientFailure
from tests.unit.automation.runs import failing_with, nothing, run_of

pytestmark = pytest.mark.slow

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
RUN = "12345678-abcd"
FAILED = RunOutcome("failed for now", RUN, "the store is away")


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def asked(attempt: int = 0, *, minutes: float = 60, failed: float | None = None) -> RequestedRun:
    return RequestedRun("sensor:1:abc", attempt, ago(minutes), None if failed is None else ago(failed))


@pytest.mark.parametrize(
    ("before", "ending", "do", "said"),
    [
        (asked(), RunOutcome("at work", RUN, "started"), "wait", "run 12345678 for it is started"),
        (asked(), RunOutcome("succeeded", RUN), "handled", "ended well"),
        (asked(3), RunOutcome("succeeded", RUN), "handled", "ended well"),
        (asked(), RunOutcome("cancelled", RUN), "handled", "was cancelled and is not started again"),
        (asked(), RunOutcome("failed for good", RUN, "no such file"), "handled", "a retry cannot help: no such file"),
        (asked(2), RunOutcome("failed for good", RUN, "no such file"), "handled", "a retry cannot help: no such file"),
        (asked(), FAILED, "wait", "failed: the store is away; retry 1 of 5 at 2026-03-20 12:10 UTC"),
        (asked(failed=9.9), FAILED, "wait", "retry 1 of 5 at 2026-03-20 12:00 UTC"),
        (asked(failed=10), FAILED, "retry", "retry 1 of 5, since run 12345678 for it failed: the store is away"),
        (asked(1, failed=19), FAILED, "wait", "retry 2 of 5"),
        (asked(1, failed=20), FAILED, "retry", "retry 2 of 5"),
        (asked(2, failed=40), FAILED, "retry", "retry 3 of 5"),
        (asked(3, failed=80), FAILED, "retry", "retry 4 of 5"),
        (asked(4, failed=159), FAILED, "wait", "retry 5 of 5"),
        (asked(4, failed=160), FAILED, "retry", "retry 5 of 5"),
        (asked(5, failed=0), FAILED, "handled", "the store is away; given up after 5 retries"),
        (asked(minutes=9), RunOutcome("missing"), "wait", "its run is not there; retry 1 of 5"),
        (asked(minutes=10), RunOutcome("missing"), "retry", "retry 1 of 5, since its run is not there"),
        (asked(5), RunOutcome("missing"), "handled", "given up after 5 retries"),
        # The clock was set back: a little is waited for, a time out of reach is not.
        (asked(failed=-30), FAILED, "wait", "retry 1 of 5"),
        (asked(failed=-60 * 24), FAILED, "retry", "retry 1 of 5"),
    ],
)
def test_the_rule(before, ending, do, said) -> None:
    step = next_step(before, ending, NOW)
    assert step.do == do
    assert said in step.reason
    if do == "retry":
        assert (step.asked.attempt, step.asked.at, step.asked.failed_at) == (before.attempt + 1, NOW, None)
        assert step.asked.run_key != before.run_key
    assert RequestedRun.from_json(step.asked.as_json()) == step.asked


def test_five_retries_with_keys_of_their_own_and_growing_waits() -> None:
    now, current, keys, waits = NOW, RequestedRun("sensor:1:abc", 0, NOW), [], []
    while (step := next_step(current, FAILED, now)).do != "handled":
        keys.append(current.run_key)
        seen = now
        while step.do == "wait":
            now += timedelta(minutes=1)
            step = next_step(step.asked, FAILED, now)
        waits.append(now - seen)
        current = step.asked
    assert (len(set(keys)), tuple(waits), current.attempt) == (5, WAITS, 5)
    assert current.first_run == RUN


@pytest.mark.parametrize(
    ("work", "state", "said"),
    [
        (nothing, "succeeded", ""),
        (
            failing_with(PermanentFailure("rating is missing")),
            "failed for good",
            "versioned_dataset: rating is missing",
        ),
        (failing_with(ValueError("a mistake of ours")), "failed for good", "a mistake of ours"),
        (failing_with(TransientFailure("the store is away")), "failed for now", "versioned_dataset: the store is away"),
        (failing_with(dg.DagsterExecutionInterruptedError()), "failed for now", "versioned_dataset"),
    ],
)
def test_a_real_run_says_by_its_events_whether_a_retry_helps(monkeypatch, work, state, said) -> None:
    monkeypatch.setattr(failing, "RETRY_AFTER_S", 0)
    current = RequestedRun("sensor:1:abc", 0, NOW)
    with dg.instance_for_test() as instance:
        assert outcome_of(instance, current).state == "missing"
        run_id = run_of(instance, dg.RunRequest(tags=current.tags), work)
        ending = outcome_of(instance, current)
        assert (ending.state, ending.run_id) == (state, run_id)
        assert said in ending.reason
        assert outcome_of(instance, RequestedRun("sensor:1:abc", 1, NOW)).state == "missing"
        assert outcome_of(instance, RequestedRun("sensor:2:abc", 0, NOW)).state == "missing"


def test_a_run_whose_process_is_gone_is_retried_a_cancelled_one_not_and_one_at_work_counts_first() -> None:
    current = RequestedRun("sensor:1:abc", 0, NOW)

    @dg.job
    def refresh_models() -> None: ...

    def run(status: dg.DagsterRunStatus) -> dg.DagsterRun:
        return instance.create_run_for_job(refresh_models, tags=current.tags, status=status)

    with dg.instance_for_test() as instance:
        killed = run(dg.DagsterRunStatus.STARTED)
        assert outcome_of(instance, current).state == "at work"
        instance.report_run_failed(killed, "The process of this run is gone: start the run again.")
        ending = outcome_of(instance, current)
        assert (ending.state, ending.reason) == (
            "failed for now",
            "The process of this run is gone: start the run again.",
        )
        # Dagster starts a run whose process was lost again by itself, with the same tags.
        again = run(dg.DagsterRunStatus.NOT_STARTED)
        assert outcome_of(instance, current).state == "at work"
        instance.report_engine_event("Run execution process was terminated by signal 9 (SIGKILL).", again)
        instance.report_run_failed(again)
        instance.report_engine_event("The run's summary", again)
        assert outcome_of(instance, current).reason == "Run execution process was terminated by signal 9 (SIGKILL)."
        again = run(dg.DagsterRunStatus.NOT_STARTED)
        instance.report_run_canceled(again)
        assert outcome_of(instance, current).state == "cancelled"
