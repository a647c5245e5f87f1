"""Reviews of reference apps beside an app's own on the train side: how they weigh, and what they bring."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from mlops_assets.params.models import Evaluation
from mlops_assets.text import words_of
from mlops_assets.training.judging import evaluate
from mlops_assets.training.judging.evaluate import Difference

JUDGED_ON = ("gate", "test")
"""The sides on which a model is compared with the one without references. They chose nothing in its training."""


LENGTHS = (2, 4, 7, 12, 20, 35)
"""Borders, in words, between lengths of which each is balanced by itself."""
LEAST_OF_A_LABEL = 5
"""Reviews of each label without which a length stays as it is."""


@dataclass(frozen=True)
class Weights:
    """How much each review counts (n,), 1 on average.

    In most apps long reviews are complaints, and a model that learned so calls any long text negative. Reference apps
    are to teach words, so reviews are weighed some of the way to equally many of each label at every length, further
    for a kind of model that goes more by length. Measured with one app as reference of another (2026-11-29).
    """

    counted: np.ndarray
    """Half the way, for BERT: by people's labels 0.649, with own reviews as they are 0.550 (n=1129)."""
    own_kept: np.ndarray
    """Half the way in references, none in own reviews: the logistic regression keeps what own lengths tell."""
    balanced: np.ndarray
    """All the way, for the forest: half the way it still calls most long texts negative."""

    @classmethod
    def of(cls, texts: Sequence[str], truth: np.ndarray, counted: np.ndarray, own: np.ndarray) -> Self:
        """Of reviews with label indices `truth` (n,) that count `counted` (n,) times; `own` (n,) are the app's."""
        length = np.digitize([len(words_of(text)) for text in texts], LENGTHS)
        labels = len(np.unique(truth))
        alike = counted / np.bincount(truth, counted)[truth]
        ratio = np.ones(len(truth))
        for each in np.unique(length):
            rows = length == each
            if np.count_nonzero(np.bincount(truth[rows]) >= LEAST_OF_A_LABEL) == labels:
                of_label = np.bincount(truth[rows], alike[rows])
                ratio[rows] = of_label.sum() / (labels * of_label[truth[rows]])
        half = counted * (1 + ratio) / 2
        ways = (half, np.where(own, counted, half), counted * ratio)
        return cls(*(way / way.mean() for way in ways))


@dataclass(frozen=True)
class References:
    """Labelled reviews of other apps, for the train side alone."""

    reviews: pd.DataFrame
    """review_text, label and app_id. Empty if cross-validation left the references out."""
    own_weight: int
    """How many times an own review counts; a reference's counts once."""
    chosen: Mapping[str, Any] = field(default_factory=dict)
    """How the weight was chosen, for the metrics."""

    def __bool__(self) -> bool:
        return len(self.reviews) > 0

    def without(self, texts: pd.Series) -> "References":
        """The references less those that hold one of the texts."""
        theirs = evaluate.text_keys(self.reviews["review_text"])
        return replace(self, reviews=self.reviews[~np.isin(theirs, evaluate.text_keys(texts))])

    def beside(self, train: pd.DataFrame, names: Sequence[str]) -> tuple[pd.DataFrame, Weights]:
        """Own reviews and then the references' (n rows: review_text, label), and how much each counts."""
        columns = ["review_text", "label"]
        rows = pd.concat([train[columns], self.reviews[columns]], ignore_index=True)
        own = np.arange(len(rows)) < len(train)
        counted = np.where(own, float(self.own_weight), 1.0)
        truth = evaluate.indices(rows["label"], names)
        return rows.astype(object), Weights.of(rows["review_text"].tolist(), truth, counted, own)

    def figures(
        self,
        held_out: pd.DataFrame,
        beside: np.ndarray,
        alone: Callable[[list[str]], np.ndarray] | None,
        names: Sequence[str],
        rules: Evaluation,
    ) -> dict[str, Any]:
        """The entry `references` of a model's metrics: which they are, how an own review weighs, what they bring.

        `beside` are the model's answers (n, labels) to `held_out`; `alone` answers as the same recipe without
        references does, None if that was not trained.
        """
        apps = self.reviews["app_id"].value_counts().sort_index()
        brought = alone and _brings(held_out, beside, alone, names, rules)
        return {
            "references": {
                "apps": {str(app): int(rows) for app, rows in apps.items()},
                "reviews": len(self.reviews),
                "own_weight": self.own_weight,
                **self.chosen,
                "brings": brought and asdict(brought),
                "said": self._said(brought),
            }
        }

    def _said(self, brought: Difference | None) -> str:
        chosen_by = self.chosen.get("chosen_by", "as configured")
        if not self:
            return f"The reference apps are left out, {chosen_by}."
        weight = f"An own review counts {self.own_weight} times, {chosen_by}."
        if brought is None:
            return f"{weight} What the reference apps bring was not measured: too many own reviews, or none held out."
        sides = " and ".join(JUDGED_ON)
        return f"{weight} The reference apps change the accuracy by {brought} on the distinct texts of {sides}."


def _brings(
    held_out: pd.DataFrame,
    beside: np.ndarray,
    alone: Callable[[list[str]], np.ndarray],
    names: Sequence[str],
    rules: Evaluation,
) -> Difference | None:
    """The accuracy with references less that without, paired over distinct texts."""
    rows = np.flatnonzero(held_out["side"].isin(JUDGED_ON))
    texts = evaluate.text_keys(held_out["review_text"].iloc[rows])
    rows = rows[np.sort(np.unique(texts, return_index=True)[1])]
    if not len(rows):
        return None
    asked = held_out.iloc[rows]
    truth, without = evaluate.indices(asked["label"], names), alone(asked["review_text"].tolist())
    return evaluate.difference(truth, beside[rows], without, range(len(rows)), rules, accuracy=True)
