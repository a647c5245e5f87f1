"""The weekly digest: one HTML file with its pictures inside, sent once a week to the channels that can attach it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.operations import OperationRules
from mlops_assets.reporting.alerts import AlertFolder, AlertWatch
from mlops_assets.reporting.messages import Message
from mlops_assets.reporting.notifier import AppriseChannel, Notifier
from mlops_assets.steps.topics.weekly_digest import write_digest
from tests.unit.reviews.rows import APP
from tests.unit.reviews.topics.invented import complaints, everything
from tests.unit.steps.topics.place import Place, without_model

MONDAY = datetime(2026, 2, 16, 7, tzinfo=UTC)


@pytest.fixture(scope="module")
def digest_of_a_bad_week(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, str]:
    """Reviews of two months; in the week before Monday many are about the login. The folder, and the page."""
    with pytest.MonkeyPatch.context() as patch:
        without_model(patch)
        place = Place(tmp_path_factory.mktemp("digest"))
        place.month("2026-01", everything(30, seed=1), day=25)
        place.month("2026-02", [*everything(8, seed=2), *complaints("login", 60, seed=5)], version="1.1", day=12)
        place.find()
    place.settings = place.settings_with(NOW=MONDAY.isoformat())
    return place, write_digest(place.settings).path.read_text(encoding="utf-8")


def test_the_week_is_compared_with_the_weeks_before_and_its_complaint_is_named(digest_of_a_bad_week):
    place, page = digest_of_a_bad_week
    written = write_digest(place.settings)
    assert written.path == place.settings.instance_folder / "digests" / "2026-02-09.html"
    week = len([*everything(8, seed=2), *complaints("login", 60, seed=5)])
    assert written.title == f"Reviews from 2026-02-09 to 2026-02-15: {week} with an answer of the model"
    assert f"{APP}: negative 100.0%" in written.text
    assert f"four weeks before: 100.0% [96.9%, 100.0%], n = {len(everything(30, seed=1))}" in written.text
    rose = re.search(r"negative: ([^<]*)</th><td[^>]*>rose beyond chance", page)
    assert rose
    assert set(rose[1].split(", ")) & {"login", "kode", "otp", "verifikasi", "sandi"}
    assert "Version 1.1 compared with 1.0" in page
    assert "Live model" in page
    assert "Typical complaints" in page


def test_the_file_loads_nothing_from_anywhere(digest_of_a_bad_week):
    _, page = digest_of_a_bad_week
    assert page.count('src="data:image/png;base64,') == 2
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)


def test_a_week_without_reviews_says_so_and_before_topics_there_is_none(digest_of_a_bad_week, tmp_path):
    place, _ = digest_of_a_bad_week
    later = write_digest(place.settings_with(NOW="2026-03-09T07:00:00Z"))
    assert f"{APP}: no review this week" in later.text
    much_later = write_digest(place.settings_with(NOW="2027-03-09T07:00:00Z"), tmp_path / "x.html")
    assert "No review of the last five weeks has an answer." in (tmp_path / "x.html").read_text(encoding="utf-8")
    assert much_later.title.endswith(": 0 with an answer of the model")
    with pytest.raises(PermanentFailure, match="holds no topics: materialize topics"):
        write_digest(Place(tmp_path / "new").settings)


class Heard:
    """A channel that keeps what it is sent."""

    key = name = "heard"

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def takes(self, kind: str) -> bool:
        return kind != "heartbeat"

    def send(self, message: Message) -> None:
        self.messages.append(message)


def test_a_digest_is_sent_once_however_often_its_week_is_written(tmp_path):
    (tmp_path / "summaries").mkdir()
    channel = Heard()
    notifier = Notifier(
        tmp_path / "outbox",
        summaries=tmp_path / "summaries",
        service_folder=tmp_path / "service",
        channels=[channel],
        rules=OperationRules,
        clock=lambda: MONDAY,
        alerts=AlertWatch(AlertFolder(tmp_path / "alerts"), (), 0),
    )
    for _ in range(2):
        notifier.tell(Message("weekly:2026-02-09", "weekly", "run", "Reviews", "app: negative 3 %", "/x.html"))
        notifier.deliver()
    assert [message.title for message in channel.messages] == ["Reviews"]


def test_a_channel_that_can_attach_gets_the_file(tmp_path):
    import apprise

    file = tmp_path / "2026-02-09.html"
    file.write_text("<p>digest</p>", encoding="utf-8")
    message = Message("weekly:2026-02-09", "weekly", "run", "Reviews", "text", str(file))
    mail = apprise.Apprise.instantiate("mailto://u:p@example.org")
    attached = AppriseChannel._attached(mail, message)
    assert [Path(each.path) for each in attached] == [file]
    file.unlink()
    assert AppriseChannel._attached(mail, message) is None
    assert AppriseChannel._attached(mail, Message("a", "failure", "run", "t", "t", str(tmp_path))) is None
