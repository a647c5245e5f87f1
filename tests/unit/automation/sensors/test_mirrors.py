"""Mirrors follow between runs of the pipeline: launched when one lacks something, again while it is away."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.assets import failing
from mlops_assets.automation.sensors.mirrors import keep_mirrors_up_to_date, mirror
from mlops_assets.definitions import build_definitions
from mlops_assets.mirrors.mirror import Mirror
from mlops_assets.settings import Settings
from mlops_assets.steps.mirroring.mirrors import Mirrors
from tests.fakes.copy import FakeCopy
from tests.user_clone import make_clone, settings_of

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(make_clone(tmp_path / "clone"), NOW=NOW.isoformat())


class Daemon:
    """Ticks of the sensor with one cursor, and the runs that it asks for."""

    def __init__(self, settings: Settings, copy: FakeCopy) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        self._settings, self._cursor = settings, ""
        self._mirrors = Mirrors([Mirror(copy, settings.instance_folder / "mirrors", settings.now)])

    def tick(self, after: timedelta = timedelta()) -> dg.RunRequest | str:
        settings = self._settings.model_copy(update={"fixed_now": NOW + after})
        resources = {"settings": settings, "mirrors": self._mirrors}
        with dg.build_sensor_context(self.instance, cursor=self._cursor, resources=resources) as context:
            said = keep_mirrors_up_to_date(context)
            self._cursor = context.cursor or ""
        return said if isinstance(said, dg.RunRequest) else str(said.skip_message)

    def run(self, request: dg.RunRequest | str) -> dg.ExecuteInProcessResult:
        assert isinstance(request, dg.RunRequest)
        resources = {"mirrors": self._mirrors, "settings": self._settings}
        return mirror.execute_in_process(
            instance=self.instance, tags=dict(request.tags), resources=resources, raise_on_error=False
        )


def test_a_change_launches_one_run_and_then_there_is_nothing_to_do(settings: Settings) -> None:
    copy = FakeCopy(a="1")
    daemon = Daemon(settings, copy)
    assert daemon.run(daemon.tick()).success
    assert copy.there == copy.here
    assert daemon.tick() == "the mirrors have everything"
    copy.here["a"] = "2"
    assert daemon.run(daemon.tick()).success
    assert copy.there == copy.here


def test_while_a_mirror_is_away_its_run_fails_with_the_reason_and_is_retried_for_ever(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failing, "RETRIES", 0)
    monkeypatch.setattr(failing, "RETRY_AFTER_S", 0)
    copy = FakeCopy(a="1")
    copy.away = "connection refused"
    daemon = Daemon(settings, copy)
    assert not daemon.run(daemon.tick()).success
    waits = daemon.tick()
    assert "Copy lacks 1 of 1 things" in str(waits)
    assert "connection refused; retry 1 of 5 at 2026-03-20 12:10 UTC" in str(waits)
    passed = timedelta()
    for minutes in (10, 20, 40, 80, 160):
        passed += timedelta(minutes=minutes)
        daemon.run(daemon.tick(passed))
        daemon.tick(passed)
    assert "given up after 5 retries; again from 2026-03-20 23:10 UTC on" in str(daemon.tick(passed))
    copy.away = ""
    assert daemon.run(daemon.tick(timedelta(hours=12))).success
    assert copy.there == copy.here


def test_while_the_pipeline_is_at_work_the_mirrors_wait(settings: Settings) -> None:
    daemon = Daemon(settings, FakeCopy(a="1"))

    @dg.job
    def pipeline() -> None: ...

    daemon.instance.create_run_for_job(pipeline, status=dg.DagsterRunStatus.STARTED)
    assert "the mirrors follow when it has ended" in str(daemon.tick())


@pytest.mark.parametrize("configured", [True, False])
def test_the_job_and_its_sensor_are_there_if_a_mirror_is(settings: Settings, configured: bool) -> None:
    mongo = {"MONGO_URL": "mongodb://ana:s3cret-word@db.example/", "MONGO_DB": "reviews"} if configured else {}
    repository = build_definitions(settings_of(settings.root, **mongo)).get_repository_def()
    assert repository.has_job("mirror") == configured
    assert repository.has_sensor_def("keep_mirrors_up_to_date") == configured
    shown = str(repository.get_top_level_resources()["mirrors"].config_schema.default_value)
    assert ("MongoDB mongodb://db.example reviews.raw_reviews" in shown) == configured
    assert "s3cret-word" not in shown
