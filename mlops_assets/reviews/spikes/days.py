"""How many reviews and negative reviews each app and version got by day. A month's file is counted once.

Negative are one and two stars: they are known at once, and a new model does not change them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from mlops_assets.files import stamp
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.kept import Kept
from mlops_assets.reviews.stored.months import read_some

COLUMNS = ("review_date", "rating", "app_version", "scraped_at")
MOST_NEGATIVE_STARS = 2
_FORM = "1"

Rows = Sequence[Sequence[Any]]
"""Day, version (empty if unknown), reviews with stars, negative ones."""


@dataclass(frozen=True)
class AppDays:
    """An app's reviews by day, from `first` on; the last entry is of the last day that has ended."""

    app: str
    first: date
    reviews: np.ndarray
    negative: np.ndarray
    by_version: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """Reviews and negative reviews of each version."""

    @property
    def days(self) -> np.ndarray:
        """The number of each day since 1970."""
        return np.arange(len(self.reviews)) + (self.first - date(1970, 1, 1)).days

    def day(self, index: int) -> date:
        return self.first + timedelta(days=index)

    def digest(self) -> str:
        """Changes with any of the counts."""
        versions = [(name, *map(np.ndarray.tolist, counts)) for name, counts in sorted(self.by_version.items())]
        counts = [str(self.first), self.reviews.tolist(), self.negative.tolist(), versions]
        return hashlib.sha256(repr(counts).encode()).hexdigest()


def count_days(files: Mapping[str, Path], kept: Path, now: datetime, days: int) -> dict[str, AppDays]:
    """Each app's last `days` ended days, from month files by relative name (`<app_id>/<YYYY-MM>.parquet`).

    A day has ended when it is over and the app was collected after it. A first day may lack its earlier reviews and is
    left out. `kept` holds the counts of every file that is needed; only a file that changed is read.
    """
    start = (now - timedelta(days=days)).date()
    counted = Kept(kept, _FORM)
    by_app: dict[str, list[_Month]] = {}
    older: set[str] = set()
    for name, path in sorted(files.items()):
        app = name.split("/")[0]
        if path.stem >= f"{start:%Y-%m}":
            month = counted.of(name, list(stamp(path)), partial(_count, path))
            by_app.setdefault(app, []).append(_Month(*month))
        else:
            older.add(app)
    counted.save()
    found = {app: _days_of(app, months, start, now, whole=app in older) for app, months in by_app.items()}
    return {app: counts for app, counts in found.items() if counts is not None}


class _Month(NamedTuple):
    collected: str
    rows: Rows


def _count(path: Path) -> _Month:
    if not set(COLUMNS) <= set(pq.read_schema(path).names):
        return _Month("", [])  # required_columns_exist tells of it
    rows = columns.to_frame(columns.read_rows(path, COLUMNS))
    rated = rows[rows["rating"].notna()]
    if rated.empty:
        return _Month("", [])
    by = [rated["review_date"].dt.tz_convert("UTC").dt.strftime("%Y-%m-%d"), rated["app_version"].fillna("")]
    grouped = (rated["rating"] <= MOST_NEGATIVE_STARS).groupby(by).agg(["size", "sum"]).reset_index()
    collected = rows["scraped_at"].max().tz_convert("UTC").isoformat()
    return _Month(
        collected, [(str(day), str(version), int(n), int(bad)) for day, version, n, bad in grouped.to_numpy()]
    )


def _days_of(app: str, months: list[_Month], start: date, now: datetime, *, whole: bool) -> AppDays | None:
    rows = [row for month in months for row in month.rows]
    collected = max((month.collected for month in months), default="")
    if not rows or not collected:
        return None
    ended = min(now.astimezone(UTC), datetime.fromisoformat(collected)).date()
    first = start if whole else max(start, date.fromisoformat(min(row[0] for row in rows)) + timedelta(days=1))
    length = (ended - first).days
    if length <= 0:
        return None
    by_version: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    reviews, negative = np.zeros(length, int), np.zeros(length, int)
    for day, version, count, bad in rows:
        index = (date.fromisoformat(day) - first).days
        if not 0 <= index < length:
            continue
        reviews[index] += count
        negative[index] += bad
        if version:
            of_version = by_version.setdefault(version, (np.zeros(length, int), np.zeros(length, int)))
            of_version[0][index] += count
            of_version[1][index] += bad
    return AppDays(app, first, reviews, negative, by_version)


def negative_texts(files: Mapping[str, Path], app: str, since: date, until: date, version: str = "") -> list[str]:
    """The texts of the app's negative reviews of these days, both included; of one version if it is named."""
    found: list[str] = []
    for path in (path for name, path in sorted(files.items()) if name.split("/")[0] == app):
        if f"{since:%Y-%m}" <= path.stem <= f"{until:%Y-%m}":
            columns.require_schema(path)
            rows = columns.to_frame(read_some(path, ["review_date", "rating", "app_version", "review_text"]))
            day = rows["review_date"].dt.tz_convert("UTC").dt.date
            wanted = (rows["rating"] <= MOST_NEGATIVE_STARS).fillna(value=False) & (day >= since) & (day <= until)
            if version:
                wanted &= rows["app_version"] == version
            found += rows.loc[wanted, "review_text"].dropna().tolist()
    return found
