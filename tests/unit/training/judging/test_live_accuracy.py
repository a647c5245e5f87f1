"""The share of right answers is estimated from how sure they are, in an interval that mostly holds the truth."""

import numpy as np

from mlops_assets.training.judging.calibration import reliability
from mlops_assets.training.judging.live_accuracy import LEAST_ANSWERS, estimate


def answers(rng: np.random.Generator, count: int, unsure: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, 2) of an overconfident model, and what was right; a share of the texts is hard for it."""
    sure = np.where(rng.random(count) < unsure, rng.uniform(0.5, 0.7, count), rng.uniform(0.85, 1, count))
    right = rng.random(count) < sure - 0.1
    return np.stack([sure, 1 - sure], axis=1), np.where(right, 0, 1)


def test_the_interval_holds_the_accuracy_of_harder_traffic_although_the_model_is_overconfident() -> None:
    rng, held, widths, noticed = np.random.default_rng(0), 0, [], 0
    for _ in range(200):
        bins = [vars(each) for each in reliability(*answers(rng, 600, unsure=0.2))]
        traffic, truth = answers(rng, 2000, unsure=0.6)
        found = estimate(traffic.max(axis=1), bins)
        assert found is not None
        held += found.low <= float((truth == 0).mean()) <= found.high
        widths.append(found.high - found.low)
        noticed += not found.is_as_measured
    assert noticed >= 0.9 * 200
    assert held >= 0.9 * 200
    assert np.mean(widths) < 0.12


def test_traffic_like_the_test_side_is_as_measured() -> None:
    rng = np.random.default_rng(1)
    bins = [vars(each) for each in reliability(*answers(rng, 600, unsure=0.2))]
    found = estimate(answers(rng, 2000, unsure=0.2)[0].max(axis=1), bins)
    assert found is not None
    assert (found.is_as_measured, found.texts) == (True, 600)
    assert abs(found.accuracy - found.on_test) < 0.03


def test_one_text_that_is_asked_again_and_again_leaves_the_interval_wide() -> None:
    rng = np.random.default_rng(2)
    bins = [vars(each) for each in reliability(*answers(rng, 600, unsure=0.2))]
    found = estimate(np.full(5000, 0.9), bins)
    assert found is not None
    assert found.high - found.low > 0.3


def test_few_answers_and_a_model_without_calibration_are_not_estimated() -> None:
    bins = [{"n": 100, "confidence": 0.9, "accuracy": 0.9}]
    assert estimate(np.full(LEAST_ANSWERS - 1, 0.9), bins) is None
    assert estimate(np.full(LEAST_ANSWERS, 0.9), bins) is not None
    assert estimate(np.full(LEAST_ANSWERS, 0.9), []) is None
