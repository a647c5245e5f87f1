"""The newest reviews are those of all files, whatever changed in between, and only files that changed are read."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.params.reviews import DriftOptions
from mlops_assets.reviews.drift.drift import recent
from mlops_assets.reviews.drift.newest import newest_reviews
from mlops_assets.reviews.stored import columns, months
from mlops_assets.reviews.stored.usable import read_usable
from tests.review_reads import ReviewReads
from tests.unit.reviews.rows import frame, review

APPS, MONTHS = ("com.a", "com.b", "com.c"), ("2026-01", "2026-02", "2026-03")


class Reviews:
    """Months of three apps, with the newest reviews kept beside them."""

    def __init__(self, folder, monkeypatch):
        self.folder, self._monkeypatch = folder / "validated", monkeypatch
        self.kept = folder / "newest.parquet"
        self.written = 0

    @property
    def files(self):
        return months.files_below(self.folder)

    def rows(self, app: str, month: str, days) -> list[dict[str, object]]:
        self.written += len(days)
        return [
            review(
                f"{app}-{self.written - number:05}",
                app_id=app,
                review_text=f"teks {self.written - number}",
                review_date=f"{month}-{day:02}T12:00:00Z",
            )
            for number, day in enumerate(days)
        ]

    def write(self, app: str, month: str, days, *, before: pd.DataFrame | None = None) -> None:
        new = frame(*self.rows(app, month, days))
        columns.write_frame(
            columns.conform(new if before is None else pd.concat([before, new])), self.folder / app / f"{month}.parquet"
        )

    def newest(self, count: int) -> tuple[pd.DataFrame, set[str]]:
        """As a new process finds them, and the files that it read."""
        self._monkeypatch.setattr(months, "_remembered", months._Remembered())
        with self._monkeypatch.context() as counting:
            reads = ReviewReads(counting)
            found = newest_reviews(self.files, count, self.kept)
        return found, {name for name, path in self.files.items() if str(path) in reads.of_file}

    def expected(self, count: int) -> pd.DataFrame:
        return recent(read_usable(self.files), DriftOptions(recent_reviews=count)).reset_index(drop=True)


@pytest.fixture
def reviews(tmp_path, monkeypatch) -> Reviews:
    made = Reviews(tmp_path, monkeypatch)
    for app in APPS:
        for month in MONTHS:
            made.write(app, month, range(1, 29))
    return made


def test_only_the_month_that_changed_is_read_and_none_if_nothing_changed(reviews):
    assert reviews.newest(60)[1] == {f"{app}/2026-03.parquet" for app in APPS}
    assert reviews.newest(60)[1] == set()
    reviews.write("com.b", "2026-03", [29] * 20, before=columns.read_frame(reviews.files["com.b/2026-03.parquet"]))
    found, read = reviews.newest(60)
    assert read == {"com.b/2026-03.parquet"}
    pd.testing.assert_frame_equal(found, reviews.expected(60))
    assert (found["app_id"] == "com.b").sum() > 30


def test_a_change_in_an_older_month_is_not_read(reviews):
    reviews.newest(60)
    reviews.write("com.a", "2026-01", range(1, 20))
    assert reviews.newest(60)[1] == set()


def test_if_a_few_vanish_the_kept_spare_ones_step_in_and_if_many_do_the_others_are_read_again(reviews):
    reviews.newest(20)
    changed = "com.a/2026-03.parquet"
    columns.write_frame(columns.read_frame(reviews.files[changed]).iloc[:24], reviews.files[changed])
    found, read = reviews.newest(20)
    assert read == {changed}
    pd.testing.assert_frame_equal(found, reviews.expected(20))
    for app in ("com.a", "com.b"):
        reviews.write(app, "2026-03", [1])
    found, read = reviews.newest(20)
    assert read == {f"{app}/2026-03.parquet" for app in APPS}
    pd.testing.assert_frame_equal(found, reviews.expected(20))


@pytest.mark.parametrize("seed", range(3))
def test_after_any_changes_the_newest_are_the_same_as_without_what_was_kept(reviews, seed):
    rng = np.random.default_rng(seed)
    for _ in range(12):
        app, month = rng.choice(APPS), rng.choice([*MONTHS, "2026-04"], p=[0.1, 0.1, 0.6, 0.2])
        path = reviews.folder / app / f"{month}.parquet"
        stored = columns.read_frame(path) if path.is_file() else None
        if stored is not None and rng.random() < 0.2:
            path.unlink()
        elif stored is not None and rng.random() < 0.5:
            columns.write_frame(stored.iloc[: rng.integers(1, len(stored) + 1)], path)
        else:
            reviews.write(app, month, sorted(rng.integers(1, 29, rng.integers(1, 12))), before=stored)
        count = int(rng.choice([10, 20, 40]))
        pd.testing.assert_frame_equal(reviews.newest(count)[0], reviews.expected(count))


@pytest.mark.parametrize("content", [b"", b"PAR1", None])
def test_damaged_or_foreign_records_are_made_again(reviews, content):
    reviews.newest(20)
    if content is None:
        columns.write_frame(frame(review("x")), reviews.kept)
    else:
        reviews.kept.write_bytes(content)
    pd.testing.assert_frame_equal(reviews.newest(20)[0], reviews.expected(20))


def test_fewer_reviews_than_asked_for_are_all_of_them_and_no_files_none(reviews, tmp_path):
    for count in (2, 2):
        found, _ = reviews.newest(10_000)
        assert len(found) == len(reviews.expected(10_000)) == len(APPS) * len(MONTHS) * 28, count
    assert newest_reviews({}, 5, tmp_path / "none.parquet").columns.tolist() == list(months.COLUMNS)


def test_a_column_that_no_file_has_is_not_in_the_newest_either(reviews):
    for path in reviews.files.values():
        columns.write_table(columns.read_rows(path).drop_columns("rating"), path)
    for _ in range(2):
        assert "rating" not in reviews.newest(20)[0].columns
