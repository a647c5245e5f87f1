"""A copy follows what is here: it costs what changed, goes on after any end, and says what it lacks."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_assets.mirrors.mirror import Mirror, MirrorAway, without_login, without_secrets
from mlops_assets.mirrors.mongodb import open_reviews
from tests.fakes.copy import FakeCopy

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def mirror_of(copy: FakeCopy, folder: Path) -> Mirror:
    """As another process would make it: what it knows is on disk."""
    return Mirror(copy, folder, lambda: NOW)


def catch_up(copy: FakeCopy, folder: Path, **options: float) -> str:
    return mirror_of(copy, folder).catch_up(lambda _: None, **options)


def test_only_what_changed_is_written_and_what_is_gone_is_removed(tmp_path: Path) -> None:
    copy = FakeCopy(a="1", b="1", c="1")
    assert mirror_of(copy, tmp_path).behind() == "Copy lacks 3 of 3 things"
    assert catch_up(copy, tmp_path) == ""
    copy.written.clear()
    del copy.here["c"]
    copy.here |= {"b": "2", "d": "1"}
    assert mirror_of(copy, tmp_path).waiting() == ("b", "d", "c")
    assert catch_up(copy, tmp_path) == ""
    assert copy.written == ["b", "d", "-c"]
    assert copy.there == copy.here


def test_a_copy_that_is_away_is_named_with_its_reason_from_its_first_failure_on(tmp_path: Path) -> None:
    copy = FakeCopy(a="1", b="1")
    copy.away = "connection refused"
    first = catch_up(copy, tmp_path)
    assert first == "Copy lacks 2 of 2 things, behind since 2026-03-01 12:00 UTC: connection refused"
    later = Mirror(copy, tmp_path, lambda: datetime(2026, 3, 2, tzinfo=UTC))
    assert later.catch_up(lambda _: None) == first
    assert mirror_of(copy, tmp_path).behind() == first
    copy.away = ""
    assert catch_up(copy, tmp_path) == ""
    assert copy.there == copy.here


def test_a_pass_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    copy = FakeCopy(a="1", b="1", c="1")
    copy.dies_after = 2
    with pytest.raises(KeyboardInterrupt):
        catch_up(copy, tmp_path)
    assert mirror_of(copy, tmp_path).waiting()
    copy.dies_after = None
    assert catch_up(copy, tmp_path) == ""
    assert copy.there == copy.here


def test_an_item_that_is_refused_holds_up_no_other(tmp_path: Path) -> None:
    copy = FakeCopy(a="1", b="1", c="1")
    copy.refuses = frozenset("b")
    assert catch_up(copy, tmp_path).endswith(
        "Copy lacks 1 of 3 things, behind since 2026-03-01 12:00 UTC: b: too large"
    )
    assert copy.there == {"a": "1", "c": "1"}
    copy.refuses = frozenset()
    assert catch_up(copy, tmp_path) == ""


def test_a_copy_that_was_emptied_or_is_another_one_gets_everything(tmp_path: Path) -> None:
    copy = FakeCopy(a="1", b="1")
    assert catch_up(copy, tmp_path) == ""
    copy.there.clear()
    copy.tokens.clear()
    copy.here["a"] = "2"
    assert catch_up(copy, tmp_path) == ""
    assert copy.there == copy.here
    copy.written.clear()
    copy.address = "another.example"
    assert mirror_of(copy, tmp_path).waiting() == ("a", "b")
    assert catch_up(copy, tmp_path) == ""
    assert copy.written == ["a", "b"]


def test_a_pass_with_no_time_begins_nothing_and_says_what_is_left(tmp_path: Path) -> None:
    copy = FakeCopy(a="1", b="1")
    told: list[str] = []
    assert mirror_of(copy, tmp_path).catch_up(told.append, within_s=-1) == "Copy lacks 2 of 2 things"
    assert told == ["Copy: 2 things are left for the next pass"]


def test_a_damaged_record_costs_a_comparison_and_nothing_else(tmp_path: Path) -> None:
    copy = FakeCopy(a="1")
    catch_up(copy, tmp_path)
    (tmp_path / "copy.json").write_text("{", encoding="utf-8")
    assert mirror_of(copy, tmp_path).waiting() == ("a",)
    assert catch_up(copy, tmp_path) == ""


URL = "mongodb://ana%40x:p%2Fss%3Aw@db.example:27017,db2.example/?authSource=admin"


@pytest.mark.parametrize("password", ["pa/s-word", "pa@s-word", "pa:s-word", "pa%s-word"])
def test_a_password_that_nobody_escaped_is_not_shown(password: str) -> None:
    url = f"mongodb://ana:{password}@127.0.0.1:1/?timeoutMS=200"
    assert without_login(url) == "mongodb://127.0.0.1:1"
    with pytest.raises(MirrorAway) as away, open_reviews(url, "reviews", timeout_s=1) as reviews:
        reviews.token("follower")
    assert not [part for part in ("s-word", "'pa") if part in str(away.value)]


def test_neither_login_nor_options_of_an_address_are_shown() -> None:
    assert without_login(URL) == "mongodb://db.example:27017,db2.example"
    said = without_secrets(f"could not reach {URL}\nas ana@x with p/ss:w", URL)
    assert said == "could not reach mongodb://***:***@db.example:27017,db2.example/?authSource=admin as *** with ***"
