"""A sealed classic model of three n-grams: small, but loaded and answered by the real server."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlops_assets import artifact
from mlops_assets.artifact import Golden, TrainedWith
from mlops_assets.serving.models import classic as classic_model
from mlops_assets.text import TEXT_VERSION

TEXTS = ("bagus", "sering error", "halo")


def learnt_from(*apps: str, sources: Sequence[str] = ()) -> dict[str, Any]:
    """What the metrics of a model say of the data that it was trained on."""
    return {
        "data": {
            "rows": 3,
            "sides": {"train": 3, "validation": 0, "gate": 0, "test": 0},
            "labels": {"negative": 1, "positive": 2},
            "apps": list(apps),
            **({"sources": list(sources)} if sources else {}),
            "oldest_review": "2026-01-01T00:00:00+00:00",
            "newest_review": "2026-01-03T00:00:00+00:00",
        }
    }


def seal_tiny_model(
    folder: Path,
    *,
    dataset_version: str = "d" * 12,
    intercept: float = 0.0,
    metrics: Mapping[str, Any] | None = None,
    split: str = "",
) -> str:
    """Write the model into the empty `folder`; the intercept moves all answers. Returns the model version."""
    folder.mkdir(parents=True)
    (folder / classic_model.VOCABULARY).write_text(json.dumps({"word": ["bagus", "error"], "char": ["ba"]}))
    np.savez(
        folder / classic_model.WEIGHTS,
        word_idf=np.ones(2),
        char_idf=np.ones(1),
        coefficients=np.array([[3.0, -3.0, 0.1]]),
        intercept=np.array([intercept]),
        first=np.array([0]),
        answers=np.array([[0.5, 0.5]]),
        of_word=np.zeros(3, np.int64),
        start=np.zeros(0, np.int64),
        end=np.zeros(0, np.int64),
    )
    seal(folder, (), dataset_version)
    model = classic_model.ClassicModel.load(folder)
    answers = model.probabilities(TEXTS)
    return seal(
        folder,
        [Golden(text, tuple(map(float, row))) for text, row in zip(TEXTS, answers, strict=True)],
        dataset_version,
        metrics=metrics,
        split=split,
    )


def seal(
    folder: Path, golden, dataset_version: str = "d" * 12, training_files=(), metrics=None, split: str = ""
) -> str:
    """Seal again with other golden sentences."""
    return artifact.seal(
        folder,
        kind="classic",
        labels=("negative", "positive"),
        text_version=TEXT_VERSION,
        trained_with=TrainedWith(dataset_version, "binary", "recipe", "code", split=split),
        metrics={
            "gate": {"n": 3, "accuracy": 1.0},
            "test": {"n": 3, "accuracy": 1.0, "macro_f1": 1.0},
            **(metrics or {}),
        },
        golden=golden,
        runtime={
            "temperature": 1.0,
            "forest_share": 0.0,
            "word_longest": 1,
            "char_shortest": 2,
            "char_longest": 2,
        },
        training_files=training_files,
    )
