"""What overview and database show of each app's months: a month is read again when one of its files changed."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from mlops_assets.code_version import code_version
from mlops_assets.files import sha256
from mlops_assets.reviews.stored.kept import Kept
from mlops_assets.reviews.stored.volumes import (
    MonthRows,
    month_rows,
    month_stamps,
    newest_complaints,
    review_rows,
)

COMPLAINTS = 10
"""How many of a month's newest complaints its summary names."""

Summary = dict[str, Any]
"""`volume`, `reasons`, `counts` of the usable reviews, their `models`, counts by app `versions` with the `newest`
review of each, and the newest `complaints` by time and id. No text: an erased review would stay in it.
"""


class ShownMonths:
    """The months below `data`; their summaries are kept in the file `kept`."""

    def __init__(self, data: Path, kept: Path) -> None:
        self._data, self._kept = data, kept
        self._made: dict[str, Summary] = {}
        self._complaints: dict[str, list[dict[str, Any]]] = {}

    @cached_property
    def stamps(self) -> dict[str, str]:
        """App and month -> what changes whenever one of its files does."""
        return month_stamps(self._data)

    @cached_property
    def digest(self) -> str:
        """Changes whenever a month does."""
        return hashlib.sha256(json.dumps(self.stamps).encode()).hexdigest()[:16]

    def rows(self, name: str) -> MonthRows:
        """What is stored of a month now."""
        rows = month_rows(self._data, name)
        summary = self._made[name] = summary_of(rows)
        named = {review_id for _, review_id in summary["complaints"]}
        self._complaints[name] = [row for row in rows.reviews if row["review_id"] in named]
        return rows

    def reviews(self, name: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        """These reviews of a month, with their texts."""
        return review_rows(self._data, name, ids)

    def summaries(self) -> dict[str, Summary]:
        """Every month's summary."""
        kept = Kept(self._kept, _code())
        for name, summary in self._made.items():
            kept.keep(name, self.stamps[name], summary)
        found = {name: kept.of(name, stamp, partial(self._summary, name)) for name, stamp in self.stamps.items()}
        kept.save()
        return found

    def _summary(self, name: str) -> Summary:
        self.rows(name)
        return self._made[name]

    def newest_complaints(self, summaries: Mapping[str, Summary]) -> list[dict[str, Any]]:
        """The newest complaints of all months, with their texts."""
        named = sorted(
            ((at, review_id, name) for name, month in summaries.items() for at, review_id in month["complaints"]),
            reverse=True,
        )[:COMPLAINTS]
        wanted: dict[str, list[str]] = {}
        for _, review_id, name in named:
            wanted.setdefault(name, []).append(review_id)
        found = [
            row
            for name, ids in wanted.items()
            for row in self._complaints.get(name) or self.reviews(name, ids)
            if row["review_id"] in ids
        ]
        return sorted(found, key=lambda row: (row["at"], row["review_id"]), reverse=True)


def summary_of(month: MonthRows) -> Summary:
    """A month in numbers."""
    versions: dict[str, list[Mapping[str, Any]]] = {}
    for review in month.reviews:
        if review["app_version"]:
            versions.setdefault(review["app_version"], []).append(review)
    complaints = [row for row in newest_complaints(month.reviews) if row["text"]][:COMPLAINTS]
    return {
        "volume": month.volume,
        "reasons": {row["reason"]: row["reviews"] for row in month.reasons},
        "counts": _counts(month.reviews),
        "models": dict(Counter(row["model_version"] for row in month.reviews if row["model_version"])),
        "versions": {
            version: {"newest": max(row["at"] for row in rows).isoformat(), **_counts(rows)}
            for version, rows in versions.items()
        },
        "complaints": [[row["at"].isoformat(), row["review_id"]] for row in complaints],
    }


def _counts(reviews: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many reviews, by stars; how many the model classified, and how many of those as negative."""
    stars = Counter(review["rating"] for review in reviews)
    classified = Counter(review["sentiment"] for review in reviews if review["sentiment"])
    return {
        "n": len(reviews),
        "stars": [stars.get(star, 0) for star in range(1, 6)],
        "answered": sum(classified.values()),
        "negative": classified.get("negative", 0),
    }


def _code() -> str:
    return code_version("mlops_assets.reviews.stored.volumes") + sha256(Path(__file__))[:12]
