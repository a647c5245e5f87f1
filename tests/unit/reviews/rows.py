"""Stored reviews for tests: one line each."""

import pandas as pd

from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.store import ReviewStore

APP = "com.example.app"


def review(review_id: str, **values: object) -> dict[str, object]:
    """A usable review; `values` replace its columns."""
    return {
        "review_id": review_id,
        "app_id": APP,
        "review_text": "aplikasi bagus",
        "rating": 5,
        "thumbs_up": 0,
        "review_date": "2026-01-10T12:00:00Z",
        "scraped_at": "2026-02-01T00:00:00Z",
        "source": "file",
        **values,
    }


def frame(*reviews: dict[str, object]) -> pd.DataFrame:
    return columns.conform(pd.DataFrame(list(reviews)))


def history_months(store: ReviewStore, app_id: str = APP) -> list[str]:
    """Months with older versions of edited reviews."""
    return sorted(path.stem for path in (store.folder / app_id / "history").glob("*.parquet"))
