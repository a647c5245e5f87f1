"""How much an own review counts against one of the reference apps, by cross-validation on the train side."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mlops_assets.params.models import ClassicRecipe
from mlops_assets.training.classic import features as classic_features
from mlops_assets.training.classic.train import logistic
from mlops_assets.training.judging import bootstrap, calibration, evaluate
from mlops_assets.training.references import References, Weights

OTHERS = (1, 3, 10)
"""Weights that are tried beside the wanted one, and beside leaving the references out."""
FOLDS = 3
MOST_OWN, MOST_REFERENCES = 3000, 4000
"""Distinct own texts and reference reviews that are drawn: some seconds, however many there are."""
LEAST_OWN, LEAST_OF_A_LABEL = 100, 10
"""With fewer distinct own texts, or fewer of one label, nothing is tried."""

_RECIPE = ClassicRecipe(char_longest=4, max_word_features=10_000, max_char_features=20_000)
"""A small one, and not the user's: the weight is for BERT too."""


def weighed(
    train: pd.DataFrame, reviews: pd.DataFrame, names: Sequence[str], wanted: int, confidence: float
) -> References:
    """The references with the weight `wanted`, unless cross-validation finds another one better beyond noise.

    `train` and `reviews` hold review_text and label. The loss is the logistic regression's on own texts that it was not
    trained on, each text once.
    """
    reviews = reviews[reviews["label"].isin(names)].reset_index(drop=True)
    own = train[~pd.Series(evaluate.text_keys(train["review_text"]), index=train.index).duplicated()]
    if reviews.empty or len(own) < LEAST_OWN or own["label"].value_counts().min() < LEAST_OF_A_LABEL:
        told = f"as configured: {len(own)} distinct own texts are too few of all, or of a label, to compare weights"
        return References(reviews, wanted, {"chosen_by": told, "tried": []})
    losses = _losses(own, reviews, names, [wanted, *(each for each in OTHERS if each != wanted), 0], len(train))
    tried = []
    for weight, lost in losses.items():
        gain = losses[wanted] - lost
        low, high = bootstrap.interval(bootstrap.resampled_means(gain), confidence)
        tried.append({"own_weight": weight or None, "gain": _r(gain.mean()), "low": _r(low), "high": _r(high)})
    better = [each for each in tried if each["low"] > 0]
    best = max(better, key=lambda each: each["gain"], default=None)
    n = len(losses[wanted])
    told = f"as configured: on {n} own texts of the train side, cross-validated, no other weight is better beyond noise"
    if best:
        told = (
            f"by cross-validation on {n} own texts of the train side: a log loss lower by {best['gain']:.4f} "
            f"({best['low']:.4f} to {best['high']:.4f}) than with own reviews counting {wanted}"
        )
    chosen = {"chosen_by": told, "n": n, "tried": tried}
    if best and best["own_weight"] is None:
        return References(reviews.iloc[:0], wanted, chosen)
    return References(reviews, best["own_weight"] if best else wanted, chosen)


def _losses(
    own: pd.DataFrame, reviews: pd.DataFrame, names: Sequence[str], weights: Sequence[int], own_reviews: int
) -> dict[int, np.ndarray]:
    """Weight -> the calibrated loss of each drawn own text (n,); weight 0 leaves the references out."""
    rng = np.random.default_rng(_RECIPE.seed)
    known = own.iloc[rng.permutation(len(own))[:MOST_OWN]].sort_values("label", kind="stable")
    # A text that is asked is not learned from, whoever wrote it.
    apart = References(reviews, 1).without(known["review_text"]).reviews
    other = apart.iloc[rng.permutation(len(apart))[:MOST_REFERENCES]]
    # All that was not drawn counts too: own reviews and references keep their shares of the whole.
    share = (len(apart) / max(1, len(other))) / (own_reviews / len(known))
    texts = [*known["review_text"], *other["review_text"]]
    _, matrix = classic_features.fit(texts, _RECIPE)
    truth = evaluate.indices([*known["label"], *other["label"]], names)
    fold = np.concatenate([np.arange(len(known)) % FOLDS, np.full(len(other), -1)])
    asked, rows = matrix.weights, np.arange(len(truth))
    losses = {}
    for weight in weights:
        given = np.zeros((len(known), len(names)))
        for number in range(FOLDS):
            part = rows[(fold != number) & ((fold >= 0) | (weight > 0))]
            counted = np.where(fold[part] >= 0, float(weight or 1), share)
            beside = Weights.of([texts[row] for row in part], truth[part], counted, fold[part] >= 0)
            model = logistic(asked[part], truth[part], 1.0, beside.own_kept)
            given[fold[: len(known)] == number] = model.predict_proba(asked[rows[fold == number]])
        right = truth[: len(known)]
        temperature = calibration.fit_temperature(given, right)
        losses[weight] = calibration.log_losses(calibration.apply_temperature(given, temperature), right)
    return losses


def _r(value: float) -> float:
    return round(float(value), 6)
