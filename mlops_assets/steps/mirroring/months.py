"""The months of raw reviews, which MongoDB mirrors. Reviews of reference apps and older versions stay here."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.files import stamp
from mlops_assets.mirrors.mirror import without_login
from mlops_assets.mirrors.mongodb import COLLECTION, SHAPE, MongoReviews, open_reviews
from mlops_assets.params.operations import MirrorRules

if TYPE_CHECKING:
    from mlops_assets.reviews.stored.store import ReviewStore


class MonthsInMongo:
    """Each month of each app is an item. Its mark is the stamp of its file."""

    name = "MongoDB"
    items = "months of reviews"
    removes = True

    def __init__(self, raw: Path, url: str, database: str, rules: Callable[[], MirrorRules]) -> None:
        self._raw, self._url, self._database, self._rules = raw, url, database, rules

    @cached_property
    def _store(self) -> "ReviewStore":
        from mlops_assets.reviews.stored.store import ReviewStore  # it loads pandas

        return ReviewStore(self._raw)

    @property
    def address(self) -> str:
        return f"{without_login(self._url)} {self._database}.{COLLECTION}"

    def marks(self) -> Mapping[str, str]:
        """By app/month, the newest month of an app first."""
        keys = [(app, month) for app in self._store.apps() for month in reversed(self._store.months(app))]
        return {
            f"{app}/{month}": "-".join(map(str, (SHAPE, *stamp(self._store.path(app, month))))) for app, month in keys
        }

    def keep(self, done: Mapping[str, str]) -> None:
        """Nothing: the store has every month."""

    @contextmanager
    def open(self) -> "Iterator[_OpenMonths]":
        with open_reviews(self._url, self._database, timeout_s=self._rules().timeout_s) as reviews:
            yield _OpenMonths(self._store, reviews, self._rules().batch)

    def forget(self, review_ids: Sequence[str]) -> int:
        """Remove reviews at once, whether or not a month of theirs is here; how many documents went."""
        with open_reviews(self._url, self._database, timeout_s=self._rules().timeout_s) as reviews:
            return reviews.forget(review_ids)


class _OpenMonths:
    def __init__(self, store: "ReviewStore", reviews: MongoReviews, batch: int) -> None:
        self._store, self._reviews, self._batch = store, reviews, batch
        self.token, self.set_token = reviews.token, reviews.set_token

    def write(self, key: str, mark: str) -> None:  # noqa: ARG002  the month is read again
        from mlops_assets.reviews.stored.columns import row_batches

        app, month = key.split("/")
        batches = row_batches(self._store.path(app, month), self._batch)
        self._reviews.write_month(app, month, batches, delete_at_once=self._batch)

    def remove(self, key: str) -> None:
        app, month = key.split("/")
        self._reviews.remove_month(app, month, delete_at_once=self._batch)
