"""The reviews of the last seven days beside those of the four weeks before, by app."""

from datetime import datetime, timedelta

import pandas as pd

from mlops_assets.reviews.topics.figures import Release, release
from mlops_assets.reviews.topics.stored import StoredTopics, TopicStore, counts_of

DAYS, BEFORE_DAYS = 7, 28


def week_of(store: TopicStore, about: StoredTopics, end: datetime) -> dict[str, tuple[Release | None, Release | None]]:
    """The four weeks before the week that ends at `end`, and that week, by app; None without a review. Apps without any
    are left out.
    """
    starts = end - timedelta(days=DAYS), end - timedelta(days=DAYS + BEFORE_DAYS)
    found: dict[str, tuple[Release | None, Release | None]] = {}
    for app_id in sorted({name.split("/")[0] for name in about.months}):
        months = [name.split("/")[1] for name in about.months if name.startswith(f"{app_id}/")]
        near = [month for month in months if f"{starts[1]:%Y-%m}" <= month <= f"{end:%Y-%m}"]
        if not near:
            continue
        rows = pd.concat([store.read_month(app_id, month) for month in near], ignore_index=True)
        at = rows["review_date"]
        now, before = rows[(at >= starts[0]) & (at < end)], rows[(at >= starts[1]) & (at < starts[0])]
        if len(now) or len(before):
            found[app_id] = tuple(_period(app_id, part, about) for part in (before, now))  # pyright: ignore[reportArgumentType]  # two
    return found


def _period(app_id: str, rows: pd.DataFrame, about: StoredTopics) -> Release | None:
    return release(counts_of(app_id, "", rows), about.topics) if len(rows) else None
