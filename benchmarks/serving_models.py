"""What the serving benchmark asks: a base-size BERT of random weights, and a compact one that was trained."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets import artifact
from mlops_assets.artifact import Golden, TrainedWith
from mlops_assets.serving.models.model import load
from mlops_assets.text import TEXT_VERSION, normalise

LABELS = ("negative", "positive")
VARIANTS = ("fp32", "int8")
PADDED_TO = 128
VOCABULARY = 50_000
"""Rows of the embedding, as in indobenchmark/indobert-base-p1."""


def make_models(texts: Sequence[str], folder: Path) -> dict[str, Path]:
    """A base-size BERT with random weights as our artifact in fp32 and int8; the same weights in the hub's format."""
    from mlops_assets.params.models import BertRecipe
    from mlops_assets.training.bert.compact import build
    from mlops_assets.training.bert.export import Exporter

    recipe = BertRecipe(vocabulary_size=30_000, layers=12, hidden=768, heads=12, max_length=PADDED_TO)
    base = build(texts, recipe, LABELS)
    base.model.resize_token_embeddings(VOCABULARY)  # memory counts too, and a vocabulary of the texts alone is small
    trained_with = TrainedWith("0" * 12, "binary", recipe.digest(), "benchmark")
    exporter = Exporter(base, folder / "model", LABELS, recipe, trained_with, load)
    exporter.write()
    exporter.write_int8(list(texts[:512]))
    made = {}
    for variant in VARIANTS:
        made[variant] = folder / variant
        made[variant].mkdir()
        for name in ("tokenizer.json", "model.onnx" if variant == "fp32" else "model.int8.onnx"):
            os.link(exporter.folder / name, made[variant] / name)
        seal(made[variant], trained_with, exporter.runtime(variant), ())
        answers = load(made[variant]).probabilities(texts[:3])
        golden = [Golden(text, tuple(map(float, row))) for text, row in zip(texts[:3], answers, strict=True)]
        seal(made[variant], trained_with, exporter.runtime(variant), golden)
    return {**made, "reference": exporter.folder}


def trained_model(reviews: Path, most: int = 2_000) -> dict[str, Any]:
    """What each way of serving changes on a trained model: against torch, one text padded to 128 at a time, fp32.

    The compact recipe in three epochs on the train side of `reviews`; judged on `most` texts that it
    was not trained on.
    """
    from mlops_assets.params.models import BertRecipe
    from mlops_assets.training.bert.train import train_bert

    frame = _labelled(reviews)
    recipe = BertRecipe(epochs=3)
    trained_with = TrainedWith("0" * 12, "binary", recipe.digest(), "benchmark")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        trained = train_bert(
            frame,
            recipe,
            folder,
            trained_with=trained_with,
            run_id="benchmark",
            report=lambda _line: None,
            checkpoints=Path(scratch) / "checkpoints",
            load=load,
        )
        texts = frame.loc[frame["side"] != "train", "review_text"].tolist()[:most]
        expected = padded_one_at_a_time(folder)(texts)
        figures: dict[str, Any] = {"n": len(texts), "test_accuracy": trained.metrics["test"]["accuracy"]}
        for variant in VARIANTS:
            seal(folder, trained_with, {**artifact.read(folder).runtime, "variant": variant, "temperature": 1.0}, ())
            figures[variant] = agreement_of(load(folder).probabilities(texts), expected)
    return figures


def trained_kinds(reviews: Path, folder: Path, epochs: int = 3) -> dict[str, Path]:
    """A compact BERT, a classic model and their blend, trained on `reviews`, below `folder`."""
    from mlops_assets.params.models import BertRecipe, ClassicRecipe, Evaluation
    from mlops_assets.training.blend.train import bring_blend
    from mlops_assets.training.kinds import BERT, CLASSIC, Training
    from mlops_assets.training.metrics import Metrics

    models, frame = folder / "models", _labelled(reviews)
    for kind, recipe in ((BERT, BertRecipe(epochs=epochs)), (CLASSIC, ClassicRecipe())):
        (models / kind.name).mkdir(parents=True)
        training = Training(
            frame=frame,
            folder=models / kind.name,
            trained_with=TrainedWith("0" * 12, "binary", recipe.digest(), "benchmark", "benchmark"),
            run_id="benchmark",
            report=lambda _line: None,
            checkpoints=folder / "checkpoints",
            rules=Evaluation(),
        )
        Metrics.of(kind.train(training, recipe).metrics).write(models / kind.metrics_file)
    none = bring_blend(
        models,
        folder / "scratch",
        frame,
        training_data="benchmark",
        run_id="benchmark",
        trained_at="2026-01-01T00:00:00+00:00",
        load=load,
    )
    assert none is None, none
    return {kind: models / kind for kind in artifact.METRICS_FILES}


def _labelled(reviews: Path) -> pd.DataFrame:
    from mlops_assets.reviews.files.files import read_reviews
    from mlops_assets.reviews.stored.label import add_labels
    from mlops_assets.reviews.stored.split import add_sides

    rows = read_reviews(reviews).frame
    rows = rows[rows["review_text"].notna() & rows["rating"].between(1, 5)]
    return add_sides(add_labels(rows, "binary")).reset_index(drop=True)


def agreement_of(answers: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """The largest difference in probability, and the share of texts with the same label."""
    moved = float(np.abs(answers - expected).max())
    same = float((answers.argmax(axis=1) == expected.argmax(axis=1)).mean())
    return {"largest_difference": float(f"{moved:.2g}"), "label_agreement": round(same, 5)}


def padded_one_at_a_time(folder: Path) -> Callable[[Sequence[str]], np.ndarray]:
    """The reference server's way to probabilities, opened."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def probabilities(texts: Sequence[str]) -> np.ndarray:
        rows = []
        with torch.inference_mode():
            for text in texts:
                inputs = tokenizer(
                    normalise(text), padding="max_length", truncation=True, max_length=PADDED_TO, return_tensors="pt"
                )
                logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
                rows.append(torch.softmax(logits, -1)[0].numpy())
        return np.array(rows)

    return probabilities


def seal(folder: Path, trained_with: TrainedWith, runtime: dict[str, Any], golden: Sequence[Golden]) -> None:
    """Seal the folder as a BERT that serves what `runtime` says."""
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
