"""Messages over the wire: a real SMTP server and a real webhook on loopback, up, and down then up."""

import io
import logging
import sqlite3
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets.definitions import build_definitions
from mlops_assets.failures import BadSetting
from mlops_assets.reporting.notifier import AppriseChannel, Notifier
from mlops_assets.settings import Settings
from tests.integration.receivers import Hooks, Mailbox
from tests.unit.reporting.summaries import FAILED, NEW, summary, write
from tests.user_clone import free_port, make_clone, settings_of

SECRET = "tok3nThatIsSecret"


@dataclass
class Place:
    root: Path
    hooks: Hooks
    mailbox: Mailbox
    later: timedelta = timedelta(0)

    @property
    def settings(self) -> Settings:
        urls = (
            f"json://127.0.0.1:{self.hooks.port}/{SECRET}",
            f"mailto://127.0.0.1:{self.mailbox.port}?from=bot@example.com&to=team@example.com&mode=insecure",
        )
        return settings_of(
            self.root,
            NOTIFY_URLS=" ".join(urls),
            HEARTBEAT_URL=f"http://127.0.0.1:{self.hooks.port}/{SECRET}/beat",
            NOW=f"2026-03-01T12:{int(self.later.total_seconds() // 60):02d}:00Z",
        )

    @property
    def notifier(self) -> Notifier:
        return Notifier.of(self.settings)

    def up(self) -> ExitStack:
        stack = ExitStack()
        stack.enter_context(self.hooks.up())
        stack.enter_context(self.mailbox.up())
        return stack


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(make_clone(tmp_path / "clone"), Hooks(free_port()), Mailbox(free_port()))


def test_a_failure_reaches_mail_and_webhook_with_its_id_and_the_heartbeat_says_fail(place: Place) -> None:
    write(place.root / ".dagster" / "summaries", summary(**FAILED))
    with place.up():
        assert place.notifier.deliver().delivered == 3
        assert place.notifier.deliver().delivered == 0
    [hook] = place.hooks.bodies
    assert hook["title"] == "pipeline failed: versioned_dataset: the disk is full: free 2 GB"
    assert hook["message"].endswith("http://127.0.0.1:3000/runs/run-1\n[run-1:failure]")
    [mail] = place.mailbox.mails
    assert "pipeline failed" in mail
    assert place.hooks.ids == ["run-1:failure"]
    assert "X-Notification-Id: run-1:failure" in mail
    assert place.hooks.paths == [f"/{SECRET}", f"/{SECRET}/beat/fail"]


def test_channels_that_are_down_get_everything_when_they_are_up_and_no_secret_is_told(place: Place) -> None:
    folder = place.root / ".dagster" / "summaries"
    write(folder, summary("a", **FAILED, ended="2026-03-01T01:00:00+00:00"))
    told = place.notifier.deliver()
    assert told.delivered == 0
    assert [one.waiting for one in told.channels] == [1, 1, 1]
    assert all(one.error for one in told.channels)
    assert SECRET not in repr(told)
    write(folder, summary("b", **NEW, ended="2026-03-01T02:00:00+00:00"))
    place.later = timedelta(minutes=5)
    with place.up():
        assert place.notifier.deliver().delivered == 6
    ids = [body["message"].rpartition("[")[2] for body in place.hooks.bodies]
    assert sorted(ids) == ["a:failure]", "b:recovery]"]
    assert len(place.mailbox.mails) == 2
    assert place.hooks.paths[-2:] == [f"/{SECRET}/beat/fail", f"/{SECRET}/beat"]
    shown = place.root / ".serving" / "shown" / "last_success"
    assert shown.read_text(encoding="utf-8") == "1772330400\n"


def test_an_address_that_apprise_does_not_know_is_a_channel_in_trouble(place: Place) -> None:
    settings = settings_of(place.root, NOTIFY_URLS=f"nosuch://{SECRET}")
    write(place.root / ".dagster" / "summaries", summary(**FAILED))
    [standing] = Notifier.of(settings).deliver().channels
    assert standing.error == "Apprise does not understand the address nosuch://…: mend NOTIFY_URLS"


def test_a_secret_shows_nowhere(place: Place) -> None:
    assert SECRET not in repr(place.settings)
    assert SECRET not in AppriseChannel(f"slack://{SECRET}/b/c").name
    with pytest.raises(BadSetting) as refused:
        settings_of(place.root, NOTIFY_URLS=f"slack:{SECRET}")
    assert SECRET not in str(refused.value)


def test_no_secret_is_logged_at_any_level_and_none_is_printed(
    place: Place, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    # A handler as a program has it: caplog's own listens at loggers that hand nothing on, too.
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)
    for name in ("", "apprise", "httpx", "httpcore", "urllib3"):
        caplog.set_level(logging.DEBUG, logger=name)
    write(place.root / ".dagster" / "summaries", summary(**FAILED))
    place.notifier.deliver()
    wrong = settings_of(place.root, NOTIFY_URLS=f"nosuch://{SECRET} slack://{SECRET} tgram://{SECRET}")
    Notifier.of(wrong).deliver()
    place.later = timedelta(minutes=5)
    with place.up():
        assert place.notifier.deliver().delivered
        assert httpx.get(f"http://127.0.0.1:{place.hooks.port}/other", timeout=60).status_code == 200
    logging.getLogger().removeHandler(handler)
    said = capsys.readouterr()
    assert SECRET not in log.getvalue() + said.out + said.err
    assert "/other" in log.getvalue()  # what others ask for is logged as ever


def test_an_outbox_that_cannot_be_written_is_told_without_it_and_again_only_after_an_hour(place: Place) -> None:
    """As on a full disk; the tick fails, too."""
    write(place.root / ".dagster" / "summaries", summary(**FAILED))
    notifier = place.notifier
    in_the_way = place.root / ".dagster" / "outbox" / "outbox.sqlite"
    in_the_way.mkdir(parents=True)
    with pytest.raises(sqlite3.OperationalError):
        notifier.deliver()  # and nobody can be told yet
    with place.up():
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError):
                notifier.deliver()
        [hook] = place.hooks.bodies
        assert hook["title"] == "Notifications cannot be stored"
        assert f"{in_the_way.parent}: unable to open database file." in hook["message"]
        in_the_way.rmdir()
        notifier.deliver()
    assert [body["title"].partition(":")[0] for body in place.hooks.bodies[1:]] == ["pipeline failed"]


def test_the_sensor_delivers_and_tells_the_check_when_a_channel_changes(place: Place) -> None:
    import dagster as dg

    write(place.root / ".dagster" / "summaries", summary(**FAILED))
    definitions = build_definitions(place.settings)
    sensor = definitions.resolve_sensor_def("deliver_notifications")

    def tick(cursor: str | None) -> Any:
        with dg.build_sensor_context(
            cursor=cursor, definitions=definitions, resources={"notifier": place.notifier}
        ) as context:
            return sensor.evaluate_tick(context)

    first = tick(None)
    assert [one.passed for one in first.asset_events] == [False]
    assert tick(first.cursor).asset_events == []
    place.later = timedelta(minutes=5)
    with place.up():
        second = tick(first.cursor)
    assert [one.passed for one in second.asset_events] == [True]
    assert "3 delivered, 0 wait" in str(second.skip_message)
