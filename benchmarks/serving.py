"""The server against the usual one, in one run on one machine, with a base-size BERT of random weights.

python -m benchmarks.serving [--reviews FILE] [--seconds N] [--clients 1 8 32] [--only NAME …]

`http`: requests per second, latencies and ratios. `status`: start, memory and the status endpoints while 32 clients
saturate inference. `fair`: single texts beside batches of 1,000. `offline`: scoring, and its share of what matrix
products reach here. `trained`: what each way changes in the answers of a trained model. `kinds`: a blend beside its
members. `peer`: infinity-emb, installed for this run alone.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import serving_peak, serving_peer
from benchmarks.serving_load import beside_batches, cpu_seconds, load_with, running, saturated
from benchmarks.serving_models import (
    VARIANTS,
    agreement_of,
    make_models,
    padded_one_at_a_time,
    trained_kinds,
    trained_model,
)
from mlops_assets.artifact import MEMBERS
from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.serving.models.model import load
from mlops_assets.settings import wait_passively
from mlops_assets.text import normalise

REVIEWS = Path(__file__).parents[2] / "shared" / "data" / "gojek_reviews.csv"
TRAINED_ON = REVIEWS.with_name("pintu_reviews.csv")
MEASURES = ("http", "status", "fair", "offline", "trained", "kinds", "peer")


def real_texts(path: Path = REVIEWS, most: int = 5_000) -> list[str]:
    """Review texts as people wrote them."""
    texts = read_reviews(path).frame["review_text"].dropna()
    return [text for text in texts if normalise(text)][:most]


def command_of(name: str, folder: Path, port: int) -> list[str]:
    """The server's command line; `reference` is the usual one, every other name a variant of ours."""
    if name == "reference":
        return [sys.executable, "-m", "benchmarks.reference_server", str(folder), str(port)]
    return [sys.executable, "-m", "mlops_assets.serving", "--model", str(folder), "--port", str(port)]


def loaded(
    models: dict[str, Path], texts: Sequence[str], clients: Sequence[int], seconds: float
) -> dict[str, dict[int, dict[str, Any]]]:
    """Requests per second, latencies and CPU time of each server at each number of clients."""
    figures: dict[str, dict[int, dict[str, Any]]] = {}
    port = _port()
    for count in clients:
        # One after the other within a number of clients: what else the machine does meets all.
        for name, folder in models.items():
            with running(command_of(name, folder, port), port) as (process, _):
                asyncio.run(load_with(port, texts, min(count, 4), 1.0))
                before_s = cpu_seconds(process)
                figures.setdefault(name, {})[count] = found = asyncio.run(load_with(port, texts, count, seconds))
                found["cpu_ms"] = round(1000 * (cpu_seconds(process) - before_s) / found["n"], 2)
                found["resident_mb"] = round(process.memory_info().rss / 1e6)
    return figures


def served_kinds(models: dict[str, Path], texts: Sequence[str], clients: Sequence[int], seconds: float) -> Any:
    """A blend beside its members: what it costs, also as a share of what each member costs."""
    figures = loaded(models, texts, clients, seconds)
    for count in clients:
        blend = figures["blend"][count]
        for member in MEMBERS:
            own = figures[member][count]
            blend[f"times_the_p50_of_{member}"] = round(blend["p50_ms"] / own["p50_ms"], 2)
            blend[f"times_the_cpu_of_{member}"] = round(blend["cpu_ms"] / own["cpu_ms"], 2)
    return figures


def served(
    models: dict[str, Path], texts: Sequence[str], clients: Sequence[int] = (1, 8, 32), seconds: float = 10.0
) -> dict[str, Any]:
    """Requests per second and latencies of each server at each number of clients, and the ratios.

    `cpu_ms` is the server's CPU time per request: what else the machine does moves it less than the clock.
    """
    figures = loaded(models, texts, clients, seconds)
    for name in VARIANTS:
        for count in clients:
            ours, reference = figures[name][count], figures["reference"][count]
            ours["times_the_reference"] = round(ours["per_s"] / reference["per_s"], 2)
            ours["times_by_cpu"] = round(reference["cpu_ms"] / ours["cpu_ms"], 2)
            ours["quicker"] = all(ours[share] < reference[share] for share in ("p50_ms", "p99_ms"))
    return figures


