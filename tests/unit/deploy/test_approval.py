"""What the deployment log says of an approval: who may decide, until when, and what goes live."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops_assets.deploy.approval import Approval, NotDecided
from mlops_assets.deploy.history import DeploymentLog, Entry, Outcome
from mlops_assets.params.operations import Watching

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
REQUIRED = Watching(approval="required", approval_hours=72)


class Desk:
    """A log, a clock, and the approval that reads both."""

    def __init__(self, folder: Path) -> None:
        self.log, self.now = DeploymentLog(folder / "log.sqlite"), NOON
        self.approval = Approval(self.log, REQUIRED, lambda: self.now)

    def add(self, release: str, outcome: Outcome, caused_by: str = "run 1") -> None:
        self.log.add(Entry(self.now.isoformat(), "process", release, f"model-{release}", "d", caused_by, outcome, ""))

    def reason(self, wanted: str) -> str:
        hold = self.approval.hold(wanted)
        assert hold is not None
        return hold.reason

    def decide(self, decision: str = "approve", release: str = "", *, wanted: str = "b", **about: str) -> Entry:
        given = {"by": "Ani", "how": "make approve", **about}
        return self.approval.decide("reject" if decision == "reject" else "approve", release, wanted=wanted, **given)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Release a serves, b waits."""
    desk = Desk(tmp_path)
    desk.add("a", "live")
    desk.add("b", "waits")
    return desk


def test_without_the_rule_everything_may_go_live(desk: Desk) -> None:
    approval = Approval(desk.log, Watching())
    assert (approval.must_ask("c"), approval.hold("b"), approval.waiting("b")) == (False, None, None)


def test_a_release_that_nobody_asked_about_is_asked_about_and_one_that_was_live_is_not(desk: Desk) -> None:
    assert [desk.approval.must_ask(release) for release in "abc"] == [False, False, True]
    assert desk.approval.hold("a") is None
    assert "release c needs approval" in desk.reason("c")


def test_what_waits_is_held_until_the_very_end_and_then_asked_about_anew(desk: Desk) -> None:
    desk.now += timedelta(hours=72) - timedelta(seconds=1)
    hold = desk.approval.hold("b")
    assert hold is not None
    assert (hold.release_version, hold.waits) == ("a", True)
    assert "waits for approval until 2026-03-04 12:00 UTC: make approve" in hold.reason
    desk.now += timedelta(seconds=1)
    assert desk.approval.must_ask("b")
    assert desk.approval.waiting("b") is None
    assert "nobody approved release b until 2026-03-04 12:00 UTC" in desk.reason("b")
    with pytest.raises(NotDecided, match=r"release b waited until 2026-03-04 12:00 UTC: the next run asks anew"):
        desk.decide()


def test_an_approval_is_recorded_once_with_name_way_and_comment(desk: Desk) -> None:
    entry = desk.decide(comment=" looks \n good ")
    assert (entry.outcome, entry.caused_by, entry.reason) == ("approved", "Ani (make approve)", "looks good")
    assert desk.decide(by="Budi") == entry
    assert [each.outcome for each in desk.log.entries()] == ["approved", "waits", "live"]
    assert desk.approval.hold("b") is None


@pytest.mark.parametrize("release", ["", "b", "model-b"])
def test_the_release_is_named_by_its_version_or_its_models_or_not_at_all(desk: Desk, release: str) -> None:
    assert desk.decide(release=release).release_version == "b"


def test_a_rejected_release_stays_out_until_there_is_a_new_one(desk: Desk) -> None:
    desk.decide("reject", comment="too many changes")
    desk.now += timedelta(days=300)
    assert not desk.approval.must_ask("b")
    assert "release b was rejected by Ani (make approve), 'too many changes': it stays out" in desk.reason("b")
    with pytest.raises(NotDecided, match="was rejected by Ani"):
        desk.decide()
    desk.add("c", "waits")
    assert desk.decide(wanted="c").release_version == "c"


REFUSED: dict[str, tuple[Callable[[Desk], object], str]] = {
    "nothing waits": (lambda desk: desk.decide(release="z"), "release z does not wait for approval"),
    "superseded": (lambda desk: desk.decide(wanted="c"), "release b is superseded: the champion's release is c"),
    "no name": (lambda desk: desk.decide(by=" "), "BY=name"),
    "a name with a control character": (lambda desk: desk.decide(by="Ani\x1b[2J"), "printable"),
    "a long comment": (lambda desk: desk.decide(comment="x" * 501), "at most 500"),
}


@pytest.mark.parametrize(("ask", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_decided_is_refused_and_not_recorded(
    desk: Desk, ask: Callable[[Desk], object], said: str
) -> None:
    with pytest.raises(NotDecided, match=said):
        ask(desk)
    assert [each.outcome for each in desk.log.entries()] == ["waits", "live"]


def test_what_is_approved_cannot_be_rejected_and_an_old_approval_brings_nothing_back(desk: Desk) -> None:
    desk.decide()
    desk.add("b", "live")
    with pytest.raises(NotDecided, match="make rollback takes it back"):
        desk.decide("reject")
    assert desk.decide().outcome == "live"
    with pytest.raises(NotDecided, match="superseded"):
        desk.decide(wanted="c")


def test_only_what_was_approved_on_the_page_waits_for_the_sensor(desk: Desk) -> None:
    desk.decide()
    assert desk.approval.approved_on_page() is None
    desk.add("c", "waits")
    approved = desk.decide(wanted="c", how="page")
    assert desk.approval.approved_on_page() == approved
    desk.add("c", "refused")  # a failed deployment: the sensor's run key keeps it from trying for ever
    assert desk.approval.approved_on_page() == approved
    desk.add("c", "live")
    assert desk.approval.approved_on_page() is None


def test_of_people_who_decide_at_the_same_moment_one_is_heard(desk: Desk) -> None:
    refused: list[str] = []

    def reject() -> None:
        try:
            Approval(desk.log, REQUIRED, lambda: NOON).decide("reject", "b", wanted="b", by="Budi", how="page")
        except NotDecided as error:
            refused.append(str(error))

    budi = threading.Thread(target=reject)

    def while_ani_decides() -> datetime:
        """Between her look at the log and her line in it Budi decides, if he can."""
        if budi.ident is None:
            budi.start()
            budi.join(timeout=0.5)
        return NOON

    approval = Approval(desk.log, REQUIRED, while_ani_decides)
    approval.decide("approve", "b", wanted="b", by="Ani", how="make approve")
    budi.join()
    assert [entry.outcome for entry in desk.log.entries()] == ["approved", "waits", "live"]
    assert "approved already (Ani (make approve))" in refused[0]
