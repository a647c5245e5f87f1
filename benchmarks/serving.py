"""The server against the usual one, in one run on one machine, with a base-size BERT of random weights.

python -m benchmarks.serving [--reviews FILE] [--seconds N] [--clients 1 8 32]
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from mlops_assets import artifact
from mlops_assets.artifact import Golden, TrainedWith
from mlops_assets.reviews.files import read_reviews
from mlops_assets.serving.model import load
from mlops_assets.text import TEXT_VERSION, normalise

REVIEWS = Path(__file__).parents[2] / "shared" / "data" / "gojek_reviews.csv"
LABELS = ("negative", "positive")
VARIANTS = ("fp32", "int8")


def real_texts(path: Path = REVIEWS, most: int = 5_000) -> list[str]:
    """Review texts as people wrote them."""
    texts = read_reviews(path).frame["review_text"].dropna()
    return [text for text in texts if normalise(text)][:most]


def make_models(texts: Sequence[str], folder: Path) -> dict[str, Path]:
    """A base-size BERT with random weights as our artifact in fp32 and int8; the same weights in the hub's format."""
    from mlops_assets.training.bert_export import Exporter
    from mlops_assets.training.bert_recipe import BertRecipe
    from mlops_assets.training.compact import build

    recipe = BertRecipe(vocabulary_size=30_000, layers=12, hidden=768, heads=12, max_length=128)
    base = build(texts, recipe, LABELS)
    trained_with = TrainedWith("0" * 12, "binary", recipe.digest(), "benchmark")
    exporter = Exporter(base, folder / "model", LABELS, recipe, trained_with, load)
    exporter.write()
    exporter.write_int8(texts[:512])
    made = {}
    for variant in VARIANTS:
        made[variant] = folder / variant
        made[variant].mkdir()
        for name in ("tokenizer.json", "model.onnx" if variant == "fp32" else "model.int8.onnx"):
            os.link(exporter.folder / name, made[variant] / name)
        _seal(made[variant], trained_with, exporter.runtime(variant), ())
        answers = load(made[variant]).probabilities(texts[:3])
        golden = [Golden(text, tuple(map(float, row))) for text, row in zip(texts[:3], answers, strict=True)]
        _seal(made[variant], trained_with, exporter.runtime(variant), golden)
    return {**made, "reference": exporter.folder}


def _seal(folder: Path, trained_with: TrainedWith, runtime: dict[str, Any], golden: Sequence[Golden]) -> None:
    artifact.seal(
        folder,
        kind="bert",
        labels=LABELS,
        text_version=TEXT_VERSION,
        trained_with=trained_with,
        metrics={},
        golden=golden,
        runtime=runtime,
    )


def served(
    models: dict[str, Path], texts: Sequence[str], clients: Sequence[int] = (1, 8, 32), seconds: float = 10.0
) -> dict[str, Any]:
    """Requests per second, latencies, start and memory of each server at each number of clients, and the ratios."""
    figures: dict[str, Any] = {}
    for count in clients:
        # One after the other within a number of clients: what else the machine does meets both.
        for name, folder in models.items():
            with _server(name, folder) as (port, process, ready_s):
                asyncio.run(load_with(port, texts, min(count, 4), 1.0))
                with _Probe(port) as probe:
                    outcome = asyncio.run(load_with(port, texts, count, seconds))
                memory = psutil.Process(process.pid).memory_info().rss
            figures.setdefault(name, {})[count] = {
                **outcome,
                **(probe.figures() if name != "reference" else {}),
                "ready_s": round(ready_s, 2),
                "resident_mb": round(memory / 2**20),
            }
    for name in VARIANTS:
        for count in clients:
            ours, reference = figures[name][count], figures["reference"][count]
            ours["times_the_reference"] = round(ours["per_s"] / max(reference["per_s"], 1e-9), 2)
    return figures


