"""The tables of the dashboards about topics: what they hold, and how they follow what was counted."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

MIGRATION = (
    "CREATE TABLE facts.topics (topic_id TEXT PRIMARY KEY, sentiment TEXT NOT NULL, position INTEGER NOT NULL, "
    "title TEXT NOT NULL, words TEXT NOT NULL, examples TEXT NOT NULL, found_at TIMESTAMPTZ NOT NULL, "
    "found_data TEXT NOT NULL)",
    # app_version and topic_id are empty for reviews without one.
    "CREATE TABLE facts.topic_counts (app_id TEXT NOT NULL, month DATE NOT NULL, app_version TEXT NOT NULL, "
    "sentiment TEXT NOT NULL, topic_id TEXT NOT NULL, reviews BIGINT NOT NULL, first_at TIMESTAMPTZ NOT NULL, "
    "last_at TIMESTAMPTZ NOT NULL, PRIMARY KEY (app_id, month, app_version, sentiment, topic_id))",
    "CREATE TABLE facts.topics_synced (part TEXT PRIMARY KEY, digest TEXT NOT NULL, "
    "at TIMESTAMPTZ NOT NULL DEFAULT now())",
    # The 95 % interval of a share (Wilson), as the pipeline shows it elsewhere.
    "CREATE FUNCTION facts.wilson(hits NUMERIC, n NUMERIC, side INTEGER) RETURNS DOUBLE PRECISION "
    "LANGUAGE SQL IMMUTABLE AS 'SELECT CASE WHEN n > 0 THEN greatest(0, least(1, ((hits / n + 3.841459 / (2 * n)) "
    "+ side * 1.959964 * sqrt(hits / n * (1 - hits / n) / n + 3.841459 / (4 * n * n))) / (1 + 3.841459 / n))) "
    "END::double precision'",
)
_LISTED = "topics"
"""The part of facts.topics_synced that is no month."""


@dataclass(frozen=True)
class TopicRows:
    """The topics and their counts. Rows are asked for only if their digest is new.

    months: digest by `<app_id>/<YYYY-MM>`
    counts: the rows of such months
    """

    digest: str
    listed: Callable[[], Sequence[Row]]
    months: Mapping[str, str]
    counts: Callable[[Collection[str]], Sequence[Row]]


def write_topics(connection: Any, found: TopicRows, copy: Callable[[Any, str, Sequence[Row]], None]) -> None:
    """Write the topics, and the months whose counts changed."""
    known = dict(connection.execute("SELECT part, digest FROM facts.topics_synced").fetchall())
    if known.pop(_LISTED, "") != found.digest:
        connection.execute("DELETE FROM facts.topics")
        copy(connection, "topics", found.listed())
        _remember(connection, {_LISTED: found.digest})
    changed = {name: digest for name, digest in found.months.items() if known.get(name) != digest}
    gone = sorted(known.keys() - found.months.keys())
    for name in [*changed, *gone]:
        app_id, month = name.split("/")
        connection.execute(
            "DELETE FROM facts.topic_counts WHERE app_id = %s AND month = %s::date", (app_id, f"{month}-01")
        )
    connection.execute("DELETE FROM facts.topics_synced WHERE part = ANY(%s)", (gone,))
    if changed:
        copy(connection, "topic_counts", found.counts(changed.keys()))
        _remember(connection, changed)


def _remember(connection: Any, digests: Mapping[str, str]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO facts.topics_synced (part, digest) VALUES (%s, %s) "
            "ON CONFLICT (part) DO UPDATE SET digest = excluded.digest, at = now()",
            list(digests.items()),
        )
