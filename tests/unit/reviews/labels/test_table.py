"""The table of people's labels: durable, merged without loss, and what people agree on."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops_assets.reviews.labels.agreed import agreed, agreement
from mlops_assets.reviews.labels.table import BadLabel, BrokenTable, Given, How, LabelTable, person

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def given(text: str, answer, by: str, minute: int, how: How = "page") -> Given:
    return Given(text, answer, by, (NOW + timedelta(minutes=minute)).isoformat(timespec="microseconds"), how)


def test_each_label_is_on_disk_at_once_and_an_unfinished_line_is_dropped(tmp_path: Path):
    table = LabelTable(tmp_path)
    table.add("a", "positive", "Ani", now=NOW)
    with table.path.open("ab") as file:  # killed while it wrote
        file.write(b'{"answer": "neg')
    assert [each.text for each in LabelTable(tmp_path).given()] == ["a"]
    LabelTable(tmp_path).add("b", "negative", "Ani", now=NOW)
    assert [(each.text, each.answer) for each in table.given()] == [("a", "positive"), ("b", "negative")]


def test_a_later_label_of_the_same_person_wins_even_within_one_instant(tmp_path: Path):
    table = LabelTable(tmp_path)
    for answer in ("positive", "negative", None, "neutral"):
        table.add("a", answer, "Ani", now=NOW)
    assert agreed(table.given()) == {"a": "neutral"}
    table.add("a", None, "Ani", now=NOW)
    assert agreed(table.given()) == {}


def test_the_majority_wins_and_a_tie_goes_to_the_newest():
    two = [given("a", "positive", "Ani", 1), given("a", "negative", "Budi", 2)]
    assert agreed(two) == {"a": "negative"}
    assert agreed([*two, given("a", "positive", "Citra", 0)]) == {"a": "positive"}
    assert (agreement(two).texts, agreement(two).alike) == (1, 0)
    assert agreed([given("a", "skip", "Ani", 1)]) == {}


def test_feedback_decides_only_where_nobody_labelled():
    feedback = [given("a", "negative", name, 5, "feedback") for name in ("shop", "app")]
    assert agreed(feedback) == {"a": "negative"}
    assert agreed([*feedback, given("a", "positive", "Ani", 1)]) == {"a": "positive"}


def test_two_clones_merge_in_either_order_to_the_same_table(tmp_path: Path):
    one, two = LabelTable(tmp_path / "one"), LabelTable(tmp_path / "two")
    one.add("a", "positive", "Ani", now=NOW)
    two.merge(one.path.read_text())
    one.add("b", "negative", "Ani", now=NOW)
    two.add("a", "negative", "Budi", now=NOW + timedelta(minutes=1))
    theirs, mine = two.path.read_text(), one.path.read_text()
    assert (one.merge(theirs), two.merge(mine)) == (1, 1)
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.merge(theirs) == 0


def test_what_was_erased_does_not_come_back_from_another_clone(tmp_path: Path):
    one, two = LabelTable(tmp_path / "one"), LabelTable(tmp_path / "two")
    one.add("a", "positive", "Ani", now=NOW)
    one.add("b", "positive", "Ani", now=NOW)
    two.merge(one.path.read_text())
    assert one.erase({"a", "unknown"}) == 1
    assert '"a"' not in one.path.read_text()
    one.merge(two.path.read_text())
    two.keep_erased(one)
    assert [each.text for each in one.given()] == [each.text for each in two.given()] == ["b"]
    one.add("a", "negative", "Ani", now=NOW)
    assert agreed(one.given())["a"] == "negative"


def test_a_damaged_line_is_named(tmp_path: Path):
    table = LabelTable(tmp_path)
    table.add("a", "positive", "Ani", now=NOW)
    table.path.write_text(table.path.read_text() + "no label\n")
    with pytest.raises(BrokenTable, match=r"line 2 of .*labels.jsonl is no label"):
        table.given()


@pytest.mark.parametrize("name", ["", " ", "a" * 65, "a\x00b"])
def test_a_name_must_be_one(name: str):
    with pytest.raises(BadLabel, match="labeller's name"):
        person(name)


def test_a_label_must_be_known(tmp_path: Path):
    with pytest.raises(BadLabel, match="negative, neutral, positive, skip, got 'great'"):
        LabelTable(tmp_path).add("a", "great", "Ani", now=NOW)  # pyright: ignore[reportArgumentType]
