"""Usable reviews: read once in a process, labelled once on disk, and never out of date."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_assets.params.choices import LabelRule
from mlops_assets.params.reviews import Sides
from mlops_assets.reviews.stored import columns, months, usable
from mlops_assets.reviews.stored.columns import UnknownColumns
from mlops_assets.reviews.stored.counts import Counts, Labelling, count
from mlops_assets.reviews.stored.split import Split
from mlops_assets.text import text_digest
from tests.review_reads import ReviewReads
from tests.unit.reviews.rows import APP, frame, review

ALL_TEST = {"train": 1, "validation": 1, "gate": 1, "test": 97}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    another_process(monkeypatch)
    folder = tmp_path / "validated"
    rows = [review(f"r{stars}", rating=stars, review_text=f"teks {stars}") for stars in (1, 3, 5)]
    columns.write_frame(frame(*rows), folder / APP / "2026-01.parquet")
    columns.write_frame(frame(review("r6", review_date="2026-02-01T00:00:00Z")), folder / APP / "2026-02.parquet")
    return folder


def another_process(monkeypatch) -> None:
    """What a new process begins with: nothing in memory."""
    monkeypatch.setattr(months, "_remembered", months._Remembered())


def labelling(folder, rule: LabelRule = "binary", sides=None, smallest_gate: int | None = None) -> Labelling:
    return Labelling(rule, Sides.from_params(sides or {}), folder.parent / "sides", smallest_gate=smallest_gate)


def labelled_frame(files: dict[str, Path], labelling: Labelling) -> pd.DataFrame:
    split = Split.parse(count(files, labelling).split)
    return usable.read_chosen(usable.outline(files, labelling, split), files)


def test_files_are_read_once_until_one_is_written_or_removed(folder, monkeypatch):
    reads = ReviewReads(monkeypatch)
    ids = [usable.read_usable(months.files_below(folder))["review_id"].tolist() for _ in range(2)]
    assert ids == [["r1", "r3", "r5", "r6"]] * 2
    assert reads.most == 1
    columns.write_frame(frame(review("r7")), folder / APP / "2026-01.parquet")
    assert usable.read_usable(months.files_below(folder))["review_id"].tolist() == ["r7", "r6"]
    (folder / APP / "2026-01.parquet").unlink()
    assert usable.read_usable(months.files_below(folder))["review_id"].tolist() == ["r6"]


def test_what_a_caller_changes_is_not_what_the_next_one_gets(folder):
    files = months.files_below(folder)
    first, second = usable.read_usable(files), usable.read_usable(files)
    first["review_text"] = "changed"
    second.loc[0, "review_text"] = "changed"
    assert "changed" not in usable.read_usable(files)["review_text"].tolist()


def test_copies_of_the_files_need_not_be_read_again(folder, tmp_path, monkeypatch):
    files = months.files_below(folder)
    usable.read_usable(files)
    for name, path in files.items():
        columns.write_bytes(path.read_bytes(), tmp_path / "copy" / name)
    copies = months.files_below(tmp_path / "copy")
    months.are_copies(files, copies)
    reads = ReviewReads(monkeypatch)
    assert len(usable.read_usable(copies)) == 4
    assert reads.most == 0


@pytest.mark.parametrize(("count", "found"), [(1, ["r6"]), (2, ["r1", "r3", "r5", "r6"])])
def test_the_newest_reviews_come_in_whole_months_and_older_months_are_not_read(folder, monkeypatch, count, found):
    reads = ReviewReads(monkeypatch)
    assert usable.read_newest(months.files_below(folder), count)["review_id"].tolist() == found
    assert sum(reads.of_review.values()) == len(found)


def test_no_files_are_no_reviews_with_the_usual_columns():
    assert usable.read_usable({}).columns.tolist() == list(usable.COLUMNS)


def test_labels_and_sides_are_made_once_for_all_processes(folder, monkeypatch):
    files = months.files_below(folder)
    made = labelled_frame(files, labelling(folder))
    assert made["label"].fillna("none").tolist() == ["negative", "none", "positive", "positive"]
    another_process(monkeypatch)
    monkeypatch.setattr(months, "text_key", None)  # would fail if it were called
    pd.testing.assert_frame_equal(labelled_frame(files, labelling(folder)), made)
    another_process(monkeypatch)
    reads = ReviewReads(monkeypatch)
    counts: Counts = count(files, labelling(folder))
    assert (counts.labelled, counts.labels, counts.rows) == (3, {"negative": 1, "positive": 2}, {APP: 3})
    assert counts.months == ["2026-01", "2026-02"]
    assert reads.most == 0


def test_another_rule_other_shares_and_new_reviews_are_labelled_anew(folder, monkeypatch):
    files = months.files_below(folder)
    labelled_frame(files, labelling(folder))
    another_process(monkeypatch)
    assert count(files, labelling(folder, "ternary")).labels == {"negative": 1, "neutral": 1, "positive": 2}
    assert count(files, labelling(folder, "ternary", ALL_TEST)).sides == {"test": 4}
    columns.write_frame(frame(review("r8", rating=1)), folder / APP / "2026-02.parquet")
    assert count(months.files_below(folder), labelling(folder)).labels == {"negative": 2, "positive": 1}


def test_a_gate_side_that_was_smaller_once_deals_the_reviews_anew(folder, monkeypatch):
    """What was kept holds while the split is the same, as in the run that first puts it on record."""
    rows = [review(f"r{n}", review_text=f"teks {n}", rating=1 + 4 * (n % 2)) for n in range(300)]
    columns.write_frame(frame(*rows), folder / APP / "2026-01.parquet")
    files = months.files_below(folder)
    at_first = labelled_frame(files, labelling(folder))["side"]
    another_process(monkeypatch)
    reads = ReviewReads(monkeypatch)
    counts = count(files, labelling(folder, smallest_gate=30))
    assert (reads.most, counts.texts, counts.sides["gate"]) == (0, 301, int((at_first == "gate").sum()))
    later = labelled_frame(files, labelling(folder, smallest_gate=12))["side"]
    assert 0 < (later == "gate").sum() < (at_first == "gate").sum()
    assert set(at_first[later != at_first]) == {"gate"}
    assert count(files, labelling(folder, smallest_gate=12)).split == str(Split.nested(12))


def test_a_gate_side_that_became_smaller_is_no_other_training_data_and_fixed_sides_are(folder):
    rows = [review(f"r{n}", review_text=f"teks {n}", rating=1 + 4 * (n % 2)) for n in range(100)]
    columns.write_frame(frame(*rows), folder / APP / "2026-01.parquet")
    files = months.files_below(folder)
    data = {gate: count(files, labelling(folder, smallest_gate=gate)).training_data for gate in (30, 12)}
    assert data[30] == data[12]
    fixed = [
        count(files, labelling(folder, sides={"train": train, "validation": 10, "gate": 80 - train, "test": 10}))
        for train in (50, 20)
    ]
    assert fixed[0].training_data != fixed[1].training_data


@pytest.mark.parametrize("damage", ["", "{}", '{"format": 0}', "[]"])
def test_damaged_counts_are_counted_again(folder, damage):
    files = months.files_below(folder)
    before = count(files, labelling(folder))
    (record,) = labelling(folder).kept.glob("*.json")
    record.write_text(damage)
    assert count(files, labelling(folder)) == before


def test_a_month_that_changed_is_the_only_one_that_is_read_again_and_counts_are_those_of_all(folder, monkeypatch):
    files = months.files_below(folder)
    count(files, labelling(folder))
    columns.write_frame(
        frame(review("r8", rating=1, review_date="2026-02-01T00:00:00Z")), files[f"{APP}/2026-02.parquet"]
    )
    another_process(monkeypatch)
    reads = ReviewReads(monkeypatch)
    after = count(files, labelling(folder))
    assert dict(reads.of_review) == {"r8": 1}
    assert after == count(files, replace(labelling(folder), kept=folder.parent / "anew"))


def test_how_reviews_lie_in_months_is_no_training_data_and_their_texts_and_labels_are(folder, tmp_path):
    def data(*of_months: list[dict[str, Any]]) -> str:
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        for month, rows in enumerate(of_months, start=1):
            columns.write_frame(frame(*rows), place / APP / f"2026-{month:02}.parquet")
        return count(months.files_below(place), replace(labelling(folder), kept=place / "kept")).training_data

    one, two, other = (review(f"r{n}", review_text=f"teks {n}") for n in range(3))
    assert data([one, two]) == data([two], [one])
    assert len({data([one, two]), data([one, other]), data([one]), data([one, two, two | {"review_id": "r9"}])}) == 4
    assert data([one, two]) != data([one, two | {"rating": 1}])


def test_dates_are_read_of_the_asked_files_alone(folder, monkeypatch):
    files = months.files_below(folder)
    outlined = usable.outline(files, labelling(folder), Split.nested(30))
    another_process(monkeypatch)
    reads = ReviewReads(monkeypatch)
    late = usable.with_dates(outlined[outlined["month"] == "2026-02"], files)
    assert [f"{date:%F}" for date in late["review_date"]] == ["2026-02-01"]
    assert list(reads.of_review) == ["r6"]


def test_training_takes_labelled_reviews_and_texts_without_a_label_and_refuses_other_columns(folder):
    trained_on = usable.training_frame(folder, "binary")
    assert usable.labelled(trained_on)["review_id"].tolist() == ["r1", "r5", "r6"]
    sides = trained_on.assign(side=["train"] * len(trained_on))
    others = trained_on["review_text"][trained_on["label"].isna()]
    assert usable.unlabelled_texts(sides) == list(others)
    assert usable.unlabelled_texts(sides.assign(side="test")) == []
    rows = columns.read_rows(folder / APP / "2026-02.parquet").drop_columns("author")
    columns.write_table(rows, folder / APP / "2026-02.parquet")
    with pytest.raises(UnknownColumns, match="column author is missing"):
        usable.training_frame(folder, "binary")


def test_a_persons_label_beats_the_stars(folder):
    files, plain = months.files_below(folder), labelling(folder)
    before = count(files, plain)
    said = {"teks 1": "positive", "teks 3": "negative", "teks 5": "neutral"}
    people = replace(plain, people={text_digest(text): label for text, label in said.items()})
    frame = labelled_frame(files, people).set_index("review_id")
    assert frame["label"].fillna("none").to_dict() == {
        "r1": "positive",
        "r3": "negative",
        "r5": "none",
        "r6": "positive",
    }
    assert frame["person"].fillna("none").tolist() == ["positive", "negative", "neutral", "none"]
    assert count(files, people).training_data != before.training_data


def test_a_label_that_agrees_with_the_stars_changes_no_training_data(folder):
    files, plain = months.files_below(folder), labelling(folder)
    people = replace(plain, people={text_digest("teks 1"): "negative", text_digest("unknown"): "positive"})
    assert count(files, people).training_data == count(files, plain).training_data
