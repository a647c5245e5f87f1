"""A jump of the positive share stops a version; chance, old months, first versions and accepted changes do not."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from mlops_assets.params.reviews import ValidationOptions
from mlops_assets.reviews.quality.claims import Claim
from mlops_assets.reviews.quality.sudden_change import positive_share_is_steady, stored_apps
from mlops_assets.reviews.stored import columns
from tests.unit.reviews.rows import APP, review

NEWEST = pd.Timestamp("2026-03-31T20:00:00Z")


def reviews(
    count: int, positive: float, *, start: str, days: int, app: str = APP, source: str = "file"
) -> pd.DataFrame:
    """Reviews with exactly this share of 5 stars, the others 1, evenly over the days."""
    stars = np.where(np.random.default_rng(count).permutation(count) < round(positive * count), 5, 1)
    dates = pd.date_range(start, periods=count, freq=pd.Timedelta(days=days) / count, tz="UTC")
    one = columns.conform(pd.DataFrame([review("r", app_id=app, source=source)]))
    rows = one.iloc[[0] * count].assign(
        review_id=[f"{app}{start}{number}" for number in range(count)], rating=stars, review_date=dates
    )
    return columns.conform(rows)


def usual(count: int = 900, positive: float = 0.7, **values: str) -> pd.DataFrame:
    """Three months of an app."""
    return reviews(count, positive, start="2026-01-01", days=90, **values)


def version(folder: Path, rows: pd.DataFrame) -> dict[str, Path]:
    """The rows as the files of a version."""
    files = {}
    for (app, month), part in rows.groupby([rows["app_id"], columns.month_of(rows["review_date"])]):
        name = f"{app}/{month}.parquet"
        columns.write_frame(columns.conform(part), folder / name)
        files[name] = folder / name
    return files


@pytest.fixture
def judge(tmp_path: Path):
    """The claim about a version of `before`, and `arrived` beside it."""

    def of(
        before: pd.DataFrame | None,
        arrived: pd.DataFrame,
        options: ValidationOptions | None = None,
        source: str = "file",
    ) -> Claim:
        files = {} if before is None else version(tmp_path / "version", before)
        frame = arrived if before is None else pd.concat([before, arrived], ignore_index=True)
        return positive_share_is_steady(frame, stored_apps(files, source), "binary", options)

    return of


def later(count: int, positive: float, **values: str) -> pd.DataFrame:
    return reviews(count, positive, start="2026-04-01", days=10, **values)


@pytest.mark.parametrize("positive", [0.70, 0.60, 0.80, 0.56, 0.84])
def test_what_is_about_as_positive_as_before_passes(judge, positive):
    claim = judge(usual(), later(200, positive))
    assert claim.passed
    assert claim.numbers == {"apps_judged": 1, "apps_changed": 0}


@pytest.mark.parametrize(
    ("positive", "what"),
    [(0.3, "turned"), (1.0, "no negative"), (0.0, "no positive"), (0.9, "+20"), (0.5, "-20"), (0.4, "-30")],
)
def test_a_torn_or_turned_feed_is_stopped_with_both_shares(judge, positive, what):
    claim = judge(usual(), later(200, positive))
    assert not claim.passed, what
    assert f"{APP}: {positive:.1%} of 200 labelled reviews arrived after 2026-03-31 21:36 UTC" in claim.reason
    assert "70.0% of 900 in the 90 days before" in claim.reason


def test_a_missing_class_is_stopped_though_the_share_moves_by_less_than_the_floor(judge):
    assert not judge(usual(positive=0.9), later(300, 1.0)).passed
    assert judge(usual(positive=0.98), later(100, 1.0)).passed  # one batch in seven has none by chance


@pytest.mark.parametrize(("before", "arrived", "judged"), [(100, 100, 1), (99, 500, 0), (900, 99, 0)])
def test_below_100_labelled_reviews_a_side_nothing_is_judged_and_that_is_said(judge, before, arrived, judged):
    claim = judge(usual(before), later(arrived, 0.1))
    assert claim.passed is not judged
    assert claim.numbers["apps_judged"] == judged
    assert ("not judged" in claim.reason) is not judged


def test_three_stars_are_no_labelled_reviews(judge):
    arrived = later(150, 0.1)
    claim = judge(usual(), arrived.assign(rating=arrived["rating"].where(np.arange(150) % 2 > 0, 3)))
    assert claim.passed
    assert "not judged, 75 labelled reviews" in claim.reason


def test_a_first_version_changes_nothing_suddenly(judge):
    assert judge(None, later(500, 0.1)).passed
    assert judge(usual(app="com.another.app"), later(500, 0.1)).passed


def test_older_months_that_are_read_later_change_nothing_suddenly(judge):
    assert judge(usual(), reviews(900, 0.1, start="2025-06-01", days=180)).passed
    assert judge(usual(), reviews(900, 0.1, start="2026-01-01", days=85)).passed


def test_only_the_last_90_days_of_the_version_are_compared_with(judge):
    history = pd.concat([reviews(5000, 0.2, start="2025-01-01", days=360), usual()], ignore_index=True)
    assert judge(history, later(300, 0.7)).passed
    assert not judge(history, later(300, 0.2)).passed


def test_another_source_is_no_measure(judge):
    assert judge(usual(source="file"), later(300, 0.1, source="play_store"), source="play_store").passed
    assert not judge(usual(source="import"), later(300, 0.1, source="play_store"), source="play_store").passed


def test_each_app_is_compared_with_itself(judge):
    other = "com.another.app"
    before = pd.concat([usual(), usual(positive=0.3, app=other)])
    assert judge(before, pd.concat([later(300, 0.7), later(300, 0.3, app=other)])).passed
    claim = judge(before, pd.concat([later(300, 0.7), later(300, 0.7, app=other)]))
    assert not claim.passed
    assert claim.reason.startswith(f"{other}: 70.0% of 300")
    assert f"{APP}:" not in claim.reason
    assert [row["app"] for row in claim.rows] == [other, APP]


def accepted(claim: Claim) -> ValidationOptions:
    """The options of a person who pastes the printed line into params.yaml."""
    line = claim.reason[claim.reason.index("validation: ") :]
    return ValidationOptions.from_params(yaml.safe_load(line)["validation"])


def test_the_printed_day_accepts_this_change_and_not_the_next_one(judge):
    arrived = later(300, 0.3)
    claim = judge(usual(), arrived)
    options = accepted(claim)
    assert options.positive_share_since == {APP: date(2026, 4, 1)}
    assert judge(usual(), arrived, options).passed
    now = pd.concat([usual(), arrived], ignore_index=True)  # the version that was then made
    more = reviews(300, 0.3, start="2026-04-11", days=10)
    assert judge(now, more, options).passed
    assert not judge(now, more).passed  # without the day, weeks of the new mix would be stopped again and again
    back = reviews(300, 0.7, start="2026-04-11", days=10)
    assert not judge(now, back, options).passed


def test_an_accepted_day_lasts_no_longer_than_the_90_days(judge):
    options = ValidationOptions(positive_share_since={APP: date(2025, 6, 1)})
    assert not judge(usual(), later(300, 0.3), options).passed


def test_the_version_is_not_read_where_little_arrived(judge, tmp_path):
    files = version(tmp_path / "v", usual())
    apps = stored_apps(files, "file")
    for path in files.values():
        path.unlink()
    frame = pd.concat([usual(), later(99, 0.1)], ignore_index=True)
    assert positive_share_is_steady(frame, apps, "binary").passed


def test_no_column_of_stars_is_another_claims_matter(judge, tmp_path):
    apps = stored_apps(version(tmp_path, usual()), "file")
    assert positive_share_is_steady(later(300, 0.1).drop(columns="rating"), apps, "binary").passed
