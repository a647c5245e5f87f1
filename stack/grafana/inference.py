"""The dashboard *Inference*: what clients of the model service see. Rates are over all instances, so that a switch of
containers changes nothing.
"""

from stack.grafana.panels import Dashboard, Panel, Query, prom

_OURS = 'job="model-service"'
_RANGE = "[$__rate_interval]"


def _rate(metric: str, by: str = "", more: str = "") -> str:
    group = f" by ({by})" if by else ""
    return f"sum{group} (rate({metric}{{{_OURS}{more}}}{_RANGE}))"


def _quantiles(metric: str, shares: tuple[float, ...], more: str = "") -> list[Query]:
    return [
        prom(f"histogram_quantile({share}, {_rate(f'{metric}_bucket', 'le', more)})", f"p{share * 100:g}")
        for share in shares
    ]


def _mean(metric: str) -> str:
    return f"{_rate(f'{metric}_sum')} / {_rate(f'{metric}_count')}"


DASHBOARD = Dashboard(
    uid="inference",
    title="Inference",
    about="The model service: how much it is asked, how fast and how surely it answers.",
    since="now-3h",
    rows=[
        (
            "Now",
            [
                Panel(
                    "Instances up",
                    "Containers that Prometheus reaches. Two only during a switch, 0 is an outage.",
                    [prom(f"sum(up{{{_OURS}}}) or vector(0)")],
                    kind="stat",
                    width=4,
                    height=4,
                ),
                Panel(
                    "Failed requests, 30 min",
                    "Share of all requests answered with a 5xx. The budget is 0.1 % over 30 days.",
                    [
                        prom(
                            f'(sum(increase(http_requests_total{{{_OURS},status=~"5.."}}[30m])) or vector(0)) '
                            f"/ sum(increase(http_requests_total{{{_OURS}}}[30m]))"
                        )
                    ],
                    unit="percentunit",
                    kind="stat",
                    width=4,
                    height=4,
                    decimals=2,
                ),
                Panel(
                    "Requests, 30 min",
                    "All paths and answers, the number behind the share beside it.",
                    [prom(f"sum(increase(http_requests_total{{{_OURS}}}[30m]))")],
                    kind="stat",
                    width=4,
                    height=4,
                    decimals=0,
                ),
                Panel(
                    "What answers",
                    "Model, data, release and device of each instance, by its own word.",
                    [
                        prom(
                            f"max by (instance, kind, model_version, dataset_version, release_version, device) "
                            f"(model_info{{{_OURS}}})",
                            table=True,
                        )
                    ],
                    kind="table",
                    width=12,
                    height=4,
                ),
            ],
        ),
        (
            "Traffic",
            [
                Panel(
                    "Requests",
                    "Requests per second by path; paths that the service does not know are `other`.",
                    [prom(_rate("http_requests_total", "path"), "{{path}}")],
                    unit="reqps",
                    least=0,
                    stacked=True,
                ),
                Panel(
                    "Refused and failed",
                    "Answers per second with 4xx (the client's) and 5xx (ours), by status. 429 is a full queue or a "
                    "key over its rate.",
                    [prom(_rate("http_requests_total", "status", ',status=~"[45].."'), "{{status}}")],
                    unit="reqps",
                    least=0,
                ),
                Panel(
                    "Latency of predictions",
                    "Time to answer /predict and /predict/batch as the server sees it, without the way to the client.",
                    _quantiles("http_request_seconds", (0.5, 0.95, 0.99), ',path=~"/predict.*"'),
                    unit="s",
                    least=0,
                ),
                Panel(
                    "Latency by path, p95",
                    "One in twenty requests of the path takes longer.",
                    [prom(f"histogram_quantile(0.95, {_rate('http_request_seconds_bucket', 'le, path')})", "{{path}}")],
                    unit="s",
                    least=0,
                ),
            ],
        ),
        (
            "Queue and batches",
            [
                Panel(
                    "Queue",
                    "Texts that wait for a batch, all instances. Full at MAX_QUEUE_TEXTS; then clients get 429.",
                    [prom(f"sum(max_over_time(queue_texts{{{_OURS}}}{_RANGE}))", "texts")],
                    least=0,
                    width=8,
                ),
                Panel(
                    "Texts per batch",
                    "Mean and p95. One means that there is nothing to batch, or that lengths differ too much.",
                    [prom(_mean("batch_texts"), "mean"), *_quantiles("batch_texts", (0.95,))],
                    least=0,
                    width=8,
                    decimals=1,
                ),
                Panel(
                    "Time in the model per batch",
                    "What is left of the latency is waiting.",
                    _quantiles("batch_seconds", (0.5, 0.95)),
                    unit="s",
                    least=0,
                    width=8,
                ),
                Panel(
                    "Tokens per batch",
                    "Mean and p95; bounded by BATCH_TOKENS.",
                    [prom(_mean("batch_tokens"), "mean"), *_quantiles("batch_tokens", (0.95,))],
                    least=0,
                    decimals=0,
                ),
                Panel(
                    "Length of texts",
                    "Characters per text that was answered.",
                    _quantiles("text_characters", (0.5, 0.95)),
                    least=0,
                    decimals=0,
                ),
            ],
        ),
        (
            "Answers",
            [
                Panel(
                    "Labels",
                    "Predictions per second by label.",
                    [prom(_rate("predictions_total", "label"), "{{label}}")],
                    unit="cps",
                    least=0,
                    stacked=True,
                    width=8,
                ),
                Panel(
                    "Share of each label",
                    "Of the predictions of the last hour. A jump without a new model is a change in what people write.",
                    [
                        prom(
                            f"sum by (label) (increase(predictions_total{{{_OURS}}}[1h])) / ignoring (label) "
                            f"group_left () sum(increase(predictions_total{{{_OURS}}}[1h]))",
                            "{{label}}",
                        )
                    ],
                    unit="percentunit",
                    least=0,
                    most=1,
                    width=8,
                ),
                Panel(
                    "Predictions behind the share, 1 h",
                    "n of the panel beside it.",
                    [prom(f"sum(increase(predictions_total{{{_OURS}}}[1h]))", "predictions")],
                    least=0,
                    decimals=0,
                    width=8,
                ),
                Panel(
                    "Confidence",
                    "Probability of the predicted label: the unsurest tenth, the middle, the surest tenth.",
                    _quantiles("prediction_confidence", (0.1, 0.5, 0.9)),
                    unit="percentunit",
                    most=1,
                ),
                Panel(
                    "Predictions that are not on record",
                    "Per second, dropped because the log had no room or the database was down. 0 is right.",
                    [prom(_rate("prediction_log_dropped_total"), "dropped")],
                    unit="cps",
                    least=0,
                ),
            ],
        ),
    ],
)
