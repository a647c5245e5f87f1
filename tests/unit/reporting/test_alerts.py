"""Alerts: each is told once with its end, silence is told, and what cannot be kept is refused, to come again."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from mlops_assets.cli.alerts import receiver
from mlops_assets.reporting.alerts import AlertFolder, AlertWatch
from mlops_assets.reporting.outbox import Outbox
from tests.unit.reporting.test_outbox import NOON, Listening

APPS = ("com.valar.pintu",)
NEVER = "0001-01-01T00:00:00Z"


def alert(name: str = "ServiceDown", status: str = "firing", at: str = "12:00:00.123456789", **labels: str) -> Any:
    """As Alertmanager 0.25 writes it."""
    return {
        "status": status,
        "labels": {"alertname": name, "severity": "page", **labels},
        "annotations": {"summary": f"{name} is wrong.", "action": "make status."},
        "startsAt": f"2026-03-01T{at}Z",
        "endsAt": NEVER if status == "firing" else "2026-03-01T13:00:00Z",
        "generatorURL": "https://team.example/prometheus/graph?g0.expr=up&g0.tab=1",
        "fingerprint": f"{name}{sorted(labels.items())}",
    }


def post(*alerts: Any) -> bytes:
    return json.dumps({"version": "4", "status": "firing", "groupKey": "{}:{}", "alerts": alerts}).encode()


class Desk:
    """The receiver's folder, and the outbox that reads it."""

    def __init__(self, folder: Path, silent_s: float = 0) -> None:
        self.folder, self.channel = AlertFolder(folder / "alerts"), Listening()
        self.box = Outbox(folder / "outbox.sqlite")
        self.told: list[Any] = []
        self.channel.send = self.told.append  # type: ignore[method-assign]
        self.watch = AlertWatch(self.folder, APPS, silent_s)

    def titles(self, *posts: bytes) -> list[str]:
        """The titles of the messages that these posts make."""
        del self.told[:]
        for body in posts:
            self.folder.put(body)
        alerts, files = self.watch.read()
        self.box.take_in_alerts(alerts, [self.channel], NOON, apps=APPS)
        for path in files:
            path.unlink()
        self.box.deliver([self.channel], lambda: NOON)
        return [message.title for message in self.told]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_an_alert_is_told_once_and_its_end_once(desk: Desk) -> None:
    assert desk.titles(post(alert())) == ["Alert: ServiceDown"]
    assert desk.told[0].text.splitlines() == [
        "ServiceDown (page), since 2026-03-01 12:00:00 UTC: ServiceDown is wrong.",
        "What to do: make status.",
        "Apps: com.valar.pintu",
    ]
    assert desk.told[0].link == "https://team.example/prometheus/alerts"
    assert desk.titles(post(alert())) == []
    assert desk.box.firing() == [("ServiceDown", "2026-03-01T12:00:00+00:00")]
    assert desk.titles(post(alert(status="resolved"))) == ["Resolved: ServiceDown"]
    assert "lasted from 2026-03-01 12:00:00 UTC to 2026-03-01 13:00:00 UTC" in desk.told[0].text
    assert desk.titles(post(alert(status="resolved"))) == []
    assert desk.box.firing() == []


def test_what_came_together_is_one_message_and_a_group_that_grows_tells_what_is_new(desk: Desk) -> None:
    data, root = (alert("DiskFillsUp", mountpoint=path) for path in ("/data", "/"))
    assert desk.titles(post(alert()), post(data)) == ["Alert: ServiceDown, DiskFillsUp"]
    assert desk.titles(post(data, root)) == ["Alert: DiskFillsUp"]
    assert "mountpoint=/" in desk.told[0].text.splitlines()
    assert "/data" not in desk.told[0].text
    ended = alert("DiskFillsUp", "resolved", mountpoint="/data")
    assert desk.titles(post(ended, root, alert("DriftLasts"))) == ["Alert: DriftLasts; Resolved: DiskFillsUp"]


