"""Reviews as documents of a MongoDB collection: one document for each, its `_id` the review's id."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops_assets.mirrors.mirror import ItemRefused, MirrorAway, without_secrets

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

COLLECTION, FOLLOWERS = "raw_reviews", "mirrors"
SHAPE = 1
"""The number of the document's shape: with another number every document is written again."""
INDEXES = (("app_id", "month"), ("review_id",), ("app_id", "review_date"))
_CLIENTS_OWN_STATE = re.compile(r" \(configured timeouts: [^)]*\)?|, Timeout: [\d.]+s|, Topology Description: .*")
"""What pymongo adds to the reason: 300 characters that no operator needs."""

Row = Mapping[str, Any]


class MongoReviews:
    """The collection, while it is open. Every call raises `MirrorAway` or `ItemRefused`, without the URL's login."""

    def __init__(self, database: "Database[dict[str, Any]]", url: str) -> None:
        self._followers: Collection[dict[str, Any]] = database[FOLLOWERS]
        self._reviews: Collection[dict[str, Any]] = database[COLLECTION]
        self._url = url

    def token(self, follower: str) -> str | None:
        """The sign that the follower's last pass left."""
        with _failures_of(self._url):
            found = self._followers.find_one({"_id": follower})
        return found["token"] if found else None

    def set_token(self, follower: str, token: str) -> None:
        """Leave a sign, and make the indexes."""
        with _failures_of(self._url):
            for keys in INDEXES:
                self._reviews.create_index([(key, 1) for key in keys])
            self._followers.replace_one({"_id": follower}, {"_id": follower, "token": token}, upsert=True)

    def write_month(self, app_id: str, month: str, batches: Iterable[Sequence[Row]], *, delete_at_once: int) -> None:
        """Make the documents of an app's month those of its rows. What is equal already is read and not written."""
        kept = set[str]()
        with _failures_of(self._url):
            for rows in batches:
                kept |= self._write(app_id, month, rows)
            self._delete(app_id, month, kept, delete_at_once)

    def remove_month(self, app_id: str, month: str, *, delete_at_once: int) -> None:
        """Remove every document of an app's month."""
        with _failures_of(self._url):
            self._delete(app_id, month, set(), delete_at_once)

    def forget(self, review_ids: Sequence[str]) -> int:
        """Remove reviews, whichever app they are of; how many documents went."""
        with _failures_of(self._url):
            return self._reviews.delete_many({"review_id": {"$in": list(review_ids)}}).deleted_count

    def _write(self, app_id: str, month: str, rows: Sequence[Row]) -> set[str]:
        """Upsert rows; the `_id` of each."""
        from pymongo import ReplaceOne

        names = [name for row in rows for name in (row["review_id"], f"{app_id}/{row['review_id']}")]
        held = {each["_id"]: each for each in self._reviews.find({"_id": {"$in": names}}, {"app_id": 1, "digest": 1})}
        kept, changes = set[str](), list[ReplaceOne[dict[str, Any]]]()
        for row in rows:
            name = _id_of(row["review_id"], app_id, held)
            document = _document(row, name, month)
            kept.add(name)
            if held.get(name, {}).get("digest") != document["digest"]:
                changes.append(ReplaceOne({"_id": name}, document, upsert=True))
        if changes:
            self._reviews.bulk_write(changes, ordered=False)
        return kept

    def _delete(self, app_id: str, month: str, kept: set[str], at_once: int) -> None:
        # The month is part of each filter: a review that moved is the other month's document by now.
        of_month = {"app_id": app_id, "month": month}
        gone = [each["_id"] for each in self._reviews.find(of_month, {"_id": 1}) if each["_id"] not in kept]
        for start in range(0, len(gone), at_once):
            self._reviews.delete_many({**of_month, "_id": {"$in": gone[start : start + at_once]}})


@contextmanager
def open_reviews(url: str, database: str, *, timeout_s: float) -> Iterator[MongoReviews]:
    """The collection of a server.

    timeout_s: for each request, unless the URL sets `timeoutMS`
    """
    from pymongo import MongoClient
    from pymongo.errors import InvalidURI

    options: dict[str, Any] = {"appname": "app-review-sentiment", "tz_aware": True}
    if not re.search("[?&]timeoutms=", url, re.IGNORECASE):
        options["timeoutMS"] = round(timeout_s * 1000)
    with _failures_of(url):
        try:
            client = MongoClient[dict[str, Any]](url, **options)
        except (InvalidURI, ValueError):
            # Their texts quote what they could not read, which may be half a password.
            raise MirrorAway(
                "MONGO_URL cannot be read: write it as mongodb://user:password@host/?option=value, with special "
                "characters of the password as %40 and such"
            ) from None
    with client:
        yield MongoReviews(client[database], url)


@contextmanager
def _failures_of(url: str) -> Iterator[None]:
    from pymongo.errors import BulkWriteError, DocumentTooLarge, PyMongoError

    try:
        yield
    except (BulkWriteError, DocumentTooLarge) as error:
        details = error.details if isinstance(error, BulkWriteError) else {}
        first = next(iter(details.get("writeErrors", ())), {}).get("errmsg") or str(error)
        raise ItemRefused(f"MongoDB refused a document: {without_secrets(first, url)}") from None
    except PyMongoError as error:
        reason = _CLIENTS_OWN_STATE.sub("", without_secrets(str(error), url))
        raise MirrorAway(reason or type(error).__name__) from None


def _id_of(review_id: str, app_id: str, held: Mapping[str, Row]) -> str:
    """The review's id. If another app has a review of this id, as when a file was imported for both: with the app."""
    with_app = f"{app_id}/{review_id}"
    taken = review_id in held and held[review_id]["app_id"] != app_id
    return with_app if taken or with_app in held else review_id


def _document(row: Row, name: str, month: str) -> dict[str, Any]:
    """A stored row, the month of its file, and a digest by which it is known without being read whole."""
    content = json.dumps([SHAPE, month, *row.values()], default=str, ensure_ascii=False)
    digest = hashlib.sha256(content.encode()).hexdigest()[:32]
    return {"_id": name, **row, "month": month, "digest": digest}
