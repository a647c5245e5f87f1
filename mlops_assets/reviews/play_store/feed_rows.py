"""Pages of a feed as rows of the store."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
import pyarrow as pa

from mlops_assets.reviews.play_store.crawl_state import JournalPage
from mlops_assets.reviews.stored import columns

SOURCE = "play_store"


def rows_of(app_id: str, pages: Iterable[JournalPage]) -> pd.DataFrame:
    """The pages' reviews as stored rows."""
    rows = [(review, page.scraped_at) for page in pages for review in page.reviews]
    reviews = [review for review, _ in rows]

    def column(name: str) -> list[Any]:
        return [getattr(review, name) for review in reviews]

    data: dict[str, list[Any]] = {
        "review_id": column("review_id"),
        "app_id": [app_id] * len(rows),
        "review_text": column("text"),
        "rating": column("rating"),
        "thumbs_up": column("thumbs_up"),
        "app_version": column("app_version"),
        "review_date": [_microseconds(review.at_s) for review in reviews],
        "reply_text": column("reply_text"),
        "reply_date": [_microseconds(review.replied_at_s) for review in reviews],
        "scraped_at": [scraped_at for _, scraped_at in rows],
        "source": [SOURCE] * len(rows),
        "author": column("author"),
        "deleted_at": [None] * len(rows),
    }
    return columns.to_frame(pa.table(data, schema=columns.SCHEMA))


def _microseconds(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1_000_000