def test_an_alert_that_came_and_went_while_nobody_read_is_told_as_over(desk: Desk) -> None:
    assert desk.titles(post(alert()), post(alert(status="resolved"))) == ["Resolved: ServiceDown"]


def test_an_alert_that_fires_anew_is_told_although_its_end_was_lost(desk: Desk) -> None:
    desk.titles(post(alert()))
    assert desk.titles(post(alert(at="14:00:00"))) == ["Alert: ServiceDown"]


def test_a_reader_killed_before_it_removed_the_files_tells_nothing_twice(desk: Desk) -> None:
    desk.folder.put(post(alert()))
    alerts, _ = desk.watch.read()
    desk.box.take_in_alerts(alerts, [desk.channel], NOON, apps=APPS)
    assert desk.titles() == ["Alert: ServiceDown"]
    assert desk.titles() == []


def test_a_line_break_in_a_label_begins_no_line_of_the_message(desk: Desk) -> None:
    desk.titles(post(alert(mountpoint="/a\nWhat to do: rm -rf /")))
    assert [line for line in desk.told[0].text.splitlines() if line.startswith("What to do")] == [
        "What to do: make status."
    ]


def aged(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_silence_is_told_once_and_its_end(tmp_path: Path) -> None:
    desk = Desk(tmp_path, silent_s=60)
    object.__setattr__(desk.watch, "began", time.time() - 1000)
    desk.folder.put(post(alert("Watchdog")))
    assert desk.folder.posts() == {}, "a sign of life is no news"
    assert desk.titles() == []
    aged(desk.folder.sign, 40)
    assert desk.titles() == []
    aged(desk.folder.sign, 61)
    assert desk.titles() == ["Alert: AlertsDoNotArrive"]
    assert desk.titles() == []
    assert desk.titles(post(alert("Watchdog"))) == ["Resolved: AlertsDoNotArrive"]


def test_silence_before_anybody_watched_is_no_news_and_a_sign_that_never_came_is(tmp_path: Path) -> None:
    desk = Desk(tmp_path, silent_s=60)
    desk.folder.put(post(alert("Watchdog")))
    aged(desk.folder.sign, 10_000)
    assert desk.titles() == [], "the stack was down over night"
    desk.folder.sign.unlink()
    assert desk.titles() == []
    aged(desk.folder.sign, 100)
    object.__setattr__(desk.watch, "began", time.time() - 100)
    assert desk.titles() == ["Alert: AlertsDoNotArrive"]


def test_outside_a_stack_nothing_is_missed(desk: Desk) -> None:
    assert desk.titles() == []
    assert not desk.watch.expected
    assert AlertWatch(desk.folder, APPS, silent_s=60).expected, "in a stack they are, before the first has come"
    assert not desk.folder.path.exists()


def test_watchdog_is_no_alert_even_in_a_group_with_others(desk: Desk) -> None:
    assert desk.titles(post(alert("Watchdog"), alert())) == ["Alert: ServiceDown"]
    assert desk.folder.sign.exists()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"alerts": [{"status": "firing"}]}'])
def test_what_alertmanager_would_not_send_is_refused(tmp_path: Path, body: bytes) -> None:
    folder = AlertFolder(tmp_path)
    with pytest.raises(ValidationError):
        folder.put(body)
    answer = TestClient(receiver(folder)).post("/", content=body)
    assert answer.status_code == 400
    assert answer.text.startswith("not a post of Alertmanager: ")
    assert list(tmp_path.iterdir()) == []


def test_a_post_that_cannot_be_kept_is_answered_so_that_alertmanager_sends_it_again(tmp_path: Path) -> None:
    (tmp_path / "alerts").write_text("a file where the folder should be")
    client = TestClient(receiver(AlertFolder(tmp_path / "alerts")))
    answer = client.post("/", content=post(alert()))
    assert answer.status_code == 500
    assert f"{tmp_path}/alerts cannot be written" in answer.text
    (tmp_path / "alerts").unlink()
    assert client.post("/", content=post(alert())).status_code == 200
    assert len(AlertFolder(tmp_path / "alerts").posts()) == 1
    assert client.get("/health").status_code == 200
