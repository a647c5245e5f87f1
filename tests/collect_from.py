"""A process that collects: python -m tests.collect_from URL FOLDER APP MONTH [KEY]. Prints the status."""

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from mlops_assets.params.reviews import CollectOptions
from mlops_assets.reviews.play_store.client import PlayStore
from mlops_assets.reviews.play_store.collect import collect_app
from mlops_assets.reviews.stored.store import ReviewStore


def main() -> None:
    url, folder, app_id, month, *key = sys.argv[1:]
    logging.basicConfig(level=logging.DEBUG)
    options = CollectOptions(requests_per_second=1000, retries=1, backoff_s=0, flush_reviews=100)
    done = collect_app(
        ReviewStore(Path(folder)),
        PlayStore(options, url=url, author_key=SecretStr(key[0]) if key else None),
        app_id,
        [month],
        now=datetime(2026, 3, 20, 12, tzinfo=UTC),
        options=options,
        report=logging.info,
    )
    print(done.status, done.requests, done.reason)  # noqa: T201 - its parent reads it


if __name__ == "__main__":
    main()
