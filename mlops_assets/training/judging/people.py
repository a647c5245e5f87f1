"""The score by people: a model's answers to held-out texts that people labelled, each text once."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from mlops_assets.params.models import Evaluation
from mlops_assets.training.judging import evaluate
from mlops_assets.training.metrics import LEAST_LABELLED


def texts_of_people(frame: pd.DataFrame) -> pd.DataFrame:
    """Of labelled reviews with sides, one row for each held-out text that people labelled; the newest."""
    if "person" not in frame:
        return frame.iloc[:0]
    rows = frame[(frame["side"] != "train") & frame["person"].notna()]
    last = ~pd.Series(evaluate.text_keys(rows["review_text"]), index=rows.index).duplicated(keep="last")
    return cast("pd.DataFrame", rows[last])


def score_by_people(
    held_out: pd.DataFrame, probabilities: np.ndarray, names: Sequence[str], rules: Evaluation | None = None
) -> Mapping[str, Any]:
    """The figures of a model on the labelled texts of `held_out` (probabilities in row order); none if too few."""
    numbered = texts_of_people(held_out.assign(number=np.arange(len(held_out))))
    if len(numbered) < LEAST_LABELLED:
        return {"n": 0}
    return evaluate.scores(numbered["label"], probabilities[numbered["number"]], names, rules=rules)
