"""Figures that only the classic model has: what each member brings, and what more data would bring."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.training import evaluate, paired
from mlops_assets.training.evaluate import Evaluation
from mlops_assets.training.recipe import ClassicRecipe


def members(
    held_out: pd.DataFrame, names: Sequence[str], answers: Mapping[str, np.ndarray], rules: Evaluation
) -> dict[str, Any]:
    """What each member reaches alone and in the vote by side, and what the vote gains over the first on test.

    `answers` holds probabilities (n, labels) of `logistic`, `forest` and `vote`.
    """
    side = held_out["side"].to_numpy(dtype=object)
    texts = evaluate.text_keys(held_out["review_text"])
    figures: dict[str, Any] = {
        name: {
            member: evaluate.brief(
                evaluate.scores(
                    held_out["label"][side == name],
                    given[side == name],
                    names,
                    texts=texts[side == name].tolist(),
                    rules=rules,
                )
            )
            for member, given in answers.items()
        }
        for name in evaluate.HELD_OUT
    }
    test = side == "test"
    if not test.any():
        return figures
    gain = paired.difference(
        evaluate.indices(held_out["label"][test], names),
        answers["vote"][test],
        answers["logistic"][test],
        texts[test].tolist(),
        rules,
        accuracy=True,
    )
    return {**figures, "forest_brings": {"side": "test", "score": "accuracy", **asdict(gain)}}


def learning_curve(
    train: pd.DataFrame,
    test: pd.DataFrame,
    names: Sequence[str],
    fit: Callable[[np.ndarray, np.ndarray], Callable[[Any], np.ndarray]],
    weigh: Callable[[Sequence[str]], Any],
    recipe: ClassicRecipe,
    rules: Evaluation,
) -> list[dict[str, Any]]:
    """One member on test, fitted on growing random parts of the train side (of its first `search_reviews`, drawn).

    `weigh` gives the sparse weights of texts; `fit(weights, truth)` a function to probabilities.
    """
    if test.empty:
        return []
    most = min(len(train), recipe.search_reviews)
    drawn = train.iloc[np.random.default_rng(recipe.seed).permutation(len(train))[:most]]
    known, asked = (weigh(part["review_text"].tolist()) for part in (drawn, test))
    truth = evaluate.indices(drawn["label"], names)
    texts = evaluate.text_keys(test["review_text"]).tolist()
    curve = []
    for rows in sorted({most // 16, most // 8, most // 4, most // 2, most}):
        if len(np.unique(truth[:rows])) < len(names):
            continue
        answers = fit(known[:rows], truth[:rows])(asked)
        figures = evaluate.brief(evaluate.scores(test["label"], answers, names, texts=texts, rules=rules))
        curve.append({"rows": rows, **figures})
    return curve