def status(folder: Path, texts: Sequence[str], starts: int = 5) -> dict[str, Any]:
    """Seconds from process start to the first right answer; memory and status endpoints under load."""
    port = _port()
    command = command_of("int8", folder, port)
    took = []
    for _ in range(starts):
        with running(command, port, folder) as (_, seconds):
            took.append(seconds)
    with running(command, port, folder) as (process, _):
        told = saturated(process, port, texts)
    return {"start_s": {"median": round(statistics.median(took), 2), "most": round(max(took), 2), "n": starts}, **told}


def scored(models: dict[str, Path], texts: Sequence[str], reference_texts: int = 100) -> dict[str, Any]:
    """Offline scoring: texts per second of each variant and of the reference's way, one padded text at a time.

    The reference is timed on every nth text: padded, each costs the same.
    """
    sample = list(texts[:: max(1, len(texts) // reference_texts)])
    asked_one_at_a_time = padded_one_at_a_time(models["reference"])
    asked_one_at_a_time(sample[:10])
    started, started_cpu = time.perf_counter(), time.process_time()
    expected = asked_one_at_a_time(sample)
    reference = len(sample) / (time.perf_counter() - started)
    reference_cpu = (time.process_time() - started_cpu) / len(sample)
    figures: dict[str, Any] = {"reference": {"per_s": round(reference, 2), "n": len(sample)}}
    for variant in VARIANTS:
        opened = load(models[variant])
        opened.probabilities(texts[:64])
        started, started_cpu = time.perf_counter(), time.process_time()
        opened.probabilities(texts)
        seconds, cpu = time.perf_counter() - started, (time.process_time() - started_cpu) / len(texts)
        figures[variant] = {
            "per_s": round(len(texts) / seconds, 1),
            "n": len(texts),
            "times_the_reference": round(len(texts) / seconds / reference, 1),
            "times_by_cpu": round(reference_cpu / cpu, 1),
            "share_of_matmul_peak": serving_peak.share(models[variant], texts, seconds, variant),
            **agreement_of(opened.probabilities(sample), expected),
        }
    return figures


def _port() -> int:
    return 18_000 + os.getpid() % 1_000


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--reviews", type=Path, default=REVIEWS)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--models", type=Path, help="keep the models here and use them again")
    parser.add_argument("--model", type=Path, help="the model of `fair`, where it is not the int8 one")
    parser.add_argument("--at", type=Path, help="the checkout whose server `fair` measures, if not this")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    given = parser.parse_args()
    wait_passively()
    texts = real_texts(given.reviews)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.models or Path(scratch)
        models = {name: folder / name for name in VARIANTS} | {"reference": folder / "model"}
        if not {*given.only} <= {"fair", "kinds"} and not all(path.is_dir() for path in models.values()):
            folder.mkdir(parents=True, exist_ok=True)
            models = make_models(texts, folder)
        measures = {
            "http": lambda: served(models, texts, given.clients, given.seconds),
            "status": lambda: status(models["int8"], texts),
            "fair": lambda: beside_batches(
                command_of("int8", given.model or models["int8"], _port()), _port(), texts, given.seconds, given.at
            ),
            "offline": lambda: scored(models, texts),
            "trained": lambda: trained_model(TRAINED_ON),
            "kinds": lambda: served_kinds(trained_kinds(TRAINED_ON, folder), texts, given.clients, given.seconds),
            "peer": lambda: serving_peer.against(models, texts, _port(), given.clients, given.seconds, command_of),
        }
        for name in given.only:
            print(json.dumps({name: measures[name]()}, indent=1), flush=True)


if __name__ == "__main__":
    main()
