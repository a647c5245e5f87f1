"""What a model may cost and how wrong its confidence may be, whatever it is compared with.

The rows of `gate` have distinct texts.
"""

import numpy as np
import pandas as pd

from mlops_assets.params.models import Evaluation
from mlops_assets.training.judging import bootstrap, calibration, evaluate
from mlops_assets.training.judging.contender import Contender, truth_of

CALIBRATED_TEXTS = 100
"""The calibration budget holds from so many distinct gate texts on. A model whose true error is 0.05 measures over 0.15
by luck in 7 % of draws at 34 texts, in 0.8 % at 100 (2026-11-28, 600 draws). Moreover no temperature is fitted on fewer
than `calibration.LEAST_ROWS` validation reviews: a good model is then unsure, not wrong.
"""


def broken_budget(contender: Contender, gate: pd.DataFrame, rules: Evaluation) -> str | None:
    """Why this model may not serve whatever it is compared with, or None."""
    truth = truth_of(contender, gate)
    counts = evaluate.confusion(truth, contender.probabilities.argmax(axis=1), len(contender.labels))
    guessed = np.full_like(truth, counts.sum(axis=1).argmax())
    guessing = float(bootstrap.macro_f1_of(evaluate.confusion(truth, guessed, len(contender.labels))))
    reached = float(bootstrap.macro_f1_of(counts))
    name = f"{contender.name} {contender.model_version}"
    if len(set(truth.tolist())) < 2:
        (only,) = {contender.labels[index] for index in truth.tolist()}
        return (
            f"all {len(truth)} gate reviews are {only}: nothing shows whether {name} is better than one answer for all"
        )
    if reached <= guessing:
        return f"{name} is no better than one answer for all: macro-F1 {reached:.3f} against {guessing:.3f}"
    return over_budget(contender, gate, rules)


def over_budget(contender: Contender, gate: pd.DataFrame, rules: Evaluation) -> str | None:
    """Which budget of confidence, time or size the model breaks, or None; few texts break none of confidence."""
    name = f"{contender.name} {contender.model_version}"
    if len(gate) >= CALIBRATED_TEXTS:
        error = calibration.expected_calibration_error(contender.probabilities, truth_of(contender, gate))
        if error > rules.max_calibration_error:
            by_chance = calibration.error_by_chance(contender.probabilities, range(len(gate)))
            allowed = f"{rules.max_calibration_error:g} is allowed, chance alone gives up to {by_chance:.3f}"
            if error > by_chance:
                return f"{name} breaks its calibration budget: error {error:.3f} on n={len(gate)}, {allowed}"
    if contender.milliseconds is not None and contender.milliseconds > rules.max_milliseconds:
        spent = f"{contender.milliseconds:.1f} ms a review, {rules.max_milliseconds:g} ms are allowed"
        return f"{name} breaks its latency budget: {spent}"
    if contender.megabytes is not None and contender.megabytes > rules.max_megabytes:
        spent = f"{contender.megabytes:.1f} MB, {rules.max_megabytes:g} MB are allowed"
        return f"{name} breaks its size budget: {spent}"
    return None
