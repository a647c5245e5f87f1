from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_assets.failures import TransientFailure
from mlops_assets.reviews.stored import columns, store
from mlops_assets.reviews.stored.store import ReviewStore, StoredChanges
from tests.unit.reviews.rows import APP, frame, history_months, review


@pytest.fixture
def reviews(tmp_path):
    return ReviewStore(tmp_path / "raw")


def stored(reviews: ReviewStore) -> dict[str, dict]:
    """review_id -> row, over all months; every review must be there once."""
    rows = [row for month in reviews.months(APP) for row in reviews.read(APP, month).to_dict("records")]
    assert max(Counter(row["review_id"] for row in rows).values(), default=1) == 1
    return {row["review_id"]: row for row in rows}


def texts(reviews: ReviewStore) -> dict[str, str]:
    return {review_id: row["review_text"] for review_id, row in stored(reviews).items()}


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.parquet")}


def identity(reviews: ReviewStore) -> tuple[int, int]:
    """Changes when January's file is written again."""
    stat = reviews.path(APP, "2026-01").stat()
    return stat.st_ino, stat.st_mtime_ns


def test_a_review_lies_in_the_utc_month_of_its_date(reviews):
    reviews.upsert(
        APP, frame(review("1", review_date="2026-02-01T06:59:00+07:00"), review("2", review_date="2026-02-01"))
    )
    assert reviews.apps() == [APP]
    assert reviews.months(APP) == ["2026-01", "2026-02"]
    assert reviews.read(APP, "2026-01")["review_id"].tolist() == ["1"]
    assert reviews.count(APP) == 2


def test_a_month_that_is_not_there_reads_as_no_rows_with_types(reviews):
    assert reviews.read(APP, "2026-01").dtypes.equals(columns.empty().dtypes)
    assert reviews.months(APP) == []
    assert reviews.apps() == []


def test_the_same_rows_again_change_nothing(reviews):
    rows = frame(review("1"), review("2", review_text=None, rating=None))
    assert reviews.upsert(APP, rows).new == 2
    before = identity(reviews)
    report = reviews.upsert(APP, rows)
    assert (report.unchanged, report.new, report.months) == (2, 0, ())
    assert identity(reviews) == before


def test_only_the_months_of_changed_reviews_are_rewritten(reviews):
    reviews.upsert(APP, frame(review("1"), review("2", review_date="2026-03-01", scraped_at="2026-04-01")))
    untouched = identity(reviews)
    report = reviews.upsert(APP, frame(review("2", review_date="2026-03-01", thumbs_up=3, scraped_at="2026-05-01")))
    assert (report.updated, report.months) == (1, ("2026-03",))
    assert identity(reviews) == untouched


def test_an_edited_review_moves_to_its_new_month_and_leaves_its_old_text_in_the_history(reviews):
    reviews.upsert(APP, frame(review("1", review_text="bagus"), review("2")))
    edit = review("1", review_text="jelek", rating=1, review_date="2026-02-03", scraped_at="2026-03-01")
    report = reviews.upsert(APP, frame(edit))
    assert (report.edited, report.moved, report.new, report.months) == (1, 1, 0, ("2026-01", "2026-02"))
    assert texts(reviews) == {"1": "jelek", "2": "aplikasi bagus"}
    assert history_months(reviews) == ["2026-01"]
    assert reviews.read_history(APP, "2026-01")["review_text"].tolist() == ["bagus"]


def test_the_last_review_of_a_month_may_move_away(reviews):
    reviews.upsert(APP, frame(review("1")))
    reviews.upsert(APP, frame(review("1", review_date="2026-02-03", scraped_at="2026-03-01")))
    assert reviews.read(APP, "2026-01").empty
    assert list(stored(reviews)) == ["1"]


def test_an_older_version_that_comes_later_goes_to_the_history_once(reviews):
    reviews.upsert(APP, frame(review("1", review_text="baru", review_date="2026-02-03", scraped_at="2026-03-01")))
    older = frame(review("1", review_text="lama"))
    assert reviews.upsert(APP, older).outdated == 1
    reviews.upsert(APP, older)
    assert texts(reviews) == {"1": "baru"}
    assert reviews.read_history(APP, "2026-01")["review_text"].tolist() == ["lama"]


def test_within_one_batch_the_newest_version_wins_and_the_other_is_history(reviews):
    new = review("1", review_text="baru", scraped_at="2026-03-01")
    report = reviews.upsert(APP, frame(new, review("1", review_text="lama")))
    assert report.new == 1
    assert texts(reviews) == {"1": "baru"}
    assert reviews.read_history(APP, "2026-01")["review_text"].tolist() == ["lama"]


def test_a_reply_that_arrives_later_updates_the_row_without_a_version(reviews):
    reviews.upsert(APP, frame(review("1")))
    report = reviews.upsert(APP, frame(review("1", reply_text="Halo Kak", scraped_at="2026-03-01")))
    assert (report.updated, report.edited) == (1, 0)
    assert stored(reviews)["1"]["reply_text"] == "Halo Kak"
    assert history_months(reviews) == []


