"""The classic recipe cross-validated on the train side: what it would answer to reviews that it was not trained on."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from mlops_assets.params.models import ClassicRecipe
from mlops_assets.training.classic import train as classic
from mlops_assets.training.judging import calibration, evaluate
from mlops_assets.training.judging.first_model import HeldOut, held_out
from mlops_assets.training.references import References

FOLDS = 5
DRAWN_TEXTS, MOST_TEXTS = 1000, 5000
"""So many distinct texts are cross-validated, drawn at random: some seconds, however large the train side is. More are
drawn, up to the second number, until `RARE_TEXTS` of the rarest label are among them."""
RARE_TEXTS = 60


def cross_validated(
    frame: pd.DataFrame, labels: Sequence[str], recipe: ClassicRecipe, references: References | None = None
) -> HeldOut | None:
    """The whole recipe's answers to every review of the train side, each by a model that never saw its text.

    `frame` holds review_text, label and side of all sides; validation chooses and calibrates as it does in a training.
    `references` are learned from as in a training, less the texts that are asked. None if a part to train on would lack
    a label.
    """
    train, validation = (
        frame[frame["side"] == side].assign(review_text=lambda rows: rows["review_text"].astype(object))
        for side in ("train", "validation")
    )
    fold = _folds(train, recipe.seed)
    train, fold = train[fold >= 0], fold[fold >= 0]
    if 0 in recipe.votes and len(validation) < calibration.LEAST_ROWS:
        # The forest has no vote then, and growing it takes most of the time.
        recipe = recipe.model_copy(update={"trees": 1})
    answers = np.zeros((len(train), len(labels)))
    for number in range(FOLDS):
        known, asked = train[fold != number], train[fold == number]
        if asked.empty:
            continue
        if set(known["label"]) != set(labels):
            return None
        beside = None
        if references:
            known, beside = references.without(asked["review_text"]).beside(known, labels)
        vote = classic.fit(known, validation, labels, recipe, lambda _: None, beside)
        answers[fold == number] = vote.probabilities(asked["review_text"].tolist())
    return held_out(labels, train, answers, "reviews of the train side, cross-validated")


def _folds(train: pd.DataFrame, seed: int) -> np.ndarray:
    """The fold of each row (n,), the same for equal texts; each label's texts are spread evenly. -1: not drawn."""
    keys = evaluate.text_keys(train["review_text"])
    texts, first = np.unique(keys, return_index=True)
    labels = train["label"].to_numpy(dtype=object)[first]
    rarest = min(np.unique(labels, return_counts=True)[1])
    wanted = min(max(DRAWN_TEXTS, RARE_TEXTS * len(texts) // rarest), MOST_TEXTS)
    drawn = np.random.default_rng(seed).permutation(len(texts))[:wanted]
    dealt = dict(zip(texts[list(_by_label(drawn, labels))].tolist(), np.arange(len(drawn)) % FOLDS, strict=True))
    return np.array([dealt.get(key, -1) for key in keys.tolist()], dtype=int)


def _by_label(drawn: np.ndarray, labels: np.ndarray) -> Iterator[int]:
    """The indices of the drawn reviews, label by label."""
    for label in sorted(set(labels[drawn])):
        yield from drawn[labels[drawn] == label].tolist()
