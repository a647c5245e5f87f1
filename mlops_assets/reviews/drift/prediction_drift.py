"""Does the serving model answer the newest reviews as it answered those of its own data? Warns, never blocks."""

import numpy as np
import pandas as pd

from mlops_assets.params.reviews import DriftOptions
from mlops_assets.reviews.drift import tests
from mlops_assets.reviews.drift.drift import DriftReport, FeatureDrift, recent
from mlops_assets.reviews.drift.features import shares

_BINS = 6
_LARGE = 0.15
"""A predicted mix that shifted by so much is worth a look even where it moved as much before."""
_STRETCHES, _LEAST_OF_A_STRETCH = 12, 10
"""Into so many stretches of time the first answers are cut, each of ten at least: what they differ by is no drift."""


def measure_predictions(frame: pd.DataFrame, options: DriftOptions) -> DriftReport:
    """The newest predictions of reviews that arrived later, against those that the model gave when it first answered.

    On its first run a model has only answered what it was made with, old and new: that is not judged, since what
    changed within it is no news to the model. For the same reason later reviews must differ by more than its own did
    from one stretch of time to the next. Only texts of the held-out sides count, before and now: a model is surer of
    what it was fitted on, and frequent texts would be on one side of the comparison alone. Reviews of an app that came
    later have nothing to be compared with. `frame` has review_date, review_id, app_id, side, sentiment, confidence,
    first_scored.
    """
    unseen = frame[frame["side"] != "train"]
    at_first = unseen["first_scored"] == frame["first_scored"].min()
    before = unseen[at_first]
    now = recent(unseen[~at_first & unseen["app_id"].isin(set(before["app_id"]))], options)
    if min(len(now), len(before)) < options.least_reviews:
        return DriftReport(
            drifted=False,
            reason=_too_few(len(before), len(now), options),
            reviews_before=len(before),
            reviews_now=len(now),
        )
    labels = sorted({"negative", "positive", *frame["sentiment"]})
    inner = np.unique(np.quantile(before["confidence"], np.linspace(0, 1, _BINS + 1)[1:-1]))
    ordered = before.sort_values(["review_date", "review_id"], kind="stable")
    kinds = {
        "predicted": lambda rows: pd.Categorical(rows["sentiment"], categories=labels).codes,
        "confidence": lambda rows: np.searchsorted(inner, rows["confidence"].to_numpy(), side="right"),
    }
    sizes = {"predicted": len(labels), "confidence": len(inner) + 1}
    over_time = {name: _by_stretch(kind(ordered), sizes[name]) for name, kind in kinds.items()}
    mixes = {
        name: (over_time[name].sum(axis=0), np.bincount(kind(now), minlength=sizes[name]))
        for name, kind in kinds.items()
    }
    shown = {
        "predicted": [_mix(labels, counts) for counts in mixes["predicted"]],
        "confidence": [f"mean {rows['confidence'].mean():.3f}" for rows in (before, now)],
    }
    shift = tests.mix_distance(*mixes["predicted"])
    chances = [
        tests.mix_p(*pair)
        if name == "predicted" and shift >= _LARGE
        else tests.mix_p_over_time(over_time[name], pair[1])
        for name, pair in mixes.items()
    ]
    features = []
    for (name, pair), chance, certain in zip(mixes.items(), chances, tests.holm(chances), strict=True):
        effect = tests.mix_distance(*pair)
        drifted = certain <= options.alpha and effect >= options.floor_mix
        features.append(FeatureDrift(name, drifted, effect, options.floor_mix, chance, certain, *shown[name]))
    named = "; ".join(
        f"{feature.name}: {feature.before} before, {feature.now} now" for feature in features if feature.drifted
    )
    return DriftReport(
        drifted=bool(named),
        reason=f"{len(now)} newest predictions against {len(before)}: "
        + (named or "neither the predicted mix nor the confidence differs beyond chance and its floor"),
        reviews_before=len(before),
        reviews_now=len(now),
        features=tuple(features),
        mixes={name: (shares(pair[0]).tolist(), shares(pair[1]).tolist()) for name, pair in mixes.items()},
    )


def _by_stretch(kinds: np.ndarray, count: int) -> np.ndarray:
    """(stretches, kinds): how many reviews of each kind are in each stretch; `kinds` in order of time."""
    stretches = max(2, min(_STRETCHES, len(kinds) // _LEAST_OF_A_STRETCH))
    stretch_of = np.arange(len(kinds)) * stretches // len(kinds)
    return np.bincount(stretch_of * count + kinds, minlength=stretches * count).reshape(stretches, count)


def _too_few(before: int, now: int, options: DriftOptions) -> str:
    needed = f"{options.least_reviews} unseen in training are needed"
    if before < options.least_reviews:
        return f"not judged: {before} reviews when the model first answered, {needed}"
    return f"not judged: {now} new reviews since the model first answered, of the same apps, {needed}"


def _mix(labels: list[str], counts: np.ndarray) -> str:
    return " / ".join(f"{share:.0%} {label}" for label, share in zip(labels, shares(counts), strict=True))
