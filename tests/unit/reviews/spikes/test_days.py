"""Counts by day follow the files. Only a month that changed is read, and a day that is not over does not count."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from mlops_assets.reviews.spikes.days import count_days, negative_texts
from mlops_assets.reviews.stored import columns
from tests.unit.reviews.rows import APP, frame, review

NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)


def rated(day: str, rating: int | None, version: str | None = "1.0", collected: str = "2026-03-10T06:00:00Z") -> dict:
    return review(
        f"{day}{rating}{version}",
        review_date=f"{day}T20:00:00Z",
        rating=rating,
        app_version=version,
        scraped_at=collected,
    )


def month(folder: Path, *reviews: dict) -> dict[str, Path]:
    name = f"{APP}/{reviews[0]['review_date'][:7]}.parquet"
    columns.write_frame(frame(*reviews), folder / name)
    return {name: folder / name}


def test_reviews_are_counted_by_day_and_version_up_to_the_last_day_that_has_ended(tmp_path: Path) -> None:
    files = month(tmp_path, rated("2026-02-27", 1), rated("2026-02-28", 2), rated("2026-02-28", 5, "1.1"))
    files |= month(tmp_path, rated("2026-03-09", 1, None), rated("2026-03-09", None), rated("2026-03-10", 1))
    found = count_days(files, tmp_path / "kept.json", NOW, 90)[APP]
    # 27 February is the first day of all, of which a collection may have only the evening.
    assert (found.first, found.day(len(found.reviews) - 1)) == (date(2026, 2, 28), date(2026, 3, 9))
    assert (found.reviews.tolist(), found.negative.tolist()) == ([2, *[0] * 8, 1], [1, *[0] * 8, 1])
    assert {name: reviews.sum() for name, (reviews, _) in found.by_version.items()} == {"1.0": 1, "1.1": 1}


def test_a_day_that_was_collected_before_its_end_has_not_ended(tmp_path: Path) -> None:
    at_noon = "2026-03-08T12:00:00Z"
    files = month(tmp_path, *(rated(f"2026-03-0{day}", 1, collected=at_noon) for day in (6, 7, 8)))
    found = count_days(files, tmp_path / "kept.json", NOW, 90)[APP]
    assert found.day(len(found.reviews) - 1) == date(2026, 3, 7)


def test_only_a_month_that_changed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = month(tmp_path, rated("2026-02-27", 1)) | month(tmp_path, rated("2026-03-01", 1), rated("2026-03-02", 1))
    first = count_days(files, tmp_path / "kept.json", NOW, 90)[APP]
    read: list[str] = []
    real = columns.read_rows
    monkeypatch.setattr(columns, "read_rows", lambda path, *more: (read.append(path.stem), real(path, *more))[1])
    again = count_days(files, tmp_path / "kept.json", NOW, 90)[APP]
    assert (again.reviews.tolist(), read) == (first.reviews.tolist(), [])
    files |= month(tmp_path, rated("2026-03-01", 1), rated("2026-03-02", 1), rated("2026-03-02", 2))
    read.clear()
    changed = count_days(files, tmp_path / "kept.json", NOW, 90)[APP]
    assert (changed.negative.sum(), read) == (first.negative.sum() + 1, ["2026-03"])
    (tmp_path / "kept.json").write_text("{torn")
    assert count_days(files, tmp_path / "kept.json", NOW, 90)[APP].negative.sum() == changed.negative.sum()


def test_older_months_are_not_read_and_make_the_first_day_whole(tmp_path: Path) -> None:
    files = month(tmp_path, rated("2026-03-01", 1)) | {f"{APP}/2024-01.parquet": tmp_path / "2024-01.parquet"}
    found = count_days(files, tmp_path / "kept.json", NOW, 30)[APP]
    assert (found.first, len(found.reviews)) == (date(2026, 2, 8), 30)


def test_the_texts_of_a_spike_are_those_of_its_negative_reviews(tmp_path: Path) -> None:
    rows = [
        rated("2026-02-28", 1) | {"review_text": "february"},
        rated("2026-03-01", 1) | {"review_text": "march"},
        rated("2026-03-01", 2, "1.1") | {"review_text": "new version"},
        rated("2026-03-01", 5) | {"review_text": "praise"},
        rated("2026-03-02", 1) | {"review_text": "later"},
    ]
    files = month(tmp_path, rows[0]) | month(tmp_path, *rows[1:])
    days = date(2026, 2, 28), date(2026, 3, 1)
    assert negative_texts(files, APP, *days) == ["february", "march", "new version"]
    assert negative_texts(files, APP, *days, "1.1") == ["new version"]
