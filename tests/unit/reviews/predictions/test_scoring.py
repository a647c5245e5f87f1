"""Predictions follow the data and the model month by month, within their minutes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_assets.reviews.predictions import unseen as unseen_module
from mlops_assets.reviews.predictions.month import read_month
from mlops_assets.reviews.predictions.older_file import take_over
from mlops_assets.reviews.predictions.scoring import Budget
from mlops_assets.reviews.predictions.stored import Predictions, progress_of
from mlops_assets.reviews.predictions.unseen import unseen
from mlops_assets.reviews.stored.erase import erase
from mlops_assets.text import text_digest
from tests.review_reads import ReviewReads
from tests.unit.reviews.predictions.scored import (
    FIRST,
    LABELS,
    LAST,
    LATER,
    Clock,
    FakeModel,
    Place,
    answered,
    bytes_moved,
)
from tests.unit.reviews.rows import APP

JANUARY, FEBRUARY, MARCH = "2026-01", "2026-02", "2026-03"
OTHER = "com.other.app"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Three months of two reviews each."""
    place = Place(tmp_path)
    for number, month in enumerate((JANUARY, FEBRUARY, MARCH)):
        place.write(month, {f"good{number}": f"bagus {number}", f"bad{number}": f"jelek {number}"})
    return place


def test_every_review_has_its_answer_and_each_distinct_text_is_asked_once(tmp_path: Path) -> None:
    place, model = Place(tmp_path), FakeModel()
    place.write(JANUARY, {"a": "bagus", "b": "Bagus ", "c": "jelek"})
    place.write(FEBRUARY, {"d": "bagus"})
    place.score(model)
    assert sorted(model.asked) == ["bagus", "jelek"]
    rows = place.rows()
    assert rows["sentiment"].to_dict() == {"a": "positive", "b": "positive", "c": "negative", "d": "positive"}
    assert set(rows["model_version"]) == {"m1"}
    assert "review_text" not in rows


def test_new_and_edited_reviews_touch_their_month_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel()
    place.score(model)
    before = place.files()
    place.write(FEBRUARY, {"good1": "bagus 1", "bad1": "jelek sekali", "new": "bagus sekali"})
    model.asked.clear()
    reads = ReviewReads(monkeypatch)
    place.score(model, LATER)
    assert sorted(model.asked) == ["bagus sekali", "jelek sekali"]
    changed = {name for name, inode in place.files().items() if before[name] != inode}
    assert changed == {f"{APP}/{FEBRUARY}.parquet"}
    assert set(reads.of_review) == {"good1", "bad1", "new"}
    assert place.rows().loc[["good1", "bad1", "new"], "first_scored"].tolist() == [FIRST, LATER, LATER]


def test_what_is_read_and_written_follows_the_touched_month(tmp_path: Path) -> None:
    place, model = Place(tmp_path), FakeModel()
    months = [f"{year}-{month:02}" for year in (2024, 2025) for month in range(1, 13)]
    for month in months:
        place.write(month, {f"{month}-{number}": f"bagus {number} {month}" for number in range(300)})
    before = bytes_moved()
    place.score(model)
    everything = bytes_moved() - before
    place.write(months[5], {f"{months[5]}-{number}": f"jelek {number}" for number in range(301)})
    before = bytes_moved()
    place.score(model, LATER)
    assert bytes_moved() - before < everything / len(months) * 3


def test_with_nothing_new_no_file_is_read_or_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel()
    place.score(model)
    before, reads = place.files(), ReviewReads(monkeypatch)
    place.score(model, LATER)
    assert (place.files(), dict(reads.of_file)) == (before, {})


def test_removed_reviews_and_months_leave_the_predictions_even_without_time(place: Place) -> None:
    place.score(FakeModel())
    place.write(FEBRUARY, {"good1": "bagus 1"})
    (place.validated / APP / f"{JANUARY}.parquet").unlink()
    clock = Clock()
    budget = Budget(1, clock)
    clock.now_s = 60
    assert place.score(FakeModel(), LATER, budget).progress().reviews == 3
    assert sorted(place.rows().index) == ["bad2", "good1", "good2"]


