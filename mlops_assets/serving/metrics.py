"""The server's metrics, in a registry of their own so that two apps in one process stay apart."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client.registry import Collector

from mlops_assets.serving.overview_file import read_overview

__all__ = ["CONTENT_TYPE", "Metrics"]

_LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_LENGTHS = (5, 10, 20, 40, 80, 160, 320, 640, 1250, 2500, 5000, 10_000)
_SHARES = tuple(step / 20 for step in range(7, 21))


class _LastSuccess(Collector):
    """When the pipeline last succeeded, read at each scrape. Absent until a run has succeeded, so that an alert can
    react to its absence as well as to its age.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            at_s = float(self._path.read_text(encoding="ascii"))
        except OSError:
            return  # Missing or not readable: the other metrics must not be lost with it.
        yield GaugeMetricFamily(
            "pipeline_last_success_timestamp_seconds",
            "When a run of the pipeline last ended well, in seconds since 1970",
            value=at_s,
        )


class _Pipeline(Collector):
    """The state of the pipeline, from its overview file; read at each scrape."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def collect(self) -> Iterator[GaugeMetricFamily]:
        overview = read_overview(self._path)
        if overview is None:
            return
        pipeline = overview["pipeline"]
        for name, about, value in (
            ("interval_seconds", "How often a run of the pipeline is expected", pipeline["interval_s"]),
            ("drift_sustained", "1 where drift of reviews or predictions has lasted", pipeline["drift_sustained"]),
            ("facts_behind", "1 where the database of the dashboards misses runs", pipeline["facts_behind"]),
        ):
            yield GaugeMetricFamily(f"pipeline_{name}", about, value=float(value))
        runs = GaugeMetricFamily("pipeline_runs", "Runs on record by job and outcome", labels=["job", "outcome"])
        for row in pipeline["outcomes"]:
            runs.add_metric([row["job"], row["outcome"]], row["runs"])
        yield runs
        if last := pipeline["last_run"]:
            ended = GaugeMetricFamily(
                "pipeline_last_run_timestamp_seconds",
                "When the last run of the pipeline ended, and how, in seconds since 1970",
                labels=["job", "outcome"],
            )
            ended.add_metric([last["job"], last["outcome"]], datetime.fromisoformat(last["ended"]).timestamp())
            yield ended


class Metrics:
    """One attribute per metric; `last_success_file` and `overview_file` are the pipeline's, not the server's."""

    def __init__(self, last_success_file: Path | None = None, overview_file: Path | None = None) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        if last_success_file is not None:
            registry.register(_LastSuccess(last_success_file))
        if overview_file is not None:
            registry.register(_Pipeline(overview_file))
        self.requests = Counter(
            "http_requests", "Requests by path, method and status", ["path", "method", "status"], registry=registry
        )
        self.errors = Counter("errors", "Refused or failed requests by kind", ["kind"], registry=registry)
        self.latency = Histogram(
            "http_request_seconds", "Time to answer", ["path"], buckets=_LATENCIES, registry=registry
        )
        self.queue = Gauge("queue_texts", "Texts that wait for a batch", registry=registry)
        self.batch_texts = Histogram("batch_texts", "Texts per batch", buckets=_SIZES, registry=registry)
        self.batch_tokens = Histogram("batch_tokens", "Tokens per batch", buckets=_TOKENS, registry=registry)
        self.inference = Histogram(
            "batch_seconds", "Time in the model per batch", buckets=_LATENCIES, registry=registry
        )
        self.predictions = Counter("predictions", "Predictions by label", ["label"], registry=registry)
        self.confidence = Histogram(
            "prediction_confidence", "Probability of the predicted label", buckets=_SHARES, registry=registry
        )
        self.text_length = Histogram("text_characters", "Characters per text", buckets=_LENGTHS, registry=registry)
        self.log_dropped = Counter("prediction_log_dropped", "Predictions that could not be logged", registry=registry)
        self.request_log_dropped = Counter(
            "request_log_dropped", "Requests that could not be logged", registry=registry
        )
        self.model = Gauge(
            "model_info",
            "Always 1; which model and data answer, and where it computes",
            ["model_version", "dataset_version", "release_version", "kind", "device"],
            registry=registry,
        )

    def count(self, path: str, method: str, status: int, seconds: float) -> None:
        """A request that ended."""
        self.requests.labels(path, method, str(status)).inc()
        self.latency.labels(path).observe(seconds)
        if status >= 400:
            self.errors.labels(str(status)).inc()

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)
