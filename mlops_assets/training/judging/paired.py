"""Two models on the same reviews: the difference of their scores with its paired interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlops_assets.training.judging import bootstrap
from mlops_assets.training.judging.evaluate import Evaluation

UNSEEN_TEXTS = 3
"""Where no resample moves the difference, as between models that agree everywhere, the bootstrap knows nothing of the
texts on which they would not. By the rule of three up to 3/n of all texts may be such."""


@dataclass(frozen=True)
class Difference:
    """First less second, in points of a score from 0 to 100, over n reviews."""

    n: int
    points: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.points:+.1f} points ({self.low:+.1f} to {self.high:+.1f}, n={self.n})"


def difference(
    truth: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    texts: Sequence[int] | Sequence[str],
    rules: Evaluation,
    *,
    accuracy: bool = False,
) -> Difference:
    """Macro-F1 (or accuracy) of probabilities `first` less `second`, both (n, labels), by a bootstrap over texts."""
    many = first.shape[1]
    cells = (truth * many + first.argmax(axis=1)) * many + second.argmax(axis=1)
    score = bootstrap.accuracy_of if accuracy else bootstrap.macro_f1_of

    def change(counts: np.ndarray) -> np.ndarray:
        cube = counts.reshape(-1, many, many, many)
        return 100 * (score(cube.sum(axis=3)) - score(cube.sum(axis=2)))

    drawn = bootstrap.resampled_counts(cells, many**3, texts=texts, rounds=rules.rounds, seed=rules.seed)
    low, high = bootstrap.interval(change(drawn), rules.confidence)
    points = float(change(np.bincount(cells, minlength=many**3))[0])
    if low == high:
        reach = 100 * min(1.0, UNSEEN_TEXTS / len(set(texts)))
        low, high = points - reach, points + reach
    return Difference(len(truth), round(points, 4), round(low, 4), round(high, 4))