def test_after_a_promotion_the_newest_months_come_first_and_the_next_runs_do_the_rest(place: Place) -> None:
    place.write(MARCH, {"other": "bagus lain"}, app=OTHER)
    place.score(FakeModel())
    clock = Clock()
    second = FakeModel("m2", clock=clock, seconds_a_text=30)
    progress = place.score(second, LATER, Budget(1, clock)).progress()
    assert sorted(second.asked) == ["bagus 2", "jelek 2"]
    assert (progress.answered, progress.earlier, progress.waiting) == (2, {"m1": 5}, 0)
    assert str(progress) == "model m2 answered 2 of 7 reviews, 5 still have an answer of model m1"
    rows = place.rows()["model_version"]
    assert {name: version for name, version in rows.items() if version == "m2"} == {"good2": "m2", "bad2": "m2"}
    while progress.behind:
        before = progress.answered
        progress = place.score(second, LAST, Budget(1, clock)).progress()
        assert progress.answered > before
    assert len(second.asked) == 7
    assert set(place.rows()["first_scored"]) == {LATER}, "all were there at the model's first run"
    assert progress_of(place.folder) == progress


def test_new_reviews_are_answered_before_older_ones_are_answered_again(place: Place) -> None:
    place.score(FakeModel())
    place.write(JANUARY, {"good0": "bagus 0", "bad0": "jelek 0", "late": "bagus telat"})
    clock = Clock()
    second = FakeModel("m2", clock=clock, seconds_a_text=60)
    place.score(second, LATER, Budget(1, clock))
    assert second.asked == ["bagus telat"]


def test_reviews_that_waited_for_their_first_answer_count_as_seen_in_the_first_run(place: Place) -> None:
    clock = Clock()
    model = FakeModel(clock=clock, seconds_a_text=30)
    progress = place.score(model, FIRST, Budget(1, clock)).progress()
    assert (progress.answered, progress.earlier, progress.waiting) == (2, {}, 4)
    assert str(progress) == "model m1 answered 2 of 6 reviews, 4 have none yet"
    place.write("2026-04", {"arrived": "bagus baru"})
    place.score(model, LATER, None)
    first_scored = place.rows()["first_scored"]
    assert {name for name, time in first_scored.items() if time == LATER} == {"arrived"}


def test_time_that_ends_within_a_month_keeps_what_was_answered(tmp_path: Path) -> None:
    place, clock = Place(tmp_path), Clock()
    place.write(JANUARY, {f"r{number}": f"bagus {number}" for number in range(1500)})
    progress = place.score(FakeModel(clock=clock, seconds_a_text=1), FIRST, Budget(10, clock)).progress()
    assert (progress.answered, progress.waiting) == (1000, 500)
    again = FakeModel()
    assert place.score(again, LATER).progress().waiting == 0
    assert len(again.asked) == 500
    assert set(place.rows()["first_scored"]) == {FIRST}


def test_a_killed_run_loses_one_month(place: Place) -> None:
    class Killed(BaseException):
        pass

    class Dies(FakeModel):
        def probabilities(self, texts):
            if "bagus 1" in texts:
                raise Killed
            return super().probabilities(texts)

    with pytest.raises(Killed):
        place.score(Dies())
    model = FakeModel()
    place.score(model, LATER)
    assert sorted(model.asked) == ["bagus 0", "bagus 1", "jelek 0", "jelek 1"]


@pytest.mark.parametrize("damage", ["{", None, json.dumps({"model_version": "m1", "dataset_version": "d1"})])
def test_a_damaged_or_missing_index_is_made_again_without_the_model(place: Place, damage: str | None) -> None:
    first = place.score(FakeModel())
    index = place.folder / "index.json"
    index.unlink()
    if damage:
        index.write_text(damage)
    model = FakeModel()
    again = place.score(model, LATER)
    assert (model.asked, again.months) == ([], first.months)


def test_an_erased_review_leaves_the_predictions_and_their_numbers(place: Place) -> None:
    place.score(FakeModel())
    name = f"data/predictions/{APP}/{FEBRUARY}.parquet"
    assert erase(place.folder.parent, review="bad1").rows == {name: 1}
    assert "bad1" not in place.rows().index
    progress = progress_of(place.folder)
    assert progress is not None
    assert progress.answered == 5


