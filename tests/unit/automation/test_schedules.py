"""What a tick of the clock asks for, and when it asks for nothing."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from mlops_assets.automation.jobs import PIPELINE
from mlops_assets.cli.status import overdue
from mlops_assets.definitions import build_definitions
from mlops_assets.params.operations import OperationRules
from tests.user_clone import make_clone, settings_of


def test_a_tick_names_the_months_and_apps_that_it_asks_for(tmp_path) -> None:
    definitions = build_definitions(settings_of(make_clone(tmp_path / "clone"), NOW="2026-03-20T00:00:00Z"))
    with dg.instance_for_test() as instance:
        [request] = tick(definitions, instance).run_requests or []
    assert request.tags["mlops/trigger"] == "every_six_hours: sample.app from 2025-12 to 2026-02"
    assert request.tags["dagster/asset_partition_range_end"] == "sample.app|2026-02"


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
def test_while_the_pipeline_is_at_work_a_tick_starts_nothing_and_says_so(tmp_path, status) -> None:
    definitions = build_definitions(settings_of(make_clone(tmp_path / "clone"), NOW="2026-03-20T00:00:00Z"))
    with dg.instance_for_test() as instance:
        run = instance.create_run_for_job(definitions.resolve_job_def(PIPELINE), status=status)
        waiting = tick(definitions, instance)
        assert waiting.run_requests == []
        assert f"run {run.run_id[:8]} of pipeline is {status.value.lower()}" in (waiting.skip_message or "")
        instance.report_run_canceled(run)
        assert len(tick(definitions, instance).run_requests or []) == 1


def test_the_time_zone_is_a_parameter(tmp_path) -> None:
    clone = make_clone(tmp_path / "clone", triggers={"time_zone": "Asia/Jakarta"})
    schedule = build_definitions(settings_of(clone)).resolve_schedule_def("every_six_hours")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 */6 * * *", "Asia/Jakarta")


def test_what_each_run_collects_goes_stale_when_make_status_says_overdue(tmp_path) -> None:
    operations = {"interval_hours": 24, "slack_hours": 3.5}
    definitions = build_definitions(settings_of(make_clone(tmp_path / "clone", operations=operations)))
    policies = {
        spec.key.to_user_string(): spec.freshness_policy
        for spec in definitions.resolve_all_asset_specs()
        if spec.freshness_policy
    }
    window = timedelta(hours=27.5)
    assert policies == dict.fromkeys(
        ("raw_reviews", "validated_reviews"), dg.FreshnessPolicy.time_window(fail_window=window)
    )
    now, rules = datetime(2026, 3, 20, 6, tzinfo=UTC), OperationRules(**operations)
    assert overdue(now - window, now, rules) is None
    assert overdue(now - window - timedelta(seconds=1), now, rules) is not None


def test_bad_operations_are_refused_by_the_run_and_not_by_loading_the_code(tmp_path) -> None:
    clone = make_clone(tmp_path / "clone", operations={"interval_hours": -1})
    assert not any(spec.freshness_policy for spec in build_definitions(settings_of(clone)).resolve_all_asset_specs())


def tick(definitions: dg.Definitions, instance: dg.DagsterInstance):
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime(2026, 3, 20, 6, tzinfo=UTC),
        resources={"review_source": definitions.resources["review_source"]},
    ) as context:
        return definitions.resolve_schedule_def("every_six_hours").evaluate_tick(context)
