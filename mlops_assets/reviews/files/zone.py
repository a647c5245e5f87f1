"""The time zone of a file's naive times, found from reviews that Google Play knows too. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo, available_timezones

import pandas as pd

LEAST_ROWS, LEAST_SHARE = 5, 0.95
_NO_TIME = pd.Timedelta(0)
_QUARTER = pd.Timedelta(minutes=15)
_QUARTER_S = 900
_EXACT = pd.Timedelta(minutes=1)  # files without seconds
_FARTHEST = 14 * 4  # quarters of an hour between a zone and UTC
_LONG_TEXT = 15  # characters; shorter ones are written by many people
_SAMPLE = 300
_LIKELY = (
    "Europe/London", "Europe/Berlin", "Europe/Helsinki", "America/New_York", "America/Chicago", "America/Denver",
    "America/Los_Angeles", "Australia/Sydney",
)  # fmt: skip
"""Zones with summer time that are tried first: many share one, and a known name says more."""


@dataclass(frozen=True)
class FoundZone:
    """By how much naive times are ahead of UTC: always by `ahead`, or as the clocks of `zone` are.

    `agree` of `matched` reviews that are known from Play say so.
    """

    matched: int
    agree: int
    ahead: pd.Timedelta = _NO_TIME
    zone: str | None = None

    def __str__(self) -> str:
        minutes = round(self.ahead.total_seconds() / 60)
        hours = f"{abs(minutes) // 60}" + (f":{abs(minutes) % 60:02}" if minutes % 60 else "")
        fixed = f"UTC{'+' if minutes > 0 else '-'}{hours}" if minutes else "UTC"
        return f"{self.zone or fixed}, as {self.agree} of {self.matched} reviews show that are known from Play too"


def find_zone(rows: pd.DataFrame, of_play: pd.DataFrame) -> FoundZone | None:
    """The zone that makes the rows' dates those of Play; None where too few are known there or they disagree.

    Both have app_id, review_id, review_text, rating and review_date, the rows' naive ones read as UTC. A review is the
    same where id, text and rating are, or where a long text with its rating stands once on either side.
    """
    pairs = _pairs(rows, of_play)
    if len(pairs) < LEAST_ROWS:
        return None
    apart = (pairs["review_date"] - pairs["true_date"]).dt.total_seconds()
    quarters = (apart / _QUARTER_S).round()
    exact = (apart - quarters * _QUARTER_S).abs() < _EXACT.total_seconds()
    counts = quarters[exact & (quarters.abs() <= _FARTHEST)].value_counts()
    if counts.empty:
        return None
    if _enough(int(counts.iloc[0]), len(pairs)):
        return FoundZone(len(pairs), int(counts.iloc[0]), ahead=float(counts.index[0]) * _QUARTER)
    # Summer time: two offsets, an hour or half of one apart.
    if (
        len(counts) > 1
        and abs(counts.index[0] - counts.index[1]) in (2, 4)
        and _enough(counts.iloc[:2].sum(), len(pairs))
    ):
        return _zone_with_summer_time(pairs, {float(counts.index[0]), float(counts.index[1])})
    return None


def _enough(agree: int, matched: int) -> bool:
    return agree >= LEAST_ROWS and agree >= LEAST_SHARE * matched


def _pairs(rows: pd.DataFrame, of_play: pd.DataFrame) -> pd.DataFrame:
    theirs = of_play[["app_id", "review_id", "review_text", "rating", "review_date"]].rename(
        columns={"review_date": "true_date"}
    )
    same = ["app_id", "review_id", "review_text", "rating"]
    known = rows.dropna(subset=["review_id"]).merge(theirs, on=same).drop_duplicates(["app_id", "review_id"])
    if len(known) >= LEAST_ROWS:
        return known
    words = ["app_id", "review_text", "rating"]
    once = [side[side["review_text"].str.len() >= _LONG_TEXT] for side in (rows, theirs.drop(columns="review_id"))]
    left, right = (side[~side.duplicated(words, keep=False)] for side in once)
    pairs = left.merge(right, on=words)
    # The same words months apart are another person's.
    return pairs[(pairs["review_date"] - pairs["true_date"]).abs() <= _FARTHEST * _QUARTER + _EXACT]


def _zone_with_summer_time(pairs: pd.DataFrame, quarters: set[float]) -> FoundZone | None:
    sample = pairs.sample(min(_SAMPLE, len(pairs)), random_state=0)
    naive = sample["review_date"].dt.tz_localize(None)
    for zone in _zones(sample["true_date"].iloc[0], quarters):
        local = naive.dt.tz_localize(zone, nonexistent="shift_forward", ambiguous=[True] * len(naive))
        agree = int(((local.dt.tz_convert("UTC") - sample["true_date"]).abs() < _EXACT).sum())
        if _enough(agree, len(sample)):
            return FoundZone(len(sample), agree, zone=zone)
    return None


def _zones(day: pd.Timestamp, quarters: set[float]) -> Iterator[str]:
    """Zones that are one of these quarters of an hour ahead of UTC on the day."""
    rest = sorted(
        name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix", "right"))
    )
    for name in dict.fromkeys([*_LIKELY, *rest]):
        offset = ZoneInfo(name).utcoffset(day.to_pydatetime())
        if offset is not None and pd.Timedelta(offset) / _QUARTER in quarters:
            yield name
