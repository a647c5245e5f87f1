"""How often a model's answers to live traffic are right, estimated from how sure they are: nobody labels the traffic.

On the test side it is known how often answers of a given confidence are right. If that still holds, the confidences of
the traffic say how many of its answers are. What this cannot see: a model that is as sure as before and wrong more
often, because words changed their meaning or people their minds. The forward score sees that, once there are labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST_ANSWERS = 100
FLOOR = 0.02
"""An estimate that is less than this below the test side's accuracy breaks nothing, however sure it is."""
_Z = 1.959964  # two-sided 95 %


@dataclass(frozen=True)
class Estimate:
    """The share of `n` answers that are right, with a 95 % interval; and the same of the test side's `texts`."""

    n: int
    accuracy: float
    low: float
    high: float
    on_test: float
    texts: int
    is_as_measured: bool
    """Whether the traffic may be answered as well as the test side, within `FLOOR`."""


def estimate(confidences: np.ndarray, reliability: Sequence[Mapping[str, Any]]) -> Estimate | None:
    """From the confidence of each answer (n,) and the bins of `calibration.reliability`; None below `LEAST_ANSWERS`, or
    without bins.

    Between the mean confidences of two bins the accuracy is interpolated. The interval holds what the test side leaves
    open and the luck of the traffic; answers that are equally sure are taken as one text, which is right or wrong each
    time that it is asked.
    """
    if len(confidences) < LEAST_ANSWERS or not reliability:
        return None
    bins = sorted(reliability, key=lambda each: each["confidence"])
    sure = np.array([each["confidence"] for each in bins])
    count, right = (np.array([each[name] for each in bins], dtype=float) for name in ("n", "accuracy"))
    values, asked = np.unique(confidences, return_counts=True)
    # The share of each bin in the accuracy of each value.
    shares = np.stack([np.interp(values, sure, unit) for unit in np.eye(len(bins))], axis=1)
    at_values = shares @ right
    weights = asked / len(confidences)
    of_bin = weights @ shares
    cautious = (right * count + 1) / (count + 2)
    of_test, luck = count / count.sum(), float((weights**2 * at_values * (1 - at_values)).sum())

    def reach(shares_of_bins: np.ndarray) -> float:
        return _Z * float((shares_of_bins**2 * cautious * (1 - cautious) / count).sum() + luck) ** 0.5

    accuracy, on_test = float(weights @ at_values), float(of_test @ right)
    return Estimate(
        len(confidences),
        accuracy,
        max(0.0, accuracy - reach(of_bin)),
        min(1.0, accuracy + reach(of_bin)),
        on_test,
        int(count.sum()),
        # Both accuracies come from the same bins: an error of a bin that both have alike cancels out.
        is_as_measured=on_test - accuracy - reach(of_test - of_bin) <= FLOOR,
    )
