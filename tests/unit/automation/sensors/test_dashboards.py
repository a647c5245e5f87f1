"""A database of the dashboards that takes nothing is seen: in the check, once, and in the terminal."""

from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.automation.sensors.dashboards import record_facts, refresh
from mlops_assets.checks.deploy import FACTS
from mlops_assets.settings import Settings
from mlops_assets.steps.refresh_dashboards import Dashboards
from tests.unit.reporting.summaries import summary, write
from tests.user_clone import free_port, make_clone, settings_of


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A clone whose database does not answer."""
    root = make_clone(tmp_path / "clone")
    write(root / ".dagster" / "summaries", summary())
    return settings_of(root, POSTGRES_HOST="127.0.0.1", POSTGRES_PORT=str(free_port()), POSTGRES_PASSWORD="t0p-s3cret")


def tick(dashboards: Dashboards, cursor: str | None) -> dg.SensorResult:
    with dg.build_sensor_context(resources={"dashboards": dashboards}, cursor=cursor) as context:
        result = record_facts(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_the_sensor_tells_the_check_when_the_database_goes_and_comes_back(settings: Settings) -> None:
    first = tick(Dashboards.of(settings), None)
    (told,) = first.asset_events
    assert isinstance(told, dg.AssetCheckEvaluation)
    assert not told.passed
    assert "took nothing" in (told.description or "")
    assert "t0p-s3cret" not in (told.description or "")
    again = tick(Dashboards.of(settings), first.cursor)
    assert again.asset_events == []
    alone = tick(Dashboards.of(settings_of(settings.root)), again.cursor)
    (told,) = alone.asset_events
    assert isinstance(told, dg.AssetCheckEvaluation)
    assert told.passed


def test_make_run_warns_and_the_check_is_told_once(settings: Settings) -> None:
    with dg.instance_for_test() as instance:
        for _ in range(2):
            assert refresh(instance, Dashboards.of(settings)).startswith("Warning: the database of the dashboards took")
        found = instance.event_log_storage.get_asset_check_execution_history(FACTS, limit=10)
    assert [one.status.value for one in found] == ["FAILED"]


def test_without_a_database_there_is_nothing_to_say(settings: Settings) -> None:
    with dg.instance_for_test() as instance:
        assert refresh(instance, Dashboards.of(settings_of(settings.root))) == ""
        assert instance.event_log_storage.get_asset_check_execution_history(FACTS, limit=10) == []
