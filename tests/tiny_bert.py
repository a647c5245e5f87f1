"""A BERT of some thousand weights on made-up reviews: seconds to train, and everything a real one has."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.artifact import TrainedWith
from mlops_assets.params.models import BertRecipe, Evaluation
from mlops_assets.serving.models.model import load
from mlops_assets.training.bert.train import train_bert
from mlops_assets.training.references import References
from mlops_assets.training.trained import Trained

RECIPE = {"layers": 2, "hidden": 32, "heads": 2, "vocabulary_size": 300, "max_length": 32, "epochs": 3}
RECIPE |= {"learning_rate": 5e-3, "token_dropout": 0.1, "batch_size": 16}
GOOD = ("bagus", "mantap", "suka", "cepat", "mudah", "keren")
BAD = ("jelek", "lambat", "kecewa", "eror", "susah", "parah")
OTHER = ("aplikasi", "ini", "saya", "pakai", "setiap", "hari", "login", "saldo", "menu", "akun")


def tiny_frame(rows: int = 320) -> pd.DataFrame:
    """Reviews of two labels that single words tell apart, with an eighth of the labels wrong."""
    random = np.random.default_rng(0)
    positive = random.random(rows) < 0.5
    words = [[*random.choice(OTHER, 4), *random.choice(GOOD if good else BAD, 2)] for good in positive]
    positive ^= random.random(rows) < 0.125
    return pd.DataFrame(
        {
            "review_id": [f"r{number}" for number in range(rows)],
            "app_id": "sample.app",
            "review_text": [" ".join(random.permutation(text)) for text in words],
            "rating": pd.array(np.where(positive, 5, 1), dtype="Int64"),
            "review_date": pd.date_range("2026-01-01", periods=rows, freq="6h", tz="UTC"),
            "label": np.where(positive, "positive", "negative"),
            "side": np.resize(["train", "train", "train", "validation", "train", "gate", "train", "test"], rows),
        }
    )


def train_tiny(
    folder: Path,
    checkpoints: Path,
    *,
    frame: pd.DataFrame | None = None,
    report: Callable[[str], None] = lambda _: None,
    run_id: str = "run",
    rules: Evaluation | None = None,
    references: References | None = None,
    trained_with: TrainedWith | None = None,
    unlabelled: Sequence[str] = (),
    **changes: Any,
) -> Trained:
    """A sealed model in `folder`."""
    recipe = BertRecipe.from_params({**RECIPE, **changes})
    return train_bert(
        tiny_frame() if frame is None else frame,
        recipe,
        folder,
        trained_with=trained_with or TrainedWith("data", "binary", recipe.digest(), "code"),
        run_id=run_id,
        report=report,
        checkpoints=checkpoints,
        load=load,
        rules=rules,
        references=references,
        unlabelled=unlabelled,
    )
