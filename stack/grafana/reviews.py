"""The dashboard *Reviews*: what people write, and what the serving model makes of it."""

from stack.grafana.panels import Dashboard, Panel, Query, sql

_WHERE = "app_id IN ($app) AND $__timeFilter(at)"


def _by_month(value: str, metric: str, more: str = "") -> Query:
    return sql(f"""
        SELECT month::timestamptz AS time, {metric} AS metric, {value} AS value FROM facts.reviews
        WHERE {_WHERE}{more} GROUP BY 1, 2 ORDER BY 1, 2""")  # noqa: S608  # texts of this file


_NEGATIVE = "avg((sentiment = 'negative')::int)::float8"
_NEWEST_VERSIONS = f"""
    SELECT app_id, app_version FROM facts.reviews WHERE {_WHERE} AND app_version IS NOT NULL
    GROUP BY 1, 2 ORDER BY max(at) DESC LIMIT 8"""  # noqa: S608  # as above

DASHBOARD = Dashboard(
    uid="reviews",
    title="Reviews",
    about="Usable reviews as they are stored now; erased and deleted ones are not here. Sentiment is the serving model's.",
    since="now-1y",
    refresh="5m",
    apps=True,
    rows=[
        (
            "How many, how many stars",
            [
                Panel(
                    "Reviews by app",
                    "By the month in which they were written.",
                    [_by_month("count(*)", "app_id")],
                    kind="bars",
                    stacked=True,
                    decimals=0,
                    width=8,
                ),
                Panel(
                    "Rating mix",
                    "Reviews by stars and month, the chosen apps together.",
                    [_by_month("count(*)", "rating::text || ' stars'", " AND rating IS NOT NULL")],
                    kind="bars",
                    stacked=True,
                    decimals=0,
                    width=8,
                ),
                Panel(
                    "Mean rating",
                    "Stars by app and month; n is in the panel on the left.",
                    [_by_month("avg(rating)::float8", "app_id")],
                    least=1,
                    most=5,
                    decimals=2,
                    width=8,
                ),
            ],
        ),
        (
            "Sentiment",
            [
                Panel(
                    "Negative by app",
                    "Share of the month's reviews that the serving model calls negative.",
                    [_by_month(_NEGATIVE, "app_id", " AND sentiment IS NOT NULL")],
                    unit="percentunit",
                    least=0,
                    most=1,
                    decimals=1,
                ),
                Panel(
                    "Negative by version",
                    "The same for the eight versions whose reviews are the newest.",
                    [
                        _by_month(
                            _NEGATIVE,
                            "app_id || ' ' || app_version",
                            f" AND sentiment IS NOT NULL AND (app_id, app_version) IN ({_NEWEST_VERSIONS})",
                        )
                    ],
                    unit="percentunit",
                    least=0,
                    most=1,
                    decimals=1,
                ),
                Panel(
                    "Versions",
                    "The newest first, with n; few reviews say little.",
                    [
                        sql(
                            f"""
                            SELECT app_id AS app, app_version AS version, count(*) AS n, avg(rating)::float8 AS mean_stars,
                                {_NEGATIVE} AS negative, min(at) AS first_review, max(at) AS last_review,
                                max(model_version) AS model
                            FROM facts.reviews WHERE {_WHERE} AND app_version IS NOT NULL
                            GROUP BY 1, 2 ORDER BY max(at) DESC LIMIT 50""",  # noqa: S608  # as above
                            table=True,
                        )
                    ],
                    kind="table",
                    units={
                        "negative": "percentunit",
                        "first_review": "dateTimeAsIso",
                        "last_review": "dateTimeAsIso",
                    },
                ),
                Panel(
                    "Scored by",
                    "How many of the chosen apps' reviews the live model has scored, and how many an earlier one; the next "
                    "runs go on. Reviews of any time.",
                    [
                        sql(
                            """
                            SELECT model_version AS model, CASE WHEN model_version IN (SELECT model_version FROM facts.served
                                WHERE until IS NULL) THEN 'live' ELSE 'earlier' END AS "is", sum(reviews) AS reviews
                            FROM facts.answers WHERE app_id IN ($app) GROUP BY 1, 2 ORDER BY 3 DESC""",
                            table=True,
                        )
                    ],
                    kind="table",
                ),
                Panel(
                    "Stars and sentiment disagree",
                    "Share of reviews with 1-2 stars called positive, or 4-5 stars called negative: wrong stars, or a "
                    "model that errs.",
                    [
                        _by_month(
                            "avg(((rating <= 2 AND sentiment = 'positive') "
                            "OR (rating >= 4 AND sentiment = 'negative'))::int)::float8",
                            "app_id",
                            " AND sentiment IS NOT NULL AND rating <> 3",
                        )
                    ],
                    unit="percentunit",
                    least=0,
                    decimals=1,
                ),
            ],
        ),
        (
            "Complaints",
            [
                Panel(
                    "Newest complaints",
                    "At most two stars, or called negative; the newest 50 of each app keep their text here.",
                    [
                        sql(
                            f"""
                            SELECT at, app_id AS app, app_version AS version, rating AS stars, sentiment, confidence, "text"
                            FROM facts.reviews WHERE {_WHERE} AND "text" IS NOT NULL
                            ORDER BY at DESC LIMIT 50""",  # noqa: S608  # as above
                            table=True,
                        )
                    ],
                    kind="table",
                    width=24,
                    height=12,
                    units={"at": "dateTimeAsIso", "confidence": "percentunit"},
                ),
            ],
        ),
    ],
)
