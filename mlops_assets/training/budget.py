"""Which reviews a training takes if it may not take all: distinct, recent, and spread over labels, apps and months. Of
held-out texts a random part is taken.

What the others would bring is estimated in `left_out.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pandas as pd

from mlops_assets.training.judging import evaluate
from mlops_assets.training.references import References

RARE_SHARE = 0.05
"""A label with a smaller share of the reviews is taken as if it had this one: it has too few to lose any."""
HALVES_IN_MONTHS = 12
"""A month has half the claim of the month that is so many months younger."""

_MIXES = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that different keys stay different."""


@dataclass(frozen=True)
class Chosen:
    """The reviews to train on, and how many there were and are, references included."""

    frame: pd.DataFrame
    """All sides; of the train side those that were chosen."""
    references: References | None
    available: int
    used: int
    held_out: int = 0
    """Held-out reviews that were left out."""

    @property
    def left_out(self) -> int:
        return self.available - self.used


def within(frame: pd.DataFrame, references: References | None, most: int, most_texts: int) -> Chosen:
    """At most `most` reviews to train on, and `most_texts` texts of each held-out side. Own reviews and those of
    reference apps share them by their weight.

    The rows of `frame` need no text if they have its `key`.
    """
    everything = len(frame)
    frame = with_held_out(frame, most_texts)
    without = everything - len(frame)
    own = (frame["side"] == "train").to_numpy(dtype=bool)
    sizes = [int(own.sum()), len(references.reviews) if references else 0]
    if sum(sizes) <= most:
        return Chosen(frame, references, sum(sizes), sum(sizes), without)
    weight = references.own_weight if references else 1
    taken = fill(sizes, [weight * sizes[0], sizes[1]], most)
    keep = ~own
    keep[np.flatnonzero(own)[choose(frame[own], taken[0])]] = True
    if references:
        reviews = references.reviews
        references = replace(references, reviews=reviews[choose(reviews, taken[1])].reset_index(drop=True))
    return Chosen(frame[keep].reset_index(drop=True), references, sum(sizes), sum(taken), without)


def with_held_out(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """The rows (side, review_text or its key) without those of all but `most` distinct texts of each held-out side.

    The texts are those whose keys come first in an order that has nothing to do with the sides: a random part, and the
    same one as reviews come. What people labelled (`person`) stays.
    """
    keep = (rows["side"] == "train").to_numpy(dtype=bool, copy=True)
    if (~keep).sum() <= most:
        return rows
    for side in evaluate.HELD_OUT:
        at = np.flatnonzero((rows["side"] == side).to_numpy())
        order = _keys(rows.iloc[at]).astype(np.uint64) * _MIXES
        distinct = np.unique(order)
        keep[at] = order <= distinct[min(most, len(distinct)) - 1] if len(distinct) else True
    if "person" in rows:
        keep |= rows["person"].notna().to_numpy(dtype=bool)
    return cast("pd.DataFrame", rows[keep])


def _keys(rows: pd.DataFrame) -> np.ndarray:
    return rows["key"].to_numpy() if "key" in rows else evaluate.text_keys(rows["review_text"])


def choose(rows: pd.DataFrame, most: int) -> np.ndarray:
    """Which of `rows` (review_text or its key, label, app_id, review_date) to take, as a mask: `most`, or all if there
    are fewer.

    A text comes again only when every text is taken. Each label keeps its share, each app has the same claim, and so
    has each month but for its age; of a month the newest reviews are taken. The order of the rows plays no part.
    """
    taken = np.zeros(len(rows), dtype=bool)
    if len(rows) <= most:
        return ~taken
    dates = pd.to_datetime(rows["review_date"], utc=True)
    known = pd.DataFrame(
        {
            "text": _keys(rows),
            "label": rows["label"].astype("category").array,
            "app": rows["app_id"].astype("category").array,
            "date": dates.to_numpy(),
            "month": (dates.dt.year * 12 + dates.dt.month).to_numpy(),
            "place": np.arange(len(rows)),
        }
    ).sort_values(["date", "text", "app", "label"], ascending=[False, True, True, True], kind="stable")
    repeats = known["text"].duplicated()
    left = most
    for part in (known[~repeats], known[repeats]):
        places = _spread(part, min(left, len(part)), ["label", "app", "month"])
        taken[places] = True
        left -= len(places)
    return taken


def fill(sizes: Sequence[int], claims: Sequence[float], total: int) -> list[int]:
    """`total` dealt out by `claims`, none more than its size: what one cannot use goes to the others. All of `sizes` if
    that is less.
    """
    if total >= sum(sizes):
        return list(sizes)
    held, wanted = np.asarray(sizes, dtype=float), np.asarray(claims, dtype=float)
    given, open_ = np.zeros(len(held)), held > 0
    while open_.any():
        fair = (total - given[~open_].sum()) * wanted / wanted[open_].sum()
        full = open_ & (fair >= held)
        if not full.any():
            given[open_] = fair[open_]
            break
        given[full] = held[full]
        open_ &= ~full
    whole = np.floor(given + 1e-9).astype(int)
    over = sorted(range(len(whole)), key=lambda place: (whole[place] - given[place], place))
    for place in [each for each in over if whole[each] < held[each]][: total - int(whole.sum())]:
        whole[place] += 1
    return whole.tolist()


def _spread(rows: pd.DataFrame, count: int, by: list[str]) -> np.ndarray:
    """The places of `count` of the rows (newest first), dealt out over the groups of the first column and so on."""
    if not by or not count:
        return rows["place"].to_numpy()[:count]
    column, *deeper = by
    groups = [part for _, part in rows.groupby(column, sort=True, observed=True)]
    sizes = [len(part) for part in groups]
    if column == "label":
        claims = [max(size, RARE_SHARE * len(rows)) for size in sizes]
    elif column == "app":
        claims = [1.0] * len(sizes)
    else:
        months = [int(part["month"].iloc[0]) for part in groups]
        claims = [0.5 ** ((max(months) - month) / HALVES_IN_MONTHS) for month in months]
    quotas = fill(sizes, claims, count)
    return np.concatenate([_spread(part, quota, deeper) for part, quota in zip(groups, quotas, strict=True)])
