"""Messages about a run, at once or in the digest, and what a short channel still gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.reporting.messages import Message, digest_of, fitted, heartbeat_of, messages_of
from tests.unit.reporting.summaries import DEPLOYED, FAILED, NEW, summary

CASES = [
    pytest.param(FAILED, False, ["failure"], "pipeline failed: versioned_dataset: the disk is full: free 2 GB"),
    pytest.param(FAILED, True, ["failure"], "pipeline failed: versioned_dataset: the disk is full: free 2 GB"),
    pytest.param({}, True, ["recovery"], "pipeline: works again"),
    pytest.param(DEPLOYED, False, ["deployment"], "pipeline: model m1 serves"),
    pytest.param(NEW, False, ["new data"], "pipeline: 120 new and 3 changed reviews"),
    pytest.param(
        DEPLOYED | NEW, True, ["recovery"], "pipeline: works again, model m1 serves, 120 new and 3 changed reviews"
    ),
    pytest.param({}, False, ["quiet"], "pipeline: nothing new"),
    pytest.param({"status": "CANCELED"}, False, ["quiet"], "pipeline was cancelled"),
    pytest.param(
        FAILED | DEPLOYED | {"promoted_by": "run-2"}, False, ["failure", "deployment"], "pipeline failed: versioned_"
    ),
    pytest.param(
        FAILED | {"stages": [], "job": "prune", "failures": [{"step": "remove", "reason": "no git"}]},
        False,
        ["failure"],
        "prune failed: remove: no git",
    ),
    pytest.param(
        FAILED
        | {"stages": [], "checks": [{"check": "c", "passed": False, "severity": "ERROR", "reason": "9 of 10 bad"}]},
        False,
        ["failure"],
        "pipeline failed: c: 9 of 10 bad",
    ),
]


@pytest.mark.parametrize(("changes", "failed_before", "kinds", "title"), CASES)
def test_what_a_run_gives_to_tell(changes: dict, failed_before: bool, kinds: list[str], title: str) -> None:
    messages = messages_of(summary(**changes), failed_before=failed_before)
    assert [message.kind for message in messages] == kinds
    assert messages[0].title.startswith(title)
    assert [message.id for message in messages] == [f"run-1:{kind}" for kind in kinds]
    assert all(message.link.endswith("/runs/run-1") for message in messages)


DOOR = "https://team.example/label/release"
WAITS = {"waits_for_approval": {"release": "r2", "until": "2026-03-04 06:01 UTC", "asked": True, "page": DOOR}}


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        (WAITS, ["quiet", "approval"]),
        (WAITS | NEW, ["new data", "approval"]),
        (WAITS | FAILED, ["failure", "approval"]),
    ],
)
def test_an_approval_is_asked_for_once_with_a_link_to_its_page(changes: dict, kinds: list[str]) -> None:
    *others, asks = messages_of(summary(**changes), failed_before=False)
    assert [message.kind for message in [*others, asks]] == kinds
    assert (asks.title, asks.link) == ("pipeline: release r2 waits for approval until 2026-03-04 06:01 UTC", DOOR)
    assert f"decide on {DOOR}, or with make approve or make reject" in asks.text
    later = {**changes, "waits_for_approval": {**WAITS["waits_for_approval"], "asked": False, "page": ""}}
    again = messages_of(summary(**later), failed_before=False)
    assert "approval" not in [message.kind for message in again]
    assert "decide with make approve or make reject" in again[0].text


def test_a_reason_with_line_breaks_writes_no_line_of_its_own() -> None:
    forged = FAILED | {"stages": [], "failures": [{"step": "collect", "reason": "bad app\nLive: all is well\x1b[2J"}]}
    [message] = messages_of(summary(**forged), failed_before=False)
    assert "collect: FAILED, bad app Live: all is well\\x1b[2J" in message.text.splitlines()
    assert "\n" not in message.title


def test_a_message_says_when_its_run_ended_however_late_it_arrives() -> None:
    [message] = messages_of(summary(**FAILED), failed_before=False)
    assert message.text.startswith(
        "Run run-1 of pipeline, started schedule every_six_hours, ended 2026-03-01 06:01:00 UTC"
    )


def test_the_attempts_of_one_run_share_one_alert() -> None:
    retried = summary("run-2", **FAILED, attempt_of="run-1")
    assert messages_of(retried, failed_before=True)[0].id == "run-1:failure"


def test_a_nightly_pruning_does_not_say_that_the_pipeline_lives() -> None:
    good, bad = heartbeat_of(summary()), heartbeat_of(summary(**FAILED))
    assert good is not None
    assert bad is not None
    assert (good.text, bad.text) == ("", "fail")
    assert heartbeat_of(summary(job="prune")) is None


def test_a_digest_shows_the_newest_lines_and_how_many_more_there_were() -> None:
    digest = digest_of("2026-03-02", [f"line {number}" for number in range(100)])
    assert digest.title == "100 runs with nothing new"
    assert digest.text.splitlines()[0] == "40 earlier ones"
    assert digest.text.splitlines()[-1] == "line 99"


@given(
    text=st.text(max_size=400),
    title=st.text(min_size=1, max_size=300),
    title_most=st.sampled_from([0, 50, 250]),
    body_most=st.integers(80, 600),
)
def test_a_cut_text_keeps_link_and_id_within_the_channels_limits(
    text: str, title: str, title_most: int, body_most: int
) -> None:
    message = Message("run-1:failure", "failure", "run-1", title, text, "http://127.0.0.1:3000/runs/run-1")
    head, body = fitted(message, title_most=title_most, body_most=body_most)
    assert len(head) <= title_most
    assert len(body) <= body_most
    assert body.endswith(f"{message.link}\n[{message.id}]")
    if len(f"{title}\n{text}") + 60 < body_most:
        assert text.strip() in body


def test_exactly_at_the_limit_nothing_is_cut() -> None:
    message = Message("i", "failure", "run-1", "t", "x" * 20, "http://a")
    whole = f"{'x' * 20}\nhttp://a\n[i]"
    assert fitted(message, title_most=10, body_most=len(whole))[1] == whole
    assert fitted(message, title_most=10, body_most=len(whole) - 1)[1] == f"{'x' * 18}…\nhttp://a\n[i]"
