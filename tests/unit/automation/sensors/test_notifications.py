"""What the sensor that delivers notifications says when there is nothing to deliver."""

from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.automation.sensors.notifications import deliver_notifications
from mlops_assets.reporting.notifier import Notifier
from tests.user_clone import make_clone, settings_of


@pytest.mark.parametrize(
    ("urls", "said"),
    [("json://127.0.0.1:1/x", "0 delivered, 0 wait."), ("", "no channel: NOTIFY_URLS and HEARTBEAT_URL are empty")],
)
def test_before_the_first_run_it_says_whether_there_are_channels(tmp_path: Path, urls: str, said: str) -> None:
    notifier = Notifier.of(settings_of(make_clone(tmp_path / "clone"), NOTIFY_URLS=urls))
    with dg.build_sensor_context(resources={"notifier": notifier}) as context:
        assert deliver_notifications.evaluate_tick(context).skip_message == said
