"""The dashboard *Models*: how good they are, by whose labels, and what served when."""

from stack.grafana.panels import Dashboard, Panel, Query, sql

_KINDS = ("bert", "classic", "blend")


def _scores(side: str) -> Query:
    return sql(f"""
        SELECT at AS time, kind || part AS metric, value FROM facts.scores
        CROSS JOIN LATERAL (VALUES ('', macro_f1), (' low', macro_f1_low), (' high', macro_f1_high)) AS parts (part, value)
        WHERE side = '{side}' AND value IS NOT NULL AND $__timeFilter(at) ORDER BY 1, 2""")  # noqa: S608  # a side's name


def _score_panel(title: str, side: str, about: str) -> Panel:
    told = f"{about} Macro-F1 with its 95 % interval as it stood after each run; n and data are in the table below."
    return Panel(title, told, [_scores(side)], unit="percentunit", most=1, width=6, decimals=1, bands=_KINDS)


DASHBOARD = Dashboard(
    uid="models",
    title="Models",
    about="Scores with intervals and n, what served when, feedback, drift.",
    since="now-90d",
    refresh="5m",
    rows=[
        (
            "Scores",
            [
                _score_panel("Test side", "test", "Reviews that nothing was chosen on."),
                _score_panel(
                    "Newest window", "newest", "Gate and test reviews of the newest months (evaluate.newest_months)."
                ),
                _score_panel(
                    "Forward",
                    "forward",
                    "The serving model on reviews that arrived after its data: what deployment really met.",
                ),
                _score_panel(
                    "Labels of people", "people", "Held-out texts by the labels that people gave them, from 100 on."
                ),
                Panel(
                    "Scores after the last run",
                    "Each model and side with its sample size and the versions that it was measured with; `serves` marks "
                    "the champion.",
                    [
                        sql(
                            """
                            SELECT kind AS model, side, n, accuracy, accuracy_low, accuracy_high, macro_f1, macro_f1_low,
                                macro_f1_high, champion AS serves, model_version, dataset_version, at AS measured
                            FROM facts.scores WHERE run_id = (SELECT run_id FROM facts.scores ORDER BY at DESC LIMIT 1)
                            ORDER BY kind, side""",
                            table=True,
                        )
                    ],
                    kind="table",
                    width=24,
                    decimals=3,
                    units={"measured": "dateTimeAsIso"},
                ),
            ],
        ),
        (
            "What served when",
            [
                Panel(
                    "Model that served",
                    "From the deployment log: one bar per model version.",
                    [
                        sql(
                            """
                            SELECT greatest(at, $__timeFrom()::timestamptz) AS time, model_version AS model
                            FROM facts.served
                            WHERE at <= $__timeTo()::timestamptz AND coalesce(until, now()) >= $__timeFrom()::timestamptz
                            ORDER BY 1""",
                            table=True,
                        )
                    ],
                    kind="state-timeline",
                    height=5,
                    width=24,
                ),
                Panel(
                    "Deployments",
                    "Every attempt, the newest first: what, when, caused by whom, and how it ended.",
                    [
                        sql(
                            """
                            SELECT at, outcome, model_version, dataset_version, release_version, caused_by, target, reason
                            FROM facts.deployments ORDER BY at DESC LIMIT 50""",
                            table=True,
                        )
                    ],
                    kind="table",
                    width=24,
                    units={"at": "dateTimeAsIso"},
                ),
            ],
        ),
        (
            "Feedback",
            [
                Panel(
                    "Accuracy by feedback",
                    "Share of predictions that clients confirmed, by day and model. Who sends feedback is no sample.",
                    [
                        sql("""
                            SELECT date_trunc('day', given.at::timestamptz) AS time, model_version AS metric,
                                avg((sentiment = label)::int)::float8 AS value
                            FROM feedback AS given JOIN predictions USING (request_id)
                            WHERE $__timeFilter(given.at::timestamptz) GROUP BY 1, 2 ORDER BY 1""")
                    ],
                    unit="percentunit",
                    least=0,
                    most=1,
                    width=8,
                ),
                Panel(
                    "Feedback by day",
                    "How many labels came back: n of the panel beside it.",
                    [
                        sql("""
                            SELECT date_trunc('day', given.at::timestamptz) AS time, model_version AS metric,
                                count(*) AS value
                            FROM feedback AS given JOIN predictions USING (request_id)
                            WHERE $__timeFilter(given.at::timestamptz) GROUP BY 1, 2 ORDER BY 1""")
                    ],
                    kind="bars",
                    stacked=True,
                    width=8,
                ),
                Panel(
                    "Feedback by model",
                    "Accuracy with its 95 % interval (Wilson) over all feedback in the time range.",
                    [
                        sql(
                            """
                            WITH counts AS (
                                SELECT model_version, count(*)::float8 AS n, avg((sentiment = label)::int)::float8 AS p
                                FROM feedback AS given JOIN predictions USING (request_id)
                                WHERE $__timeFilter(given.at::timestamptz) GROUP BY 1)
                            SELECT model_version, n, p AS accuracy,
                                (p + 1.92 / n - 1.96 * sqrt(p * (1 - p) / n + 0.96 / n / n)) / (1 + 3.84 / n) AS low,
                                (p + 1.92 / n + 1.96 * sqrt(p * (1 - p) / n + 0.96 / n / n)) / (1 + 3.84 / n) AS high
                            FROM counts ORDER BY n DESC""",
                            table=True,
                        )
                    ],
                    kind="table",
                    width=8,
                    units={"accuracy": "percentunit", "low": "percentunit", "high": "percentunit"},
                ),
            ],
        ),
        (
            "Drift",
            [
                Panel(
                    "Effect by feature, over its floor",
                    "How far the newest reviews, or what the model says of them, are from those it learnt from; above 1 "
                    "it is more than the floor, and drift where it is beyond chance too.",
                    [
                        sql("""
                            SELECT at AS time, "of" || ': ' || feature AS metric, effect / nullif(floor, 0) AS value
                            FROM facts.drift WHERE $__timeFilter(at) ORDER BY 1, 2""")
                    ],
                    least=0,
                    decimals=2,
                ),
                Panel(
                    "p by feature, corrected",
                    "Chance of an effect like this without drift, after correcting for all features (Holm).",
                    [
                        sql("""
                            SELECT at AS time, "of" || ': ' || feature AS metric, p AS value
                            FROM facts.drift WHERE $__timeFilter(at) ORDER BY 1, 2""")
                    ],
                    least=0,
                    most=1,
                    decimals=3,
                ),
                Panel(
                    "Verdicts",
                    "Each tick's, the newest first, with how many reviews were compared; n 0 or few is not judged.",
                    [
                        sql(
                            """
                            SELECT at, "of" AS about, drifted, features, n, model_version FROM facts.drift_ticks
                            WHERE $__timeFilter(at) ORDER BY at DESC LIMIT 100""",
                            table=True,
                        )
                    ],
                    kind="table",
                    width=24,
                    units={"at": "dateTimeAsIso"},
                ),
            ],
        ),
    ],
)
