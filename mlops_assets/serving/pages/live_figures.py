"""What the server has counted since its start, and the load of its machine, as figures for people."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.serving.metrics import Metrics


@dataclass(frozen=True)
class Figures:
    """Counts since the start; times in seconds, None if there was nothing to time."""

    requests: int
    failed: int
    refused: int
    latencies: Mapping[str, float | None]
    queue: int
    texts_per_batch: float | None
    labels: Mapping[str, int]
    confidence: float | None
    dropped: int

    @classmethod
    def of(cls, metrics: Metrics) -> "Figures":
        """Read from the registry that /metrics shows."""
        samples = [sample for family in metrics.registry.collect() for sample in family.samples]

        def total(name: str, chosen: Callable[[Mapping[str, str]], bool] = lambda _: True) -> float:
            return sum(sample.value for sample in samples if sample.name == name and chosen(sample.labels))

        def buckets(name: str, chosen: Callable[[Mapping[str, str]], bool] = lambda _: True) -> dict[float, float]:
            found: dict[float, float] = {}
            for sample in samples:
                if sample.name == f"{name}_bucket" and chosen(sample.labels):
                    limit = float(sample.labels["le"])
                    found[limit] = found.get(limit, 0) + sample.value
            return found

        predictions = buckets("http_request_seconds", lambda labels: labels["path"].startswith("/predict"))
        batches = total("batch_texts_count")
        return cls(
            requests=int(total("http_requests_total")),
            failed=int(total("http_requests_total", lambda labels: labels["status"][0] == "5")),
            refused=int(total("http_requests_total", lambda labels: labels["status"][0] == "4")),
            latencies={f"p{share * 100:g}": quantile(predictions, share) for share in (0.5, 0.95, 0.99)},
            queue=int(total("queue_texts")),
            texts_per_batch=total("batch_texts_sum") / batches if batches else None,
            labels={
                sample.labels["label"]: int(sample.value) for sample in samples if sample.name == "predictions_total"
            },
            confidence=quantile(buckets("prediction_confidence"), 0.5),
            dropped=int(total("prediction_log_dropped_total")),
        )


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """By interpolation within the bucket, as Prometheus does it; `buckets` are counts up to each limit."""
    limits = sorted(buckets)
    if not limits or not buckets[limits[-1]]:
        return None
    wanted = share * buckets[limits[-1]]
    below, before = 0.0, 0.0
    for limit in limits:
        if buckets[limit] >= wanted:
            if limit == float("inf"):
                return below
            inside = buckets[limit] - before
            return below + (limit - below) * ((wanted - before) / inside if inside else 1)
        below, before = limit, buckets[limit]
    return below


def machine_rows() -> list[tuple[str, str]]:
    """Name and value of load, disk and memory; what Linux does not say is left out."""
    disk = shutil.disk_usage("/")
    rows = [
        ("Load, 1 min", f"{os.getloadavg()[0]:.2f} on {os.cpu_count()} cores"),
        ("Disk free", f"{disk.free / 1e9:.1f} of {disk.total / 1e9:.1f} GB"),
    ]
    known = _meminfo(Path("/proc/meminfo"))
    if "MemTotal" in known and "MemAvailable" in known:
        rows.append(("Memory free", f"{known['MemAvailable'] / 1e6:.1f} of {known['MemTotal'] / 1e6:.1f} GB"))
    return rows


def _meminfo(path: Path) -> dict[str, int]:
    """Kilobytes by name; empty without such a file."""
    if not path.is_file():
        return {}
    pairs = (line.split(":") for line in path.read_text(encoding="ascii").splitlines())
    return {name: int(value.split()[0]) for name, value in pairs}
