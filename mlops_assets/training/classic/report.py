"""Figures that only the classic model has: what each member brings, and what more data would bring."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.params.models import ClassicRecipe, Evaluation
from mlops_assets.training.judging import bootstrap, evaluate


@dataclass(frozen=True)
class ForestBrings:
    """How much lower the log loss on validation is with the forest's best share than without it, per review."""

    n: int
    share: float
    gain: float
    low: float
    high: float

    @property
    def earns_its_place(self) -> bool:
        return self.low > 0

    def __str__(self) -> str:
        gain = (
            f"with a share of {self.share:g} the forest lowers the log loss on validation by {self.gain:.4f} "
            f"({self.low:.4f} to {self.high:.4f}, n={self.n})"
        )
        if self.earns_its_place:
            return f"the forest earns its place: {gain}"
        return f"the forest has not been shown to earn its place: {gain}"


def forest_brings(without: np.ndarray, beside: np.ndarray, texts: Sequence[int], *, share: float) -> ForestBrings:
    """From the losses (n,) of every validation review without the forest and with it."""
    gains = without - beside
    low, high = bootstrap.interval(bootstrap.resampled_means(gains, texts=texts))
    return ForestBrings(len(gains), share, *(round(float(value), 6) for value in (gains.mean(), low, high)))


def members(
    held_out: pd.DataFrame,
    names: Sequence[str],
    answers: Mapping[str, np.ndarray],
    taken: str,
    brings: ForestBrings | None,
    rules: Evaluation,
) -> dict[str, Any]:
    """What each member reaches alone and in the vote by side, and what the forest brings, in numbers and words.

    The rows have distinct texts. `answers` holds probabilities (n, labels) of `logistic`, `forest` and `vote`; `taken`
    is the one that serves.
    """
    side = held_out["side"].to_numpy(dtype=object)
    figures: dict[str, Any] = {
        name: {
            member: evaluate.brief(
                evaluate.scores(held_out["label"][side == name], given[side == name], names, rules=rules)
            )
            for member, given in answers.items()
        }
        for name in evaluate.HELD_OUT
    }
    figures |= {"taken": taken, "validation_log_loss": brings and asdict(brings), "said": _said(taken, brings)}
    test = side == "test"
    if not test.any() or "vote" not in answers:
        return figures
    gain = evaluate.difference(
        evaluate.indices(held_out["label"][test], names),
        answers["vote"][test],
        answers["logistic"][test],
        range(int(test.sum())),
        rules,
        accuracy=True,
    )
    figures["said"] += f" On test the vote is {gain} of accuracy against the logistic regression alone."
    return {**figures, "forest_brings": {"side": "test", "score": "accuracy", **asdict(gain)}}


def _said(taken: str, brings: ForestBrings | None) -> str:
    has = "It has a vote." if taken == "vote" else "It has no vote."
    if brings is None:
        return f"What the forest brings is not known: too few validation reviews. {has}"
    return f"{str(brings).capitalize()}. {has}"


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

    The rows of `test` have distinct texts. `weigh` gives the sparse weights of texts; `fit(weights, truth)` a function
    to probabilities.
    """
    if test.empty:
        return []
    most = min(len(train), recipe.search_reviews)
    drawn = train.iloc[np.random.default_rng(recipe.seed).permutation(len(train))[:most]]
    known, asked = (weigh(part["review_text"].tolist()) for part in (drawn, test))
    truth = evaluate.indices(drawn["label"], names)
    curve = []
    for rows in sorted({most // 16, most // 8, most // 4, most // 2, most}):
        if len(np.unique(truth[:rows])) < len(names):
            continue
        answers = fit(known[:rows], truth[:rows])(asked)
        figures = evaluate.brief(evaluate.scores(test["label"], answers, names, rules=rules))
        curve.append({"rows": rows, **figures})
    return curve
