"""What the reviews that a training left out would bring, by the learning curve of the logistic regression."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.params.models import ClassicRecipe, Evaluation
from mlops_assets.training.budget import Chosen
from mlops_assets.training.classic import features as classic_features
from mlops_assets.training.classic.train import logistic
from mlops_assets.training.judging import bootstrap, evaluate

MOST, POINTS = 16_000, 5
"""Reviews that the curve ends at, and its points; each has half the reviews of the next one."""
LEAST_TEXTS, MOST_TEXTS = 50, 3000
"""Distinct test texts: with fewer the curve is noise, more are drawn from."""

_RECIPE = ClassicRecipe(char_longest=4, max_word_features=10_000, max_char_features=20_000)


def on_record(chosen: Chosen, key: str, most: int, rules: Evaluation) -> dict[str, Any]:
    """The entry `budget` of a model's metrics; empty if nothing was left out."""
    held_out = (
        f"{chosen.held_out:,} reviews of the held-out sides were not asked: evaluate.most_texts is "
        f"{rules.most_texts:,} distinct texts a side."
        if chosen.held_out
        else ""
    )
    if not chosen.left_out:
        return {"said": held_out} if held_out else {}
    brings = would_bring(chosen, rules)
    said = (
        f"{chosen.left_out:,} of {chosen.available:,} reviews to train on were left out: {key} is {most:,}. "
        "Distinct and recent texts were taken, spread over labels, apps and months."
    )
    if brings:
        said += (
            f" By the learning curve of the logistic regression the others would change the accuracy by "
            f"{brings['points']:+.1f} points ({brings['low']:+.1f} to {brings['high']:+.1f}, n={brings['n']} distinct "
            "test texts)."
        )
    said = f"{said} {held_out}".rstrip()
    return {"most_reviews": most, "available": chosen.available, "used": chosen.used, "brings": brings, "said": said}


def would_bring(chosen: Chosen, rules: Evaluation) -> dict[str, Any] | None:
    """The change of accuracy on test in points, with its interval, if nothing had been left out; None if test is small.

    The errors of growing parts are extended by a power law, for each resample of the test texts.
    """
    frame = chosen.frame
    train, test = frame[frame["side"] == "train"], frame[frame["side"] == "test"]
    test = test[~pd.Series(evaluate.text_keys(test["review_text"]), index=test.index).duplicated()]
    if len(test) < LEAST_TEXTS:
        return None
    rng = np.random.default_rng(rules.seed)
    test = test.iloc[rng.permutation(len(test))[:MOST_TEXTS]]
    wrong, sizes = _curve(train, test, evaluate.label_names(frame))
    if len(sizes) < 3:
        return None
    drawn = rng.multinomial(len(test), np.full(len(test), 1 / len(test)), size=rules.rounds)  # (rounds, texts)
    gains = _gain((drawn @ wrong.T) / len(test), sizes, chosen)
    low, high = bootstrap.interval(gains, rules.confidence)
    points = _gain(wrong.mean(axis=1)[None], sizes, chosen)[0]
    return {"points": round(float(points), 2), "low": round(low, 2), "high": round(high, 2), "n": len(test)}


def _curve(train: pd.DataFrame, test: pd.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, list[int]]:
    """Which test texts are answered wrongly (points, texts) by models of growing parts, and the sizes of the parts."""
    most = min(len(train), MOST)
    drawn = train.iloc[np.random.default_rng(_RECIPE.seed).permutation(len(train))[:most]]
    features, matrix = classic_features.fit(drawn["review_text"].tolist(), _RECIPE)
    known, asked = matrix.weights, features.of(test["review_text"].tolist()).weights
    truth, right = (evaluate.indices(part["label"], names) for part in (drawn, test))
    sizes = [rows for step in reversed(range(POINTS)) if len(np.unique(truth[: (rows := most >> step)])) == len(names)]
    answers = [logistic(known[:rows], truth[:rows], 1.0).predict(asked) for rows in sizes]
    return np.array([answered != right for answered in answers], dtype=float), sizes


def _gain(errors: np.ndarray, sizes: list[int], chosen: Chosen) -> np.ndarray:
    """Points of accuracy (rounds,) between the reviews that were used and all, of errors (rounds, points)."""
    x, y = np.log(sizes), np.log(np.maximum(errors, 1e-4))
    falls = ((x - x.mean()) * (y - y.mean(axis=1, keepdims=True))).sum(axis=1) / ((x - x.mean()) ** 2).sum()
    start = y.mean(axis=1) - falls * x.mean()
    used, available = (np.exp(start + falls * np.log(count)) for count in (chosen.used, chosen.available))
    return 100 * (used - available)
