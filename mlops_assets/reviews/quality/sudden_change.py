"""Did an app's share of positive reviews jump between the last version and what arrived since?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from mlops_assets.params.choices import LabelRule
from mlops_assets.params.reviews import ValidationOptions
from mlops_assets.reviews.quality.claims import Claim
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.label import add_labels
from mlops_assets.reviews.stored.snapshot import PROVENANCE

ALPHA = 0.01
"""How often the claim may be broken where nothing changed, over all apps of a version together."""
FLOOR = 0.15
"""A smaller change breaks nothing, however sure it is: whole weeks of a real app differ by as much."""
LEAST_LABELLED = 100
DAYS = 90
_LABELS_OF_A_DAY, _LEAST_DAYS = 10, 7
_MEDIAN_OF_CHI_SQUARE = 0.4549
_MOST_COUNTED = 10_000
"""More reviews a side add nothing to a change of 15 points, and the exact test would become slow."""

Days = tuple[np.ndarray, np.ndarray]
"""By day: how many reviews have a label, and how many of these are hits, such as positive."""


@dataclass(frozen=True)
class StoredApp:
    """An app in the last version: its newest review, and its month files, newest first."""

    newest: pd.Timestamp
    files: Sequence[Path]
    source: str

    def since(self, start: pd.Timestamp) -> pd.DataFrame:
        """The reviews (review_date, rating) from `start` on."""
        wanted = [path for path in self.files if path.stem >= f"{start:%Y-%m}"]
        if not wanted:
            return columns.empty()
        rows = pd.concat([_rows(path, self.source) for path in wanted], ignore_index=True)
        return rows[rows["review_date"] >= start]


def stored_apps(files: Mapping[str, Path], source: str) -> dict[str, StoredApp]:
    """The last version by app, from its files by name (`<app_id>/<YYYY-MM>.parquet`): the rows of the run's source.

    An app that another source filled is not in it: what a person picked for a file is no measure for a whole feed.
    """
    by_app: dict[str, list[Path]] = {}
    for name in sorted(files, reverse=True):
        by_app.setdefault(name.split("/")[0], []).append(files[name])
    found: dict[str, StoredApp] = {}
    for app, paths in by_app.items():
        for index, path in enumerate(paths):
            newest = _rows(path, source)["review_date"].max()
            if not pd.isna(newest):
                found[app] = StoredApp(newest, paths[index:], source)
                break
    return found


@dataclass(frozen=True)
class Change:
    """An app's labelled reviews (`positive`, `day`) of the last version's last 90 days, and those that arrived since.

    `before` is None where so few arrived that nothing is to be judged; `since` is the day of an accepted change.
    """

    app: str
    newest: pd.Timestamp
    before: pd.DataFrame | None
    now: pd.DataFrame
    since: date | None

    @property
    def is_judged(self) -> bool:
        return self.before is not None and min(len(self.before), len(self.now)) >= LEAST_LABELLED

    def is_sudden(self, alpha: float) -> bool:
        """Beyond chance, and either large or without any review of the other label."""
        if self.before is None or not self.is_judged:
            return False
        before, now = _share(self.before), _share(self.now)
        large = abs(before - now) >= FLOOR or now in (0.0, 1.0)
        return large and change_p(self.before, self.now) <= alpha

    def __str__(self) -> str:
        arrived = f"labelled reviews arrived after {self.newest:%Y-%m-%d %H:%M} UTC, the newest of the last version"
        if self.before is None:
            return f"{self.app}: not judged, {len(self.now)} {arrived}, and {LEAST_LABELLED} are needed"
        days = f"in the {DAYS} days before" + (f" from {self.since} on (positive_share_since)" if self.since else "")
        if not self.is_judged:
            return f"{self.app}: not judged, {len(self.before)} labelled reviews {days}, {LEAST_LABELLED} are needed"
        return (
            f"{self.app}: {_share(self.now):.1%} of {len(self.now)} {arrived}, are positive, "
            f"{_share(self.before):.1%} of {len(self.before)} {days}"
        )

    def row(self) -> dict[str, object]:
        return {
            "app": self.app,
            "labelled_before": None if self.before is None else len(self.before),
            "positive_percent_before": None if self.before is None else _percent(self.before),
            "labelled_now": len(self.now),
            "positive_percent_now": _percent(self.now),
        }


def positive_share_is_steady(
    frame: pd.DataFrame, last: Mapping[str, StoredApp], rule: LabelRule, options: ValidationOptions | None = None
) -> Claim:
    """What arrived for an app since the last version is about as positive as the 90 days before.

    Only reviews dated after the newest of the last version have arrived: a first version and a backfill of older months
    change nothing suddenly. An app is not judged below 100 labelled reviews on either side.
    """
    options = options or ValidationOptions()
    if "rating" not in frame.columns:
        return Claim(passed=True, reason="not judged: there is no column rating, see required_columns_exist")
    newest = cast("pd.Series", frame["app_id"].map({app: stored.newest for app, stored in last.items()}))
    arrived = frame[frame["review_date"] > pd.to_datetime(newest, utc=True)]
    changes = [
        _change(str(app), rows, last[str(app)], rule, options.positive_share_since.get(str(app)))
        for app, rows in arrived.groupby("app_id")
    ]
    judged = [change for change in changes if change.is_judged]
    sudden = [change for change in judged if change.is_sudden(ALPHA / len(judged))]
    findings = [str(change) for change in sudden or judged or changes]
    if sudden:
        days = {change.app: (change.newest + timedelta(days=1)).date() for change in sudden}
        findings.append(
            "look for a torn feed or changed stars; if people did change their minds, replace the section "
            f"validation of params.yaml by: {options.line_with('positive_share_since', days)}"
        )
    return Claim(
        passed=not sudden,
        reason="; ".join(findings) or "not judged: nothing arrived for an app that the last version has",
        numbers={"apps_judged": len(judged), "apps_changed": len(sudden)},
        rows=[change.row() for change in changes],
    )


def change_p(before: pd.DataFrame, now: pd.DataFrame) -> float:
    """Two-sided exact p-value that two sets of reviews (`positive`, `day`) have one positive share."""
    from scipy.stats import hypergeom

    of_days = by_day(before)
    hits, drawn = independent(of_days, by_day(now), day_variance(of_days))
    return float(min(1.0, 2 * min(hypergeom.cdf(hits, *drawn), hypergeom.sf(hits - 1, *drawn))))


def rise_p(before: Days, now: Days, between: float) -> float:
    """One-sided exact p-value that `now` has no larger share of hits than `before`."""
    from scipy.stats import hypergeom

    hits, drawn = independent(before, now, between)
    return float(hypergeom.sf(hits - 1, *drawn))


def independent(before: Days, now: Days, between: float) -> tuple[int, tuple[int, int, int]]:
    """The hits now, and the arguments of the hypergeometric distribution that they have if both have one share.

    Labels of one day resemble each other, so 200 reviews of a day tell less than 200 of a month: each side counts as
    the number of independent reviews that would be as uncertain.
    """
    sizes = [_independent(size, between) for size, _ in (before, now)]
    hits = [
        round(float(hit.sum()) / size.sum() * count) for (size, hit), count in zip((before, now), sizes, strict=True)
    ]
    return hits[1], (sum(sizes), sum(hits), sizes[1])


def day_variance(days: Days) -> float:
    """How much the share of hits of whole days varies beyond chance, in units of a single label's variance.

    On the scale of arcsines, on which chance varies alike at every share. By medians: a few days of an outage must not
    make every later outage look usual. 0 below seven days with ten labels.
    """
    size, hits = days
    size, hits = size[size >= _LABELS_OF_A_DAY], hits[size >= _LABELS_OF_A_DAY]
    if len(size) < _LEAST_DAYS:
        return 0.0
    angles = 2 * np.arcsin(np.sqrt(hits / size))
    spread = float(np.median((angles - np.median(angles)) ** 2)) / _MEDIAN_OF_CHI_SQUARE
    return min(1.0, max(0.0, spread - float(np.median(1 / size))))


def _independent(size: np.ndarray, between: float) -> int:
    count = int(size.sum())
    alone = 1 / count
    shared = float((size**2).sum()) / count**2 - alone
    return max(1, round(min(_MOST_COUNTED, 1 / (alone + between * shared))))


def by_day(rows: pd.DataFrame) -> Days:
    """How many reviews each day has, and how many of them are positive."""
    day = np.unique(rows["day"].to_numpy(), return_inverse=True)[1]
    return np.bincount(day), np.bincount(day, weights=rows["positive"].to_numpy(dtype=float))


def _change(app: str, arrived: pd.DataFrame, last: StoredApp, rule: LabelRule, since: date | None) -> Change:
    now = labelled_days(arrived, rule)
    if len(now) < LEAST_LABELLED:  # most runs bring little, and reading the last version costs
        return Change(app, last.newest, None, now, since)
    start = last.newest - pd.Timedelta(days=DAYS)
    if since is not None:
        start = max(start, pd.Timestamp(since, tz="UTC"))
    return Change(app, last.newest, labelled_days(last.since(start), rule), now, since)


def labelled_days(rows: pd.DataFrame, rule: LabelRule) -> pd.DataFrame:
    """Of each labelled review whether it is `positive`, and its `day` (UTC)."""
    labelled = add_labels(rows[rows["rating"].notna()], rule)
    days = cast("pd.Series", labelled["review_date"]).dt.tz_convert("UTC").dt.floor("D")
    return pd.DataFrame({"positive": (labelled["label"] == "positive").to_numpy(), "day": days.to_numpy()})


def _share(rows: pd.DataFrame) -> float:
    return float(rows["positive"].mean())


def _percent(rows: pd.DataFrame) -> float | None:
    return round(100 * _share(rows), 1) if len(rows) else None


def _rows(path: Path, source: str) -> pd.DataFrame:
    rows = columns.to_frame(columns.read_table(path, ["review_date", "rating", "source"]))
    return rows[rows["source"].isin(PROVENANCE[source])]
