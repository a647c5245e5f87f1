"""Whether a stated confidence is the share that is right: temperature, expected calibration error, reliability."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_ROWS = 50
"""Below this many validation rows a fitted temperature is noise: it stays 1."""

_LEAST, _MOST = 0.2, 10.0
_TINY = 1e-12


@dataclass(frozen=True)
class Bin:
    """Answers of like confidence: how sure they were and how often they were right."""

    n: int
    confidence: float
    accuracy: float


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (n, labels) sharpened (below 1) or softened (above 1); their order does not change."""
    powered = np.maximum(probabilities, _TINY) ** (1.0 / temperature)
    return powered / powered.sum(axis=1, keepdims=True)


def log_losses(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Negative log of the probability that each true label (its index) was given, shape (n,)."""
    return -np.log(np.maximum(probabilities[np.arange(len(truth)), truth], _TINY))


def log_loss(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The mean of `log_losses`."""
    return float(log_losses(probabilities, truth).mean())


def fit_temperature(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The temperature of the least log loss, by golden-section search over its logarithm; 1 on too few rows."""
    if len(truth) < LEAST_ROWS:
        return 1.0
    ratio = (5**0.5 - 1) / 2
    low, high = np.log(_LEAST), np.log(_MOST)

    def loss(log_temperature: float) -> float:
        return log_loss(apply_temperature(probabilities, float(np.exp(log_temperature))), truth)

    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return round(float(np.exp((low + high) / 2)), 4)


def reliability(probabilities: np.ndarray, truth: np.ndarray, most_bins: int = 10) -> list[Bin]:
    """Bins of about equally many answers, least sure first; about 20 answers a bin where there are so many.

    Answers of equal confidence share a bin: a text that repeats would else fill several with its luck.
    """
    if not len(truth):
        return []
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bin_of = _bins(confidence, most_bins)
    return [
        Bin(int((bin_of == b).sum()), _round(confidence[bin_of == b].mean()), _round(right[bin_of == b].mean()))
        for b in np.unique(bin_of)
    ]


def _bins(confidence: np.ndarray, most_bins: int) -> np.ndarray:
    """The bin of each answer (n,)."""
    bins = max(1, min(most_bins, len(confidence) // 20))
    borders = np.unique(np.quantile(confidence, np.arange(1, bins) / bins))
    return np.searchsorted(borders, confidence, side="right")


def _round(value: float) -> float:
    return round(float(value), 6)


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance between confidence and accuracy over the bins of `reliability`, weighted by their size."""
    return sum(b.n * abs(b.confidence - b.accuracy) for b in reliability(probabilities, truth)) / max(1, len(truth))


def error_by_chance(
    probabilities: np.ndarray, texts: Sequence[int] | Sequence[str] | np.ndarray, *, rounds: int = 200, seed: int = 0
) -> float:
    """The error that a perfectly calibrated model with these confidences stays below in 19 of 20 draws.

    Few reviews make bins that are off by luck. A text that repeats is drawn once: its reviews are right together.
    """
    if not len(probabilities):
        return 0.0
    confidence = probabilities.max(axis=1)
    bin_of = _bins(confidence, most_bins=10)
    _, first, group = np.unique(np.asarray(texts), return_index=True, return_inverse=True)
    sizes = np.zeros((len(first), bin_of.max() + 1))
    np.add.at(sizes, (group, bin_of), 1)
    sure, rng = confidence[first], np.random.default_rng(seed)
    off = [np.abs((sure - (rng.random(len(sure)) < sure)) @ sizes).sum() / len(confidence) for _ in range(rounds)]
    return float(np.quantile(off, 0.95))