def test_answers_to_unseen_texts_follow_changes_erasures_and_the_model(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expected(model: str) -> dict[str, float]:
        rows = place.rows()
        return rows[(rows["side"] != "train") & (rows["model_version"] == model)]["confidence"].to_dict()

    def found() -> dict[str, float]:
        return unseen(Predictions.read(place.folder)).set_index("review_id")["confidence"].to_dict()

    for month in (JANUARY, FEBRUARY):
        place.write(month, {f"{month}-{number}": f"bagus {number} {month}" for number in range(60)})
    place.score(FakeModel())
    assert len(found()) > 10
    assert found() == expected("m1")
    place.write(FEBRUARY, {f"{FEBRUARY}-{number}": f"jelek {number} {FEBRUARY}" for number in range(70)})
    place.score(FakeModel(), LATER)
    read: list[str] = []
    with monkeypatch.context() as patched:

        def counted(path: Path, names: list[str]) -> pa.Table:
            read.append(path.stem)
            return read_month(path, names)

        patched.setattr(unseen_module, "read_month", counted)
        assert found() == expected("m1")
    assert read == [FEBRUARY]
    gone = next(iter(expected("m1")))
    erase(place.folder.parent, review=gone)
    assert gone not in pq.read_table(place.folder / "unseen.parquet")["review_id"].to_pylist()
    assert found() == expected("m1")
    place.score(FakeModel("m2", positive=0.9), LAST)
    assert found() == expected("m2")
    (place.folder / "unseen.parquet").write_bytes(b"torn")
    assert found() == expected("m2")


def test_the_one_file_of_older_versions_is_divided_and_nothing_is_asked_again(place: Place) -> None:
    place.score(FakeModel())
    tables = [pq.read_table(path) for path in sorted(place.folder.glob("*/*.parquet"))]
    old = _with_digests(pa.concat_tables(tables), place).drop_columns(["model_version"])
    about = json.dumps({"model_version": "m1", "dataset_version": "d0", "labels": LABELS})
    data, rows = place.folder.parent, place.rows()
    shutil.rmtree(place.folder)
    pq.write_table(old.replace_schema_metadata({"predictions": about}), data / "predictions.parquet")
    take_over(data)
    model = FakeModel()
    place.score(model, LATER)
    assert model.asked == []
    pd.testing.assert_frame_equal(place.rows(), rows)
    assert not (data / "predictions.parquet").exists()


def test_months_with_digests_of_an_older_version_are_read_and_nothing_is_asked_again(place: Place) -> None:
    place.score(FakeModel())
    rows = place.rows()
    for path in place.folder.glob("*/*.parquet"):
        old = pq.read_table(path)
        about = {b"predictions": pq.read_metadata(path).metadata[b"predictions"]}
        pq.write_table(_with_digests(old, place).replace_schema_metadata(about), path)
    place.write(MARCH, {"good2": "bagus 2", "bad2": "jelek 2", "new": "bagus sekali"})
    model = FakeModel()
    place.score(model, LATER)
    assert model.asked == ["bagus sekali"]
    pd.testing.assert_frame_equal(place.rows().loc[rows.index], rows)


def _with_digests(table: pa.Table, place: Place) -> pa.Table:
    """The predictions as older versions wrote them: with a digest of each text."""
    digests = {
        row["review_id"]: text_digest(row["review_text"])
        for path in place.validated.glob("*/*.parquet")
        for row in pq.read_table(path, columns=["review_id", "review_text"]).to_pylist()
    }
    column = pa.array([digests[review_id] for review_id in table["review_id"].to_pylist()])
    return table.set_column(table.column_names.index("text_key"), "text", column)


def test_an_answer_keeps_its_labels_probabilities(tmp_path: Path) -> None:
    reviews = pd.DataFrame({"review_id": ["a"], "app_id": [APP], "review_text": ["bagus"]})
    reviews["review_date"] = pd.Timestamp("2026-01-01", tz="UTC")
    table = answered(reviews, FakeModel(positive=0.75))
    assert np.allclose(table["probabilities"].to_pylist(), [[0.25, 0.75]])
    assert Predictions.read(tmp_path).months == {}
