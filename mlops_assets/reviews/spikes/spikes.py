"""Spikes: an app's negative reviews of one or two days, or a version's of a week, beyond what chance explains.

The level of proof is corrected for the number of looks: over days, windows and versions together, an app whose reviews
stay as they were raises at most one false alarm a quarter. benchmarks/spikes.py measures this, and how soon a spike is
told.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from mlops_assets.reviews.quality.sudden_change import day_variance, rise_p
from mlops_assets.reviews.spikes.days import AppDays
from mlops_assets.reviews.spikes.usual import LEAST_PAST_DAYS, PAST_DAYS, Usual, usual

JUDGED_DAYS = 14
"""Days that each run judges again: reviews arrive late, and a collection may have been away."""
DAYS = PAST_DAYS + 2 * JUDGED_DAYS + 2
"""How many days of counts are needed."""
WINDOWS = (1, 2)
QUIET_DAYS = 3
"""Unusual days with at most so many others between them are one spike."""
VERSION_DAYS = 7
_QUARTER = 90
DAY_ALPHA = 0.75 / (_QUARTER * len(WINDOWS))
"""0.75 false alarms a quarter, over all days and windows."""
VERSION_ALPHA = 0.25 / _QUARTER
"""The other 0.25, over all days; the versions of a day share it."""
LEAST_NEGATIVE = 5
LEAST_RATIO = 1.5
"""A smaller rise is no spike, however sure it is: it is a trend, or a busier week."""
_LEAST_OF_VERSION, _LEAST_OWN_PAST = 10, 50
_LEAST_DRIVER_SHARE = 1 / 3
"""Of the excess: what explains less drives nothing."""

TopicsOf = Callable[[Sequence[str]], Sequence[str | None]]
"""Texts -> the topic of each, None without one."""


@dataclass(frozen=True)
class Driver:
    """The version or topic that most of the excess comes from: its negative reviews, and what is usual for it."""

    name: str
    negative: int
    usual: float

    def __str__(self) -> str:
        return f"{self.negative} of them ({self.usual:.1f} are usual)"


@dataclass(frozen=True)
class Spike:
    """Negative reviews of an app from `since` to `until`, both included, against what is usual for so many days.

    `began` is the first unusual day; the days that are told are the most unusual ones from then on. With `of_version`,
    the spike is in the share of that version's `reviews`, and `usual` is what its past share, or the app's if the
    version is new, makes of as many.
    """

    app: str
    since: date
    until: date
    began: date
    negative: int
    usual: float
    measured_on: str
    of_version: str = ""
    reviews: int = 0
    version: Driver | None = None
    topic: Driver | None = None

    @property
    def id(self) -> str:
        """The same in every run that finds this spike. A version that is worse than usual is one spike."""
        return f"spike:{self.app}:{self.of_version or self.began}"

    @property
    def title(self) -> str:
        """One line, for the subject of a message."""
        who = f"version {self.of_version}: " if self.of_version else ""
        drivers = [f"version {self.version.name}" if self.version else "", self.topic and f"topic {self.topic.name}"]
        driven = ", ".join(filter(None, drivers))
        count = f"{self.negative} of {self.reviews}" if self.of_version else str(self.negative)
        return (
            f"{self.app}: {who}{count} negative reviews {self.span}, {self.usual:.1f} are usual"
            f"{f' ({driven})' if driven else ''}"
        )

    @property
    def span(self) -> str:
        return f"on {self.since}" if self.since == self.until else f"from {self.since} to {self.until}"

    def __str__(self) -> str:
        parts = [f"{replace(self, version=None, topic=None).title} ({self.measured_on})"]
        parts += [f"version {self.version.name} has {self.version}"] if self.version else []
        parts += [f"topic {self.topic.name} has {self.topic}"] if self.topic else []
        return "; ".join(parts)

    def row(self) -> dict[str, object]:
        return {
            "app": self.app,
            "since": str(self.since),
            "until": str(self.until),
            "negative": self.negative,
            "usual": round(self.usual, 1),
            "version": self.of_version or (self.version.name if self.version else ""),
            "topic": self.topic.name if self.topic else "",
        }


def find_spikes(counts: AppDays, today: date) -> tuple[list[Spike], str]:
    """The spikes of the last `JUDGED_DAYS` before `today`, the app's before those of single versions; and a sentence
    about the newest day that was judged, or why nothing was.
    """
    length = len(counts.reviews)
    if length <= LEAST_PAST_DAYS:
        return [], f"{counts.app}: not judged, {length} days have ended, {LEAST_PAST_DAYS + 1} are needed"
    judged = [end for end in range(LEAST_PAST_DAYS, length) if (today - counts.day(end)).days <= JUDGED_DAYS]
    if not judged:
        newest = counts.day(length - 1)
        return [], f"{counts.app}: not judged, the newest day that was collected whole is {newest}"
    # A spike that is told must not change its first day as that day leaves the judged ones: look as far back again.
    ends = range(max(LEAST_PAST_DAYS, judged[0] - JUDGED_DAYS), length)
    spikes = _spikes_of_days(counts, ends, counts.day(judged[0]))
    told = {spike.version.name for spike in spikes if spike.version}
    versions = [found for found in version_spikes(counts) if found.of_version not in told]
    said = f"{counts.app}: {int(counts.negative[-1])} negative reviews on {counts.day(length - 1)}"
    if (past := usual_before(counts, length - 1)) is not None:
        said += f", {past.expected(counts.days[-1:]):.1f} are usual ({past.days} days before)"
    return [*spikes, *versions], said


def with_topic(spike: Spike, now: Iterable[str], before: Iterable[str], days_before: int, topics_of: TopicsOf) -> Spike:
    """The spike with the topic that drives it, by the texts of its negative reviews, and of those before it."""
    names = [name for name in topics_of(list(now)) if name is not None]
    names_before = [name for name in topics_of(list(before)) if name is not None]
    ratio = ((spike.until - spike.since).days + 1) / max(1, days_before)
    found = {name: (names.count(name), names_before.count(name) * ratio) for name in dict.fromkeys(names)}
    return replace(spike, topic=_driver(found, spike.negative - spike.usual))


def _spikes_of_days(counts: AppDays, ends: Iterable[int], first_told: date) -> list[Spike]:
    """One spike for each time of unusual windows, with the numbers of the most unusual; those that ended before
    `first_told` were told before.
    """
    groups: list[list[_Unusual]] = []
    for found in (found for end in ends for found in _unusual_windows(counts, end)):
        if groups and found.start - groups[-1][-1].end <= QUIET_DAYS:
            groups[-1].append(found)
        else:
            groups.append([found])
    return [_spike(counts, group) for group in groups if counts.day(group[-1].end) >= first_told]


@dataclass(frozen=True, order=True)
class _Unusual:
    """A window of days, by index and both included, whose count has so small a chance."""

    chance: float
    start: int
    end: int
    past_days: int
    expected: float


def _unusual_windows(counts: AppDays, end: int) -> Iterator[_Unusual]:
    """The windows up to the day `end`, the longest first. What is usual comes from the days before all of them."""
    past = usual_before(counts, end)
    if past is None:
        return
    for length in sorted(WINDOWS, reverse=True):
        window = slice(end - length + 1, end + 1)
        negative, days = int(counts.negative[window].sum()), counts.days[window]
        expected = past.expected(days)
        if negative >= max(LEAST_NEGATIVE, LEAST_RATIO * expected):
            chance = past.chance(negative, days)
            if chance <= DAY_ALPHA:
                yield _Unusual(chance, window.start, end, past.days, expected)


def usual_before(counts: AppDays, end: int) -> Usual | None:
    """What is usual on the day `end` and on those of the windows that end there."""
    past = slice(0, end - max(WINDOWS) + 1)
    return usual(counts.reviews[past], counts.negative[past], counts.days[past])


def _spike(counts: AppDays, group: Sequence[_Unusual]) -> Spike:
    worst = min(group)
    window, before = slice(worst.start, worst.end + 1), slice(max(0, worst.start - PAST_DAYS), worst.start)
    ratio = (worst.end - worst.start + 1) / (before.stop - before.start)
    negative = int(counts.negative[window].sum())
    by_version = {
        version: (int(bad[window].sum()), float(bad[before].sum()) * ratio)
        for version, (_, bad) in counts.by_version.items()
    }
    return Spike(
        counts.app,
        counts.day(worst.start),
        counts.day(worst.end),
        counts.day(group[0].end),
        negative,
        worst.expected,
        measured_on=f"{worst.past_days} days before",
        version=_driver(by_version, negative - worst.expected),
    )


def version_spikes(counts: AppDays) -> list[Spike]:
    """The versions whose share of negative reviews in the last week is above their own past, or above the app's."""
    start = max(0, len(counts.reviews) - VERSION_DAYS)
    now, past = slice(start, None), slice(max(0, start - PAST_DAYS), start)
    app_past = _of(counts.reviews, counts.negative, past)
    between = day_variance(app_past)
    asked = {
        version: _of(*of_version, now)
        for version, of_version in counts.by_version.items()
        if of_version[0][now].sum() >= _LEAST_OF_VERSION
    }
    found: list[Spike] = []
    for version, (reviews, bad) in asked.items():
        own_past = _of(*counts.by_version[version], past)
        before, whose = (own_past, "its") if own_past[0].sum() >= _LEAST_OWN_PAST else (app_past, "the app's")
        if not before[0].sum():
            continue
        count, negative = int(reviews.sum()), int(bad.sum())
        expected = float(before[1].sum() / before[0].sum()) * count
        if negative < max(LEAST_NEGATIVE, LEAST_RATIO * expected):
            continue
        if rise_p(before, (reviews, bad), between) <= VERSION_ALPHA / len(asked):
            days = np.flatnonzero(counts.by_version[version][0][now]) + start
            found.append(
                Spike(
                    counts.app,
                    counts.day(int(days[0])),
                    counts.day(len(counts.reviews) - 1),
                    counts.day(int(days[0])),
                    negative,
                    expected,
                    measured_on=f"{whose} {int(before[0].sum())} reviews of the {past.stop - past.start} days before",
                    of_version=version,
                    reviews=count,
                )
            )
    return found


def _of(reviews: np.ndarray, negative: np.ndarray, part: slice) -> tuple[np.ndarray, np.ndarray]:
    """The days of this part that have reviews."""
    some = reviews[part] > 0
    return reviews[part][some], negative[part][some]


def _driver(found: Mapping[str, tuple[int, float]], excess: float) -> Driver | None:
    """Whose negative reviews rose most, if that is a good part of the excess."""
    if not found:
        return None
    name = max(found, key=lambda each: found[each][0] - found[each][1])
    negative, expected = found[name]
    return Driver(name, negative, expected) if negative - expected >= _LEAST_DRIVER_SHARE * excess else None
