"""Topics as people see them: rows for the database, and the part of the overview that the weekly digest shows too."""

import hashlib
from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops_assets.files import stamp
from mlops_assets.reporting.topic_tables import TopicRows
from mlops_assets.settings import Settings
from mlops_assets.workspace import TOPICS

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.reviews.topics.figures import Difference, Release, Share
    from mlops_assets.reviews.topics.stored import StoredTopics, Topic

_MONTHS, _RELEASES, _SEARCHED = 12, 6, 20
_LONGEST_EXAMPLE = 300


class ShownTopics:
    """The topics of one moment; each file is read once, and none before somebody asks.

    `data_digest` changes with the stored reviews: an erased one must leave the examples.
    """

    def __init__(self, settings: Settings, data_digest: str) -> None:
        self._settings, self._data_digest = settings, data_digest

    @cached_property
    def digest(self) -> str:
        """Changes with everything below."""
        path = self._settings.data / TOPICS / "topics.json"
        made_of = (stamp(path) if path.is_file() else None, self._data_digest)
        return hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]

    def rows(self) -> TopicRows:
        """For the database."""
        about = self._about
        months = about.months if about else {}
        version = about.version if about else ""
        return TopicRows(
            self.digest, self._listed, {name: f"{version} {of}" for name, of in months.items()}, self._counted
        )

    def overview(self, before: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """For the service's overview page; None before topics were found. `before`, if nothing changed since."""
        from mlops_assets.reviews.topics.figures import compare, newest_pair, releases, shares_by_month, topic_shares

        if before and before["digest"] == self.digest:
            return before
        about = self._about
        if about is None:
            return None
        counts, topics = self._counts, about.topics
        shares, months = topic_shares(counts, topics), shares_by_month(counts, topics, _MONTHS)
        found = releases(counts, topics, _SEARCHED)
        pairs = [pair for app in sorted({each.app_id for each in found}) if (pair := newest_pair(found, app))]
        return {
            "digest": self.digest,
            "model_version": about.model_version,
            "dataset_version": about.dataset_version,
            "found_at": about.found_at,
            "found_data": about.found_data,
            "found_in": dict(about.found_in),
            "reviews": int(counts["reviews"].sum()),
            "months": list(months),
            "topics": [
                {
                    "id": topic.id,
                    "sentiment": topic.sentiment,
                    "title": topic.title,
                    "words": list(topic.words),
                    "share": _share(shares[topic.id]),
                    "trend": [_share(row[topic.id]) if topic.id in row else None for row in months.values()],
                    "examples": self._examples(topic),
                }
                for topic in topics
                if topic.id in shares
            ],
            "releases": [
                _release(each, topics)
                for app in sorted({each.app_id for each in found})
                for each in [row for row in found if row.app_id == app][:_RELEASES]
            ],
            "compared": [
                {
                    "app_id": after.app_id,
                    "before": before.version,
                    "after": after.version,
                    "rows": [_difference(row) for row in compare(before, after, topics)],
                }
                for before, after in pairs
            ],
        }

    @cached_property
    def _about(self) -> "StoredTopics | None":
        from mlops_assets.reviews.topics.stored import TopicStore

        return TopicStore(self._settings.data / TOPICS).about()

    @cached_property
    def _counts(self) -> "pd.DataFrame":
        from mlops_assets.reviews.topics.stored import TopicStore

        return TopicStore(self._settings.data / TOPICS).counts(self._about.version if self._about else None)

    @cached_property
    def _texts(self) -> dict[str, str]:
        from mlops_assets.masking import mask
        from mlops_assets.reviews.topics.stored import texts_of_examples

        topics = self._about.topics if self._about else ()
        chosen = [example for topic in topics for example in topic.examples]
        found = texts_of_examples(self._settings.data, chosen, _LONGEST_EXAMPLE)
        return {review: mask(text) for review, text in found.items()}

    def _examples(self, topic: "Topic") -> list[str]:
        return [self._texts[review] for _, _, review in topic.examples if review in self._texts]

    def _listed(self) -> list[dict[str, Any]]:
        about = self._about
        if about is None:
            return []
        return [
            {
                "topic_id": topic.id,
                "sentiment": topic.sentiment,
                "position": place,
                "title": topic.title,
                "words": ", ".join(topic.words),
                "examples": "\n".join(self._examples(topic)),
                "found_at": about.found_at,
                "found_data": about.found_data,
            }
            for place, topic in enumerate(about.topics, start=1)
        ]

    def _counted(self, months: Collection[str]) -> list[dict[str, Any]]:
        counts = self._counts
        chosen = counts[(counts["app_id"] + "/" + counts["month"]).isin(list(months))]
        rows: list[Any] = chosen.rename(columns={"topic": "topic_id"}).to_dict("records")
        return [{**row, "month": f"{row['month']}-01"} for row in rows]


def _share(share: "Share") -> dict[str, Any]:
    low, high = share.interval
    return {"hits": share.hits, "n": share.n, "low": low, "high": high}


def _release(release: "Release", topics: "Collection[Topic]") -> dict[str, Any]:
    told = [topic for topic in topics if topic.sentiment == "negative" and topic.id in release.topics]
    told.sort(key=lambda topic: release.topics[topic.id].hits, reverse=True)
    return {
        "app_id": release.app_id,
        "version": release.version,
        "first_at": release.first_at.isoformat(),
        "last_at": release.last_at.isoformat(),
        "negative": _share(release.negative),
        "topics": [{"title": topic.title, **_share(release.topics[topic.id])} for topic in told[:3]],
    }


def _difference(row: "Difference") -> dict[str, Any]:
    return {
        "what": row.what,
        "before": _share(row.before),
        "after": _share(row.after),
        "rise": row.after.value - row.before.value,
        "low": row.low,
        "high": row.high,
        "beyond_chance": row.beyond_chance,
    }
