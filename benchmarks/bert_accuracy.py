"""Accuracy of the compact BERT model: packed against padded, and beside the classic model."""

import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.params.models import BertRecipe
from mlops_assets.training.bert import compact, packing
from mlops_assets.training.bert import data as bert_data
from mlops_assets.training.bert import train as bert
from mlops_assets.training.bert.device import find_device
from mlops_assets.training.judging import evaluate
from mlops_assets.training.references import Weights

NAMES = ("negative", "positive")


def price(path: Path, seeds: tuple[int, ...] = (1, 2, 3), epochs: int = 3) -> dict[str, Any]:
    """Accuracy of the compact model on gate and test, trained packed and trained a row per text in fp32, per seed.

    Three epochs and not the recipe's five: the padded trainings take most of the benchmark's time.
    """
    from benchmarks.classic import labelled

    frame = labelled(path)
    sides = {
        "train": frame[frame["side"] == "train"],
        "validation": frame[frame["side"] == "validation"],
        "held_out": frame[frame["side"].isin(["gate", "test"])],
    }
    found: dict[str, list[float]] = {"packed": [], "padded": []}
    for seed in seeds:
        recipe = BertRecipe.from_params({"seed": seed, "epochs": epochs})
        for way, one_by_one in (("packed", False), ("padded", True)):
            found[way].append(_accuracy(sides, recipe, padded=one_by_one))
            print(f"seed {seed}, {way}: {found[way][-1]:.4f}", file=sys.stderr, flush=True)
    return {
        "n": len(sides["held_out"]),
        "seeds": list(seeds),
        "epochs": epochs,
        "accuracy": found,
        "packed_minus_padded": round(statistics.mean(found["packed"]) - statistics.mean(found["padded"]), 4),
    }


def against_classic(path: Path, changes: Mapping[str, Any] | None = None, folds: int = 5) -> dict[str, Any]:
    """The compact model against the classic one by cross-validation on the train side, each text on one side only.

    Both choose on the validation side. The interval of the difference is a bootstrap over the texts of all folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    from benchmarks.classic import labelled, ours

    frame = labelled(path)
    train, validation = frame[frame["side"] == "train"], frame[frame["side"] == "validation"]
    texts = evaluate.text_keys(train["review_text"])
    recipe = BertRecipe.from_params(changes or {})
    truth = evaluate.indices(train["label"], NAMES)
    answers = {name: np.zeros((len(train), len(NAMES))) for name in ("compact", "classic")}
    seconds = []
    for known, asked in StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(train, train["label"], texts):
        sides = {"train": train.iloc[known], "validation": validation, "held_out": train.iloc[asked]}
        started, started_cpu = time.perf_counter(), time.process_time()
        answers["compact"][asked] = trained_answers(sides, recipe)
        seconds.append((time.perf_counter() - started, time.process_time() - started_cpu))
        answers["classic"][asked] = ours(sides["train"], validation)(sides["held_out"]["review_text"].tolist())
        right = {name: given[asked].argmax(axis=1) == truth[asked] for name, given in answers.items()}
        told = ", ".join(f"{name} {hits.mean():.4f}" for name, hits in right.items())
        print(f"fold {len(seconds)}: {told}, {seconds[-1][0]:.0f} s", file=sys.stderr, flush=True)
    rules = evaluate.Evaluation()
    return {
        "n": len(train),
        "folds": folds,
        **{
            name: evaluate.brief(evaluate.scores(train["label"], given, NAMES, texts=texts.tolist(), rules=rules))
            for name, given in answers.items()
        },
        "compact_minus_classic_points": asdict(
            evaluate.difference(truth, answers["compact"], answers["classic"], texts.tolist(), rules, accuracy=True)
        ),
        "seconds_a_fit": {
            "clock": round(statistics.median(clock for clock, _ in seconds), 1),
            "cpu": round(statistics.median(cpu for _, cpu in seconds), 1),
        },
    }


def _accuracy(sides: dict[str, pd.DataFrame], recipe: BertRecipe, *, padded: bool) -> float:
    """Held-out accuracy of a compact model trained with the recipe; `padded` gives every text a row of its own."""
    truth = evaluate.indices(sides["held_out"]["label"], NAMES)
    return round(float((trained_answers(sides, recipe, padded=padded).argmax(axis=1) == truth).mean()), 6)


def trained_answers(
    sides: dict[str, pd.DataFrame], recipe: BertRecipe, beside: Weights | None = None, *, padded: bool = False
) -> np.ndarray:
    """Probabilities (n, labels) of a compact model on the side `held_out`, whose train rows may be weighed."""
    device = find_device(precision="fp32" if padded else "auto")
    base = compact.build(sides["train"]["review_text"].tolist(), recipe, NAMES)
    examples = {
        side: bert_data.Examples(
            bert_data.encode(base.tokenizer, rows["review_text"], recipe.max_length),
            evaluate.indices(rows["label"], NAMES),
        )
        for side, rows in sides.items()
    }
    if beside is not None:
        examples["train"] = replace(examples["train"], weights=beside.counted.astype(np.float32))
    fit = first_fit = packing.fit
    if padded:
        fit = _a_row_each
    packing.fit = fit
    try:
        bert.fit(
            base.model,
            examples["train"],
            examples["validation"],
            recipe,
            mask_id=bert_data.mask_id(base.tokenizer),
            device=device,
            report=lambda _: None,
        )
    finally:
        packing.fit = first_fit
    return bert.score(base.model, examples["held_out"].ids, recipe.max_length, find_device("cpu", "fp32"))


def _a_row_each(lengths: list[int], max_length: int) -> list[list[int]]:
    assert max(lengths) <= max_length
    return [[index] for index in range(len(lengths))]
