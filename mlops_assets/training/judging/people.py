"""The score by people: a model's answers to held-out texts that people labelled, each text once."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd

from mlops_assets.params.models import Evaluation
from mlops_assets.training.judging import bootstrap, evaluate
from mlops_assets.training.judging.evaluate import Difference
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


class _Answers(Protocol):
    """A loaded model."""

    @property
    def labels(self) -> Sequence[str]: ...
    def probabilities(self, texts: Sequence[str], /) -> np.ndarray: ...


def agrees_with_people(texts: pd.DataFrame, model: _Answers) -> np.ndarray | None:
    """Which of the labelled texts a model answers as people do, as booleans; None if the texts are too few."""
    if len(texts) < LEAST_LABELLED:
        return None
    answered = model.probabilities(texts["review_text"].tolist()).argmax(axis=1)
    return np.asarray(model.labels, dtype=object)[answered] == texts["label"].to_numpy(dtype=object)


def difference_by_people(first: np.ndarray | None, second: np.ndarray | None, rules: Evaluation) -> Difference | None:
    """Accuracy by people's labels of one model less another's on the same texts, paired; None if one was not asked."""
    if first is None or second is None:
        return None
    change = first.astype(float) - second.astype(float)
    low, high = bootstrap.interval(
        bootstrap.resampled_means(change, rounds=rules.rounds, seed=rules.seed), rules.confidence
    )
    return Difference(len(change), *(round(100 * float(value), 4) for value in (change.mean(), low, high)))
