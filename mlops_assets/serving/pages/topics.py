"""The overview's part about topics: what reviews are about, release by release."""

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_assets.serving.pages.charts import Point, lines
from mlops_assets.serving.pages.parts import chart_row, percent, section, table, utc

Part = Mapping[str, Any]
_DRAWN = 4
_TITLES = {"negative": "What negative reviews are about", "positive": "What positive reviews are about"}


def topics_part(topics: Part | None) -> str:
    """The section; empty if the pipeline has found no topics yet."""
    if not topics:
        return ""
    by_sentiment = {
        sentiment: sorted(
            (row for row in topics["topics"] if row["sentiment"] == sentiment), key=lambda row: -row["share"]["hits"]
        )
        for sentiment in _TITLES
    }
    body = chart_row(
        *(
            (f"{sentiment.capitalize()} topics by month", _trend(rows, topics["months"], sentiment))
            for sentiment, rows in by_sentiment.items()
        )
    )
    for sentiment, title in _TITLES.items():
        listed = [
            (row["id"], _about(row), shown(row["share"]), " · ".join(row["examples"][:2]))
            for row in by_sentiment[sentiment]
        ]
        body += table(title, ("Topic", "Words", "Share", "Examples"), listed)
    releases = [
        (
            row["app_id"],
            row["version"],
            utc(row["first_at"])[:10],
            shown(row["negative"]),
            "; ".join(f"{topic['title']} {percent(topic['hits'] / topic['n'])}" for topic in row["topics"]),
        )
        for row in topics["releases"]
    ]
    body += table(
        "Newest releases", ("App", "Version", "First review", "Negative", "Most frequent complaints"), releases
    )
    for pair in topics["compared"]:
        heads = ("Share", f"Version {pair['before']}", f"Version {pair['after']}", "Rise in points", "Verdict")
        rows = [
            (row["what"], shown(row["before"]), shown(row["after"]), rise(row), verdict(row)) for row in pair["rows"]
        ]
        body += table(f"{pair['app_id']}: the two newest releases with enough reviews", heads, rows)
    sizes = " and ".join(f"{count} distinct {sentiment} texts" for sentiment, count in topics["found_in"].items())
    about = (
        f"By the answers of model {topics['model_version']} to {topics['reviews']} reviews of data "
        f"{topics['dataset_version']}, with 95 % intervals; found in {sizes} of data {topics['found_data']}. "
        "A topic's share is of the reviews of its sentiment."
    )
    return section("Topics", body, about)


def _about(topic: Part) -> str:
    """The topic's words, after the name that people gave it."""
    words = ", ".join(topic["words"])
    return words if words.startswith(topic["title"]) else f"{topic['title']}: {words}"


def shown(share: Part) -> str:
    """A share with its interval and sample size."""
    value = percent(share["hits"] / share["n"])
    return f"{value} [{percent(share['low'])}, {percent(share['high'])}], n = {share['n']}"


def rise(row: Part) -> str:
    """How much a share rose, in percentage points, with the interval."""
    return f"{100 * row['rise']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"


def verdict(row: Part) -> str:
    """Whether the change is beyond chance, with allowance for how many shares are compared."""
    if not row["beyond_chance"]:
        return "within chance"
    return "rose" if row["rise"] > 0 else "fell"


def _trend(rows: Sequence[Part], months: Sequence[str], sentiment: str) -> str:
    series = {
        row["title"]: [
            Point(place, share["hits"] / share["n"], share["low"], share["high"], f"{months[place]}: {shown(share)}")
            for place, share in enumerate(row["trend"])
            if share
        ]
        for row in rows[:_DRAWN]
    }
    total = {place: share["n"] for row in rows for place, share in enumerate(row["trend"]) if share}
    ends = (months[0], months[-1] if len(months) > 1 else "") if months else ("", "")
    about = f"Share of the month's {sentiment} reviews, the {_DRAWN} largest topics, n = {sum(total.values())}"
    return lines({title: points for title, points in series.items() if points}, ends, about=about)
