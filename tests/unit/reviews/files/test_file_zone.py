"""The zone of a file's naive times, found from the reviews that Google Play knows too."""

import pandas as pd
import pytest

from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.reviews.files.rules import FileRules
from mlops_assets.reviews.stored.store import ReviewStore
from tests.unit.reviews.rows import APP, frame, review

DATES = [pd.Timestamp("2025-01-10T00:30:17Z") + pd.Timedelta(days=37 * n, hours=n) for n in range(10)]


def known(folder, count: int = 10) -> FileRules:
    """The rules beside a store that holds `count` reviews from Play."""
    store = ReviewStore(folder)
    rows = [
        review(f"p{n}", source="play_store", review_text=f"aplikasi ini bagus {n}", review_date=DATES[n])
        for n in range(count)
    ]
    store.upsert(APP, frame(*rows))
    months = [store.read(APP, month) for month in store.months(APP)]
    return FileRules(app_id=APP, of_play=lambda _: pd.concat(months))


def written(path, zone: str, *, ids: bool = True, style: str = "%Y-%m-%d %H:%M:%S", off=()):
    lines = ["reviewId,content,score,at,repliedAt" if ids else "content,score,at,repliedAt"]
    for n, date in enumerate(DATES):
        told = (date + pd.Timedelta(hours=int(n in off))).tz_convert(zone).strftime(style)
        lines.append(f"{f'p{n},' if ids else ''}aplikasi ini bagus {n},5,{told},{told}")
    path.write_text("\n".join(lines) + "\n")
    return path


def dates(found) -> list[pd.Timestamp]:
    return sorted(found.frame["review_date"])


@pytest.mark.parametrize(
    "zone", ["Asia/Jakarta", "Asia/Kathmandu", "Etc/GMT+11", "UTC", "Europe/Berlin", "America/New_York"]
)
@pytest.mark.parametrize("ids", [True, False])
def test_the_zone_is_that_in_which_the_file_says_what_play_says(tmp_path, zone, ids):
    found = read_reviews(written(tmp_path / "a.csv", zone, ids=ids), known(tmp_path / "raw"))
    assert dates(found) == DATES
    assert sorted(found.frame["reply_date"]) == DATES
    assert any("10 of 10 reviews show that are known from Play too" in line for line in found.balance)


def test_times_without_seconds_tell_the_zone_too(tmp_path):
    path = written(tmp_path / "a.csv", "Asia/Jakarta", style="%Y-%m-%d %H:%M")
    assert dates(read_reviews(path, known(tmp_path / "raw"))) == [date.floor("min") for date in DATES]


@pytest.mark.parametrize(
    ("count", "off", "style"),
    [
        (4, (), "%Y-%m-%d %H:%M:%S"),  # too few are known
        (10, (2, 5), "%Y-%m-%d %H:%M:%S"),  # too many disagree
        (10, (), "%Y-%m-%d"),  # days alone say nothing of hours
        (1, (), "%Y-%m-%d %H:%M:%S"),
    ],
)
def test_without_enough_that_agree_times_are_utc_and_a_person_is_told(tmp_path, count, off, style):
    path = written(tmp_path / "a.csv", "Asia/Jakarta", off=off, style=style)
    found = read_reviews(path, known(tmp_path / "raw", count))
    assert dates(found) != DATES
    assert any("UTC (set TIME_ZONE=Asia/Jakarta for another zone)" in line for line in found.balance)


def test_what_a_person_says_holds_over_what_is_found(tmp_path):
    found = read_reviews(
        written(tmp_path / "a.csv", "Asia/Jakarta"), known(tmp_path / "raw"), naive_zone="Asia/Makassar"
    )
    assert dates(found) == [date - pd.Timedelta(hours=1) for date in DATES]
    assert any("of Asia/Makassar, as TIME_ZONE says" in line for line in found.balance)


def test_times_that_name_their_zone_are_left_alone(tmp_path):
    path = written(tmp_path / "a.csv", "Asia/Jakarta", style="%Y-%m-%dT%H:%M:%S+07:00")
    found = read_reviews(path, known(tmp_path / "raw"), naive_zone="Asia/Makassar")
    assert dates(found) == DATES
    assert not any("without a zone" in line for line in found.balance)


def test_a_file_whose_zone_is_corrected_keeps_its_reviews(tmp_path):
    store = ReviewStore(tmp_path / "raw")
    path = written(tmp_path / "a.csv", "Asia/Jakarta", ids=False)
    assert store.upsert(APP, read_reviews(path, app_id=APP).frame).new == 10
    done = store.upsert(APP, read_reviews(path, app_id=APP, naive_zone="Asia/Jakarta").frame)
    assert (done.new, done.updated, done.edited, store.count(APP)) == (0, 10, 0, 10)
