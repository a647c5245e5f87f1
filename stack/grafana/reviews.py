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

_BOUNDS = "facts.wilson({hits}, {n}, -1) AS low, facts.wilson({hits}, {n}, 1) AS high"
_COUNTED = "app_id IN ($app) AND $__timeFilter(month::timestamptz)"
_LARGEST = f"""
    SELECT topic_id FROM facts.topic_counts WHERE {_COUNTED} AND sentiment = '{{sentiment}}' AND topic_id <> ''
    GROUP BY 1 ORDER BY sum(reviews) DESC LIMIT 6"""  # noqa: S608  # as above


def _topics(sentiment: str) -> Panel:
    """Every topic of a sentiment, the largest first."""
    return Panel(
        f"Topics of {sentiment} reviews",
        f"Share of the {sentiment} reviews in the chosen time, with its 95 % interval. People name topics by their id in "
        "topics.yaml. The examples are masked.",
        [
            sql(
                f"""
                WITH total AS (SELECT sum(reviews) AS n FROM facts.topic_counts
                    WHERE {_COUNTED} AND sentiment = '{sentiment}'),
                counted AS (SELECT topic_id, sum(reviews) AS hits FROM facts.topic_counts
                    WHERE {_COUNTED} AND sentiment = '{sentiment}' GROUP BY 1)
                SELECT topic_id AS topic, title, words, hits AS reviews, (hits / n)::float8 AS share,
                    {_BOUNDS.format(hits="hits", n="n")}, n, examples
                FROM facts.topics JOIN counted USING (topic_id), total ORDER BY hits DESC""",  # noqa: S608  # as above
                table=True,
            )
        ],
        kind="table",
        width=24,
        height=9,
        units={"share": "percentunit", "low": "percentunit", "high": "percentunit"},
    )


def _topics_by_month(sentiment: str) -> Panel:
    return Panel(
        f"{sentiment.capitalize()} topics by month",
        f"Share of the month's {sentiment} reviews; the six largest topics.",
        [
            sql(
                f"""
                WITH total AS (SELECT month, sum(reviews) AS n FROM facts.topic_counts
                    WHERE {_COUNTED} AND sentiment = '{sentiment}' GROUP BY 1)
                SELECT month::timestamptz AS time, title AS metric, (sum(reviews) / max(n))::float8 AS value
                FROM facts.topic_counts JOIN total USING (month) JOIN facts.topics USING (topic_id)
                WHERE {_COUNTED} AND topic_id IN ({_LARGEST.format(sentiment=sentiment)})
                GROUP BY 1, 2 ORDER BY 1, 2"""  # noqa: S608  # as above
            )
        ],
        unit="percentunit",
        least=0,
        decimals=1,
    )


_RELEASES = """
    releases AS (SELECT app_id, app_version, min(first_at) AS first_at,
        coalesce(sum(reviews) FILTER (WHERE sentiment = 'negative'), 0) AS negative, sum(reviews) AS n
        FROM facts.topic_counts WHERE app_id IN ($app) AND app_version <> '' GROUP BY 1, 2)"""  # as above
_TOPICS_OF_RELEASES = Panel(
    "Complaints of the newest releases",
    "The topics of the negative reviews of each app's three newest releases with at least 30 reviews, each share with "
    "its 95 % interval.",
    [
        sql(
            f"""
            WITH {_RELEASES},
            newest AS (SELECT *, row_number() OVER (PARTITION BY app_id ORDER BY first_at DESC) AS place
                FROM releases WHERE n >= 30)
            SELECT app_id AS app, app_version AS version, title, sum(reviews) AS reviews,
                (sum(reviews) / max(negative))::float8 AS share,
                {_BOUNDS.format(hits="sum(reviews)", n="max(negative)")}, max(negative) AS n
            FROM newest JOIN facts.topic_counts USING (app_id, app_version) JOIN facts.topics USING (topic_id, sentiment)
            WHERE place <= 3 AND sentiment = 'negative'
            GROUP BY app_id, app_version, newest.first_at, title ORDER BY app_id, newest.first_at DESC, share DESC""",  # noqa: S608
            table=True,
        )
    ],
    kind="table",
    height=10,
    units={"share": "percentunit", "low": "percentunit", "high": "percentunit"},
)
_TWO_RELEASES = Panel(
    "Two newest releases compared",
    "Share of negative reviews, and of each topic among them, in each app's two newest releases with at least 30 reviews. "
    "Where the 95 % interval of the rise (Newcombe) excludes 0, one share alone differs beyond chance; the overview page "
    "allows for the number of shares.",
    [
        sql(
            f"""
            WITH {_RELEASES},
            newest AS (SELECT *, row_number() OVER (PARTITION BY app_id ORDER BY first_at DESC) AS place
                FROM releases WHERE n >= 30),
            shares AS (
                SELECT app_id, place, 'negative reviews' AS what, negative AS hits, n FROM newest
                UNION ALL SELECT newest.app_id, place, title,
                    coalesce((SELECT sum(reviews) FROM facts.topic_counts AS counts
                        WHERE counts.app_id = newest.app_id AND counts.app_version = newest.app_version
                        AND counts.topic_id = topics.topic_id), 0), negative
                FROM newest CROSS JOIN facts.topics WHERE sentiment = 'negative'),
            bounded AS (SELECT *, hits / n AS share, {_BOUNDS.format(hits="hits", n="n")} FROM shares
                WHERE n > 0 AND place <= 2)
            SELECT after.app_id AS app, after.what, before.share::float8 AS before, before.n AS n_before,
                after.share::float8 AS after, after.n AS n_after, (after.share - before.share)::float8 AS rise,
                after.share - before.share - sqrt((after.share - after.low) ^ 2 + (before.high - before.share) ^ 2) AS low,
                after.share - before.share + sqrt((after.high - after.share) ^ 2 + (before.share - before.low) ^ 2) AS high
            FROM bounded AS after JOIN bounded AS before ON before.app_id = after.app_id AND before.what = after.what
                AND before.place = 2 AND after.place = 1
            ORDER BY 1, after.what <> 'negative reviews', rise DESC""",  # noqa: S608  # as above
            table=True,
        )
    ],
    kind="table",
    height=10,
    units=dict.fromkeys(("before", "after", "rise", "low", "high"), "percentunit"),
)

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
            "Topics",
            [
                _topics("negative"),
                _topics("positive"),
                _topics_by_month("negative"),
                _topics_by_month("positive"),
                _TOPICS_OF_RELEASES,
                _TWO_RELEASES,
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
