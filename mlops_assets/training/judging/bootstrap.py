"""Bootstrap over distinct texts: how far a figure would move if other reviews had been drawn.

Reviews that repeat a text stand or fall together (the sides are drawn by text), so whole texts are drawn, not rows.
"""

from collections.abc import Sequence

import numpy as np

Interval = tuple[float, float]

MANY_TEXTS = 3000


def resampled_counts(
    cells: np.ndarray,
    how_many: int,
    *,
    texts: Sequence[int] | Sequence[str] | None = None,
    rounds: int = 2000,
    seed: int = 0,
) -> np.ndarray:
    """Counts of each cell in every resample, shape (rounds, how_many).

    `cells` (n,) says for each row which of `how_many` outcomes it is, for instance label x prediction. Any score that
    is a function of those counts has its bootstrap distribution by applying it to each line. Texts with equal outcomes
    are drawn as one multinomial, so that the cost does not grow with the rows.
    """
    if texts is None:
        outcomes = np.bincount(cells, minlength=how_many)
        kinds, repeats = np.eye(how_many, dtype=np.int64)[outcomes > 0], outcomes[outcomes > 0]
    else:
        _, group = np.unique(np.asarray(texts), return_inverse=True)
        table = np.zeros((group.max() + 1, how_many), dtype=np.int64)
        np.add.at(table, (group, cells), 1)
        kinds, repeats = np.unique(table, axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(repeats.sum(), repeats / repeats.sum(), size=rounds)
    return drawn @ kinds


def resampled_means(
    values: np.ndarray, *, texts: Sequence[int] | Sequence[str] | None = None, rounds: int = 2000, seed: int = 0
) -> np.ndarray:
    """The mean of `values` (n,) in every resample of the distinct texts, shape (rounds,).

    Over more than `MANY_TEXTS` the means are drawn from the normal distribution that they then have.
    """
    group = np.arange(len(values)) if texts is None else np.unique(np.asarray(texts), return_inverse=True)[1]
    sums, sizes = np.bincount(group, values), np.bincount(group)
    rng, many = np.random.default_rng(seed), len(sums)
    if many > MANY_TEXTS:
        mean = sums.sum() / sizes.sum()
        error = np.sqrt(((sums - mean * sizes) ** 2).sum()) / sizes.sum()
        return rng.normal(mean, error, rounds)
    drawn = rng.multinomial(many, np.full(many, 1 / many), size=rounds)
    return (drawn @ sums) / (drawn @ sizes)


def interval(values: np.ndarray, confidence: float = 0.95) -> Interval:
    """The percentile interval of bootstrapped values; resamples in which the score has no value do not count."""
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def accuracy_of(counts: np.ndarray) -> np.ndarray:
    """Accuracy of confusion counts (..., labels, labels), rows true; NaN where nothing was counted."""
    total = counts.sum(axis=(-1, -2))
    right = np.trace(counts, axis1=-2, axis2=-1)
    return np.divide(right, total, out=np.full(np.shape(total), np.nan), where=total > 0)


def f1_of(counts: np.ndarray) -> np.ndarray:
    """F1 of each label (..., labels) of confusion counts; NaN for a label that is neither true nor predicted."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    seen = counts.sum(axis=-1) + counts.sum(axis=-2)
    return np.divide(2 * right, seen, out=np.full(np.shape(seen), np.nan), where=seen > 0)


def macro_f1_of(counts: np.ndarray) -> np.ndarray:
    """Mean F1 over the labels that occur; NaN where none does."""
    f1 = f1_of(counts)
    known = np.isfinite(f1)
    many = known.sum(axis=-1)
    total = np.where(known, f1, 0.0).sum(axis=-1)
    return np.divide(total, many, out=np.full(np.shape(many), np.nan), where=many > 0)
