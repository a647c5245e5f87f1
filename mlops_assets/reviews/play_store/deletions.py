"""Which stored reviews the feed no longer shows, and whether there are too many to believe it."""

from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow.compute

from mlops_assets.reviews.play_store.progress import id_digest
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.store import ReviewStore

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them


@dataclass(frozen=True)
class VanishedMonth:
    """The reviews of one month that the feed does not show; `stored` counts those not deleted before."""

    month: str
    review_ids: Sequence[str]
    stored: int
    oldest_s: int


def vanished(
    store: ReviewStore, app_id: str, seen: Container[str], *, since_s: int, source: str, held: Collection[int] = ()
) -> list[VanishedMonth]:
    """Reviews of `source` dated `since_s` or later, or held before (by digest), that are not in `seen`, by month."""
    held = set(held)
    first = f"{datetime.fromtimestamp(since_s, UTC):%Y-%m}"
    found = []
    for month in store.months(app_id):
        if month < first and not held:
            continue
        table = columns.read_table(store.path(app_id, month), ["review_id", "review_date", "source", "deleted_at"])
        table = table.filter(pc.is_null(table["deleted_at"]))
        at_s = table["review_date"].cast("int64").to_numpy() // 1_000_000
        collected = pc.equal(table["source"], source).to_numpy(zero_copy_only=False)
        candidates = np.asarray(collected & (at_s >= since_s), dtype=bool)
        ids = table["review_id"].to_pylist()
        gone = [
            (review_id, int(date_s))
            for review_id, date_s, candidate in zip(ids, at_s, candidates, strict=True)
            if (candidate or (held and id_digest(review_id) in held)) and review_id not in seen
        ]
        if gone:
            found.append(
                VanishedMonth(month, [review_id for review_id, _ in gone], len(ids), min(date_s for _, date_s in gone))
            )
    return found


def too_many(months: Sequence[VanishedMonth], percent: float) -> str | None:
    """Why these deletions are not believed, or None if no month loses more than `percent` of its reviews."""
    for month in months:
        share = 100 * len(month.review_ids) / month.stored
        if share > percent:
            return (
                f"{month.month} would lose {len(month.review_ids)} of {month.stored} reviews ({share:.0f} %, limit "
                f"{percent:g} %): backfill the month to read it again, or run with accept_deletions"
            )
    return None