def test_a_reply_that_the_same_source_no_longer_shows_goes(reviews):
    reviews.upsert(APP, frame(review("1", reply_text="Halo Kak")))
    reviews.upsert(APP, frame(review("1", scraped_at="2026-03-01")))
    assert columns.to_table(reviews.read(APP, "2026-01"))["reply_text"].to_pylist() == [None]


def test_another_source_without_the_column_erases_nothing(reviews):
    reviews.upsert(APP, frame(review("1", app_version="3.1", author="abc")))
    reviews.upsert(APP, frame(review("1", source="play_store", scraped_at="2026-03-01")))
    row = stored(reviews)["1"]
    assert (row["app_version"], row["author"], row["source"]) == ("3.1", "abc", "play_store")


def test_an_import_leaves_the_provenance_of_collected_reviews(reviews):
    reviews.upsert(APP, frame(review("1", source="play_store")))
    report = reviews.upsert(APP, frame(review("1", source="import", scraped_at="2026-03-01")))
    assert report.unchanged == 1
    assert stored(reviews)["1"]["source"] == "play_store"


def test_a_deleted_review_stays_with_its_time_until_it_is_seen_again(reviews):
    reviews.upsert(APP, frame(review("1"), review("2")))
    at = datetime(2026, 2, 10, tzinfo=UTC)
    assert reviews.mark_deleted(APP, ["1", "unknown"], at) == 1
    assert reviews.mark_deleted(APP, ["1"], at) == 0
    reviews.upsert(APP, frame(review("1")))
    assert stored(reviews)["1"]["deleted_at"] == at
    reviews.upsert(APP, frame(review("1", scraped_at="2026-03-01")))
    assert reviews.read(APP, "2026-01")["deleted_at"].isna().all()


def test_an_erased_review_is_in_no_month_and_in_no_history(reviews):
    reviews.upsert(APP, frame(review("1", review_text="rahasia"), review("2")))
    reviews.upsert(APP, frame(review("1", review_text="lain", review_date="2026-02-03", scraped_at="2026-03-01")))
    assert reviews.erase(APP, ["1"]) == 2
    assert list(stored(reviews)) == ["2"]
    assert reviews.read_history(APP, "2026-01").empty
    assert reviews.erase(APP, ["1"]) == 0


def test_rows_of_another_app_are_refused(reviews):
    with pytest.raises(ValueError, match=r"com\.other\.app"):
        reviews.upsert(APP, frame(review("1", app_id="com.other.app")))


class Killed(BaseException):
    """The process ends here."""


def move(reviews: ReviewStore) -> None:
    reviews.upsert(
        APP,
        frame(
            review("1", review_text="baru", review_date="2026-02-03", scraped_at="2026-03-01"),
            review("2", review_date="2026-03-03", scraped_at="2026-03-04"),
            review("9", review_date="2026-01-05"),
        ),
    )


def begun(folder: Path) -> ReviewStore:
    reviews = ReviewStore(folder)
    reviews.upsert(APP, frame(review("1", review_text="lama"), review("2"), review("3")))
    return reviews


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    move(begun(folder))
    return content(folder)


@pytest.mark.parametrize("survived", range(10))
def test_killed_at_any_rename_no_review_is_lost_or_doubled_and_a_rerun_heals(
    tmp_path, monkeypatch, undisturbed, survived
):
    killed = begun(tmp_path / "b")
    renames = 0
    replace = Path.replace

    def dies(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames > survived:
            raise Killed
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies)
        try:
            move(killed)
            finished = True
        except Killed:
            finished = False
    assert finished == (survived >= 9)  # four staged files, the marker, four renames
    reopened = ReviewStore(tmp_path / "b")
    assert set(stored(reopened)) in ({"1", "2", "3"}, {"1", "2", "3", "9"})
    if texts(reopened)["1"] == "baru":
        assert reopened.read_history(APP, "2026-01")["review_text"].tolist() == ["lama", "aplikasi bagus"]
    move(reopened)
    assert content(tmp_path / "b") == undisturbed
    assert not list((tmp_path / "b").rglob(".pending-*"))


def test_a_second_writer_waits_and_then_says_who_holds_the_lock(reviews, monkeypatch):
    monkeypatch.setattr(store, "LOCK_TIMEOUT_S", 0.05)
    with reviews.writing(APP), pytest.raises(TransientFailure, match=APP):
        ReviewStore(reviews.folder).upsert(APP, frame(review("1")))


def test_an_equal_batch_is_not_compared_with_untouched_files_again(reviews, monkeypatch):
    rows = frame(review("1"), review("2", review_date="2026-03-01", scraped_at="2026-04-01"))
    assert reviews.take_batch(APP, rows).new == 2
    with monkeypatch.context() as patched:
        patched.setattr(columns, "read_rows", lambda *_: pytest.fail("a stored file was read"))
        assert reviews.take_batch(APP, rows) == StoredChanges(unchanged=2)
    assert reviews.take_batch(APP, rows.assign(thumbs_up=9)).updated == 2
    assert reviews.take_batch(APP, rows.assign(thumbs_up=9)) == StoredChanges(unchanged=2)


def test_a_batch_is_compared_again_once_a_file_of_the_app_was_written(reviews):
    rows = frame(review("1"), review("2"))
    reviews.take_batch(APP, rows)
    reviews.erase(APP, ["2"])
    assert reviews.take_batch(APP, rows).new == 1