def scored(models: dict[str, Path], texts: Sequence[str], reference_texts: int = 60) -> dict[str, Any]:
    """Offline scoring: texts per second of each variant and of the reference's way, one padded text at a time."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(models["reference"])
    model: Any = AutoModelForSequenceClassification.from_pretrained(models["reference"]).eval()
    sample = texts[:: max(1, len(texts) // reference_texts)]
    started = time.perf_counter()
    expected = []
    with torch.inference_mode():
        for text in sample:
            inputs = tokenizer(
                normalise(text), padding="max_length", truncation=True, max_length=128, return_tensors="pt"
            )
            logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
            expected.append(torch.softmax(logits, -1)[0].numpy())
    reference = len(sample) / (time.perf_counter() - started)
    figures: dict[str, Any] = {"reference": {"per_s": round(reference, 1), "n": len(sample)}}
    for variant in VARIANTS:
        opened = load(models[variant])
        opened.probabilities(texts[:64])
        started = time.perf_counter()
        opened.probabilities(texts)
        per_s = len(texts) / (time.perf_counter() - started)
        difference = np.abs(opened.probabilities(sample) - np.array(expected))
        figures[variant] = {
            "per_s": round(per_s, 1),
            "n": len(texts),
            "times_the_reference": round(per_s / reference, 1),
            "largest_difference_from_torch": float(f"{difference.max():.2g}"),
        }
    return figures


async def load_with(port: int, texts: Sequence[str], clients: int, seconds: float) -> dict[str, Any]:
    """Ask `/predict` from kept-alive connections without a pause; every status but 200 ends the measurement."""
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def ask(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        place = number * 997
        while time.perf_counter() < until:
            body = json.dumps({"text": texts[place % len(texts)]}).encode()
            place += 1
            started = time.perf_counter()
            writer.write(
                b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body) + body
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer.decode())
            latencies.append(time.perf_counter() - started)
        writer.close()
        await writer.wait_closed()

    began = time.perf_counter()
    await asyncio.gather(*(ask(number) for number in range(clients)))
    took = time.perf_counter() - began
    p50, p99 = np.percentile(latencies, [50, 99])
    return {
        "n": len(latencies),
        "per_s": round(len(latencies) / took, 1),
        "p50_ms": round(1000 * p50, 1),
        "p99_ms": round(1000 * p99, 1),
    }


class _Probe:
    """Asks `/live` on a connection of its own every 20 ms while the server is loaded."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._times: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "_Probe":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def figures(self) -> dict[str, float]:
        """Milliseconds."""
        p50, p99 = np.percentile(self._times, [50, 99])
        return {"live_p50_ms": round(1000 * p50, 1), "live_p99_ms": round(1000 * p99, 1)}

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._stop.wait(0.02):
            started = time.perf_counter()
            connection.request("GET", "/live")
            connection.getresponse().read()
            self._times.append(time.perf_counter() - started)
        connection.close()


@contextlib.contextmanager
def _server(name: str, folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes], float]]:
    """A server process on a free port, with the seconds from its start to its first right answer."""
    port = 18_000 + os.getpid() % 1_000
    module = ["benchmarks.reference_server", str(folder), str(port)]
    if name != "reference":
        module = ["mlops_assets.serving", "--model", str(folder), "--port", str(port)]
    started = time.perf_counter()
    # Threads of torch that spin while they wait make the reference a tenth as fast on a busy machine: not its due.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # noqa: TID251  handed to the programs that are measured
    with subprocess.Popen([sys.executable, "-m", *module], stdout=subprocess.DEVNULL, env=environment) as process:
        try:
            yield port, process, _ready(port, process, started)
        finally:
            process.terminate()


def _ready(port: int, process: subprocess.Popen[bytes], started: float) -> float:
    from mlops_assets.deploy.rollout import NoAnswer
    from mlops_assets.resources.service_client import ServiceClient

    client = ServiceClient("127.0.0.1", port)
    while process.poll() is None:
        with contextlib.suppress(NoAnswer):
            if client.ask("GET", "/ready").status == 200 and client.ask("POST", "/predict", {"text": "ok"}).body:
                return time.perf_counter() - started
        time.sleep(0.01)
    raise RuntimeError(f"the server ended with {process.returncode}")


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--reviews", type=Path, default=REVIEWS)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--models", type=Path, help="keep the models here and use them again")
    parser.add_argument("--offline", type=int, default=1_000, help="texts of the offline scoring, 0 for none")
    given = parser.parse_args()
    texts = real_texts(given.reviews)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.models or Path(scratch)
        models = {name: folder / name for name in VARIANTS} | {"reference": folder / "model"}
        if not all(path.is_dir() for path in models.values()):
            folder.mkdir(parents=True, exist_ok=True)
            models = make_models(texts, folder)
        figures: dict[str, Any] = {"http": served(models, texts, given.clients, given.seconds)}
        if given.offline:
            figures["offline"] = scored(models, texts[: given.offline])
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
