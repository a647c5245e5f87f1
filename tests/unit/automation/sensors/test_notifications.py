"""What the sensor that delivers notifications says when there is nothing to deliver."""

from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.automation.sensors.notifications import deliver_notifications
from mlops_assets.automation.sensors.summaries import summarise_failure
from mlops_assets.reporting.notifier import Notifier
from tests.user_clone import make_clone, settings_of


def test_people_hear_of_a_failure_before_a_repeated_run_has_ended() -> None:
    """A run of the sample takes half a minute: later, failure and recovery would arrive together."""
    assert summarise_failure.minimum_interval_seconds + deliver_notifications.minimum_interval_seconds <= 25


@pytest.mark.parametrize(
    ("urls", "said"),
    [("json://127.0.0.1:1/x", "0 delivered, 0 wait."), ("", "no channel: NOTIFY_URLS and HEARTBEAT_URL are empty")],
)
def test_before_the_first_run_it_says_whether_there_are_channels(tmp_path: Path, urls: str, said: str) -> None:
    notifier = Notifier.of(settings_of(make_clone(tmp_path / "clone"), NOTIFY_URLS=urls))
    with dg.build_sensor_context(resources={"notifier": notifier}) as context:
        assert deliver_notifications.evaluate_tick(context).skip_message == said
