"""A file's columns of times, and the zone of cells that name none, found by reviews that Play has too. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

import pandas as pd

from mlops_assets.reviews.files.values import times_of_file

if TYPE_CHECKING:
    from mlops_assets.settings import DateOrder

LEAST_ROWS, LEAST_SHARE = 5, 0.95
_NO_TIME = pd.Timedelta(0)
_QUARTER = pd.Timedelta(minutes=15)
_QUARTER_S = 900
_EXACT = pd.Timedelta(minutes=1)  # files without seconds
_FARTHEST = 14 * 4  # quarters of an hour between a zone and UTC
_LONG_TEXT = 15  # characters; many people write the same short text
_SAMPLE = 300
_LIKELY = (
    "Europe/London", "Europe/Berlin", "Europe/Helsinki", "America/New_York", "America/Chicago", "America/Denver",
    "America/Los_Angeles", "Australia/Sydney",
)  # fmt: skip
"""Zones with summer time that are tried first: of many zones with equal clocks a known name says more."""


@dataclass(frozen=True)
class FoundZone:
    """How far naive times are ahead of UTC: always by `ahead`, or by the clocks of `zone`.

    `agree` of the `matched` reviews that Play has too confirm it.
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


@dataclass
class FileTimes:
    """values: by stored column, in UTC
    written: review_date as its cells have it, without a zone
    naive: by stored column, whether a cell named no zone
    assumed: a phrase for each decision
    """

    values: dict[str, pd.Series]
    written: pd.Series
    naive: dict[str, pd.Series]
    assumed: list[str]
    _given: str | None
    _in_zone: Callable[[str], dict[str, pd.Series]] = field(repr=False)

    def settle(self, rows: pd.DataFrame, of_play: Callable[[str], pd.DataFrame] | None) -> None:
        """Decide the zone of the naive times. `rows` has app_id, review_id, review_text and rating."""
        naive = self.naive["review_date"] & self.values["review_date"].notna()
        if not naive.any():
            return
        if self._given:
            self.assumed.append(f"times without a zone are of {self._given}, as TIME_ZONE says")
            return
        found = _known(pd.DataFrame(rows[naive]).assign(review_date=self.written[naive]), of_play)
        if found is None:
            self.assumed.append("times without a zone are UTC (set TIME_ZONE=Asia/Jakarta for another zone)")
            return
        if found.zone:
            self.values = self._in_zone(found.zone)
        else:
            self.values = {
                name: values.where(~self.naive[name], values - found.ahead) for name, values in self.values.items()
            }
        self.assumed.append(f"times without a zone are {found}")


def read_times(columns: Mapping[str, pd.Series], naive_zone: str | None, order: "DateOrder | None") -> FileTimes:
    """The file's times, naive ones in `naive_zone`, else in UTC until the zone is settled. Raises `AmbiguousDates`."""
    found = times_of_file(columns, naive_zone or "UTC", order)
    deciding = next((times for times in found.values() if times.order), None)
    plain = found if naive_zone is None else times_of_file(columns, "UTC", order)
    return FileTimes(
        values={name: times.values for name, times in found.items()},
        written=plain["review_date"].values,
        naive={name: ~times.zone_given for name, times in found.items()},
        assumed=[f"dates are {deciding.order}, {deciding.why}"] if deciding else [],
        _given=naive_zone,
        _in_zone=lambda zone: {name: times.values for name, times in times_of_file(columns, zone, order).items()},
    )


def _known(rows: pd.DataFrame, of_play: Callable[[str], pd.DataFrame] | None) -> FoundZone | None:
    if of_play is None:
        return None
    apps = [str(app) for app in rows["app_id"].dropna().unique()]
    known = [reviews.assign(app_id=app) for app in apps if len(reviews := of_play(app))]
    return find_zone(rows, pd.concat(known, ignore_index=True)) if known else None


def find_zone(rows: pd.DataFrame, of_play: pd.DataFrame) -> FoundZone | None:
    """The zone in which the rows' dates equal those of Play; None if too few reviews match or they disagree.

    Both have app_id, review_id, review_text, rating and review_date; the rows' naive dates are read as UTC. Reviews
    match by id, text and rating, or by a long text with its rating that each side has once.
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
    # Summer time: two offsets, an hour or half an hour apart.
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
    """Zones that are ahead of UTC by one of these numbers of quarters of an hour on the day."""
    rest = sorted(
        name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix", "right"))
    )
    for name in dict.fromkeys([*_LIKELY, *rest]):
        offset = ZoneInfo(name).utcoffset(day.to_pydatetime())
        if offset is not None and pd.Timedelta(offset) / _QUARTER in quarters:
            yield name
