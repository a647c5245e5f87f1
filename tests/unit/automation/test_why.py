"""The one place that says why something ran and why it did not."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from mlops_assets.automation.why import MADE_BY_HAND, STARTED_BY, decisions

LOCATION = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="mlops_assets.definitions"))
START = 1_780_000_000.0


def trigger(instance: dg.DagsterInstance, name: str, kind: InstigatorType = InstigatorType.SENSOR):
    """A sensor or schedule as the daemon knows it; gives a function that records a tick."""
    data = ScheduleInstigatorData("0 */6 * * *", START) if kind is InstigatorType.SCHEDULE else None
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(LOCATION, "__repository__"), name)
    state = InstigatorState(origin, kind, InstigatorStatus.DECLARED_IN_CODE, data)
    instance.add_instigator_state(state)

    def tick(after_s: float, status: TickStatus, **more):
        instance.create_tick(
            TickData(
                origin.get_id(),
                name,
                kind,
                status,
                START + after_s,
                selector_id=state.selector_id,
                **more,
            )
        )

    return tick


@dg.job
def pipeline():
    pass


def test_each_decision_stands_with_its_numbers_and_repeats_are_one_line() -> None:
    with dg.instance_for_test() as instance:
        tick = trigger(instance, "run_on_git_change")
        for minute in range(3):
            tick(60 * minute, TickStatus.SKIPPED, skip_reason="main is still at abc")
        run = instance.create_run_for_job(
            pipeline,
            tags={
                "mlops/trigger": "run_on_git_change: main moved: dvc.yaml",
                "dagster/sensor_name": "run_on_git_change",
            },
        )
        tick(180, TickStatus.SUCCESS, run_ids=[run.run_id])
        tick(240, TickStatus.SKIPPED, skip_reason="main is still at def")
        trigger(instance, "summarise_success")(300, TickStatus.SKIPPED, skip_reason="summary written")
        rows = [one.row() for one in decisions(instance)]
    assert [(row["trigger"], row["decision"], row["reason"]) for row in rows] == [
        ("run_on_git_change", "no run", "main is still at def"),
        ("run_on_git_change", f"run {run.run_id[:8]}", "main moved: dvc.yaml"),
        ("run_on_git_change", "no run", "main is still at abc"),
    ]
    assert "(3 ticks since" in rows[2]["when"]


def test_a_trigger_that_failed_says_why_and_people_are_triggers_too() -> None:
    from dagster._utils.error import SerializableErrorInfo

    with dg.instance_for_test() as instance:
        tick = trigger(instance, "every_six_hours")
        tick(0, TickStatus.FAILURE, error=SerializableErrorInfo("the store\nis away", [], "Failure"))
        instance.create_run_for_job(pipeline, tags={MADE_BY_HAND: "1"})
        instance.create_run_for_job(pipeline)
        instance.create_run_for_job(pipeline, tags={MADE_BY_HAND: "1", STARTED_BY: "ani"})
        instance.create_run_for_job(pipeline, tags={"dagster/backfill": "abc", STARTED_BY: "oki"})
        again = {"dagster/schedule_name": "every_six_hours", STARTED_BY: "oki"}  # the schedule's run, launched again
        instance.create_run_for_job(pipeline, tags=again)
        said = {(one.trigger, one.decision.split()[0], one.reason) for one in decisions(instance)}
    assert said == {
        ("every_six_hours", "failed", "the store is away"),
        ("make run", "run", "asked for by hand"),
        ("UI or command line", "run", "job pipeline"),
        ("make run", "run", "asked for by hand, started by ani"),
        ("backfill", "run", "backfill abc, started by oki"),
        ("UI or command line", "run", "job pipeline, started by oki"),
    }


def test_a_run_that_catches_up_stands_under_its_own_time_and_names_the_planned_one() -> None:
    with dg.instance_for_test() as instance:
        tick = trigger(instance, "every_six_hours", InstigatorType.SCHEDULE)
        run = instance.create_run_for_job(
            pipeline, tags={"mlops/trigger": "every_six_hours: sample.app", "dagster/schedule_name": "every_six_hours"}
        )
        tick(0, TickStatus.SUCCESS, run_ids=[run.run_id], end_timestamp=START + 3 * 3600)
        tick(-3600, TickStatus.SKIPPED, skip_reason="run abc is started", end_timestamp=START - 3600 + 5)
        tick(-7200, TickStatus.SKIPPED, skip_reason="run abc is started", end_timestamp=START - 1800)
        began = instance.get_run_records()[0].create_timestamp
        caught_up, skipped_late, on_time = decisions(instance)
    planned = datetime.fromtimestamp(START, UTC)
    assert caught_up.at == began
    assert caught_up.reason == f"sample.app (planned for {planned:%Y-%m-%d %H:%M})"
    assert skipped_late.reason == f"run abc is started (planned for {planned - timedelta(hours=2):%Y-%m-%d %H:%M})"
    assert (on_time.at.timestamp(), on_time.reason) == (START - 3600 + 5, "run abc is started")


def test_nothing_decided_yet_is_no_error() -> None:
    with dg.instance_for_test() as instance:
        assert decisions(instance) == []
