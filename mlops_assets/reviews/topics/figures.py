"""Shares of sentiments and topics by month and by app version, each with its sample size and 95 % interval."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import pandas as pd

from mlops_assets.reviews.quality.claims import wilson_interval
from mlops_assets.reviews.topics.stored import Topic

FEWEST_COMPARED = 30
"""Releases with fewer answered reviews than this are not compared."""


@dataclass(frozen=True)
class Share:
    """`hits` of `n` reviews, with the 95 % interval (Wilson); `n` is at least 1."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        return self.hits / self.n

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.hits, self.n)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} [{low:.1%}, {high:.1%}], n = {self.n}"


@dataclass(frozen=True)
class Release:
    """A version of an app by its reviews: when the first was written, how many were negative, and the topics of those
    of each sentiment.
    """

    app_id: str
    version: str
    first_at: pd.Timestamp
    last_at: pd.Timestamp
    negative: Share
    topics: Mapping[str, Share]


@dataclass(frozen=True)
class Difference:
    """A share in two releases. `beyond_chance` allows for the number of shares that are compared."""

    what: str
    before: Share
    after: Share
    low: float
    high: float
    beyond_chance: bool

    @property
    def points(self) -> float:
        """How much the share rose, in percentage points."""
        return 100 * (self.after.value - self.before.value)


def topic_shares(counts: pd.DataFrame, topics: Iterable[Topic]) -> dict[str, Share]:
    """Each topic's share of the reviews of its sentiment, by id; none of a sentiment without reviews."""
    totals = counts.groupby("sentiment")["reviews"].sum()
    hits = counts.groupby("topic")["reviews"].sum()
    return {
        topic.id: Share(int(hits.get(topic.id, 0)), int(totals[topic.sentiment]))
        for topic in topics
        if totals.get(topic.sentiment, 0)
    }


def shares_by_month(counts: pd.DataFrame, topics: Sequence[Topic], months: int) -> dict[str, dict[str, Share]]:
    """The shares of the newest months, by month and topic."""
    newest = sorted(counts["month"].unique())[-months:]
    return {month: topic_shares(counts[counts["month"] == month], topics) for month in newest}


def releases(counts: pd.DataFrame, topics: Sequence[Topic], most: int | None = None) -> list[Release]:
    """The releases of every app, those whose first review is the newest first; `most` of each app."""
    found: list[Release] = []
    known = counts[counts["app_version"] != ""]
    for _, of_app in known.groupby("app_id"):
        first = of_app.groupby("app_version")["first_at"].min().sort_values(ascending=False, kind="stable")
        found += [release(of_app[of_app["app_version"] == version], topics) for version in first.index[:most]]
    return found


def release(rows: pd.DataFrame, topics: Sequence[Topic]) -> Release:
    """The counts of one release, at least one review."""
    negative = int(rows["reviews"][rows["sentiment"] == "negative"].sum())
    return Release(
        app_id=str(rows["app_id"].iloc[0]),
        version=str(rows["app_version"].iloc[0]),
        first_at=rows["first_at"].min(),
        last_at=rows["last_at"].max(),
        negative=Share(negative, int(rows["reviews"].sum())),
        topics=topic_shares(rows, topics),
    )


def newest_pair(found: Sequence[Release], app_id: str) -> tuple[Release, Release] | None:
    """An app's two newest releases that have enough reviews, the older one first."""
    enough = [each for each in found if each.app_id == app_id and each.negative.n >= FEWEST_COMPARED]
    return (enough[1], enough[0]) if len(enough) > 1 else None


def compare(before: Release, after: Release, topics: Sequence[Topic]) -> list[Difference]:
    """How the share of negative reviews and of each topic differs between two releases, the largest rise first."""
    pairs = [("negative reviews", before.negative, after.negative)]
    pairs += [
        (f"{topic.sentiment}: {topic.title}", before.topics[topic.id], after.topics[topic.id])
        for topic in topics
        if topic.id in before.topics and topic.id in after.topics
    ]
    first, *rest = [_difference(*pair, looks=len(pairs)) for pair in pairs]
    return [first, *sorted(rest, key=lambda row: -row.points)]


def _difference(what: str, before: Share, after: Share, *, looks: int) -> Difference:
    low, high = _interval(before, after, 1.959964)
    sure_low, sure_high = _interval(before, after, _quantile(0.05 / looks))
    return Difference(what, before, after, low, high, sure_low > 0 or sure_high < 0)


def _interval(before: Share, after: Share, z: float) -> tuple[float, float]:
    """The interval of the rise of a share, from the Wilson intervals of both (Newcombe)."""
    rise = after.value - before.value
    (low_b, high_b), (low_a, high_a) = (wilson_interval(share.hits, share.n, z) for share in (before, after))
    return (
        rise - sqrt((after.value - low_a) ** 2 + (high_b - before.value) ** 2),
        rise + sqrt((high_a - after.value) ** 2 + (before.value - low_b) ** 2),
    )


def _quantile(alpha: float) -> float:
    return NormalDist().inv_cdf(1 - alpha / 2)
