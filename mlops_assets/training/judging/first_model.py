"""What a model must show before it serves if no serving model has a say: that its answers come from the text.

A serving model has no say if it was trained on other people's reviews, answers other labels, or gives one answer to
everything. Pure functions; who is compared with a serving model stands in `gate.py`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mlops_assets.params.models import Evaluation
from mlops_assets.trained_on import TrainedOn
from mlops_assets.training.judging import bootstrap, evaluate
from mlops_assets.training.judging.contender import Contender

CROSS_VALIDATED = "classic"
"""The kind of model whose recipe is cheap enough to be cross-validated."""

LEAST_TEXTS = 10
"""Distinct texts of every label that a model must have answered.

Simulated (2026-11-28, 400 draws a point, positive share 50 to 90 %): of models whose answers have nothing to do with
the text at most 4 % pass, however many texts there are. Of models that are right on 90 % of each label 99 % pass from
10 texts of the rarer one on; with 5 texts 75 % do, with 4 41 %.
"""

SMALL_SIDE = 30
"""A gate side with fewer distinct texts of some label decides no first model alone. In the same simulation models that
are right on only 60 % of the rarer and 85 % of the other label pass in 95 %; with 15 texts in 80 %."""

_ASKED_OF_A_LABEL, _LEAST_OF_A_LABEL = 200, 10
"""Reviews of each label that a serving model is asked which answered the gate side alike, and the fewest that count."""

_MOST_TIMES = 20
"""If more than this many times the present reviews would be needed, no number is named."""


@dataclass(frozen=True)
class HeldOut:
    """A model's answers (n,) to reviews that it was not trained on; equal numbers in `texts` are equal texts."""

    labels: tuple[str, ...]
    truth: np.ndarray
    answered: np.ndarray
    texts: np.ndarray
    where: str
    """How the answers were got, after the number of reviews: `gate reviews`."""

    def with_more(self, more: "HeldOut", where: str) -> "HeldOut":
        """Both together."""
        return HeldOut(
            self.labels,
            np.concatenate([self.truth, more.truth]),
            np.concatenate([self.answered, more.answered]),
            np.concatenate([self.texts, more.texts]),
            where,
        )

    def texts_by_label(self) -> dict[str, int]:
        """How many distinct texts bear each label."""
        pairs = set(zip(self.truth.tolist(), self.texts.tolist(), strict=True))
        return {name: sum(label == index for label, _ in pairs) for index, name in enumerate(self.labels)}

    @property
    def rarest(self) -> tuple[str, int]:
        """The label with the fewest distinct texts, and how many it has."""
        counts = self.texts_by_label()
        name = min(counts, key=counts.__getitem__)
        return name, counts[name]

    @property
    def small(self) -> bool:
        """Whether it has too few texts to tell a weak model from one that guesses."""
        return self.rarest[1] < SMALL_SIDE


@dataclass(frozen=True)
class Shown:
    """What a model has shown: its macro-F1, that of guessing, and the difference in points with its interval."""

    passed: bool
    reason: str
    n: int
    texts: int
    macro_f1: float | None = None
    guessing: float | None = None
    points: float | None = None
    low: float | None = None
    high: float | None = None
    more_wanted: int | None = None
    """About how many more reviews would show it; None if that is unknown."""


@dataclass(frozen=True)
class FirstModel:
    """What is known if a model may be the first that serves these reviews."""

    no_say: str | None = None
    """Why the serving model has no say; None if it has, or if none serves."""
    stays: str | None = None
    """Why nothing may replace a serving model that has its say; None if a better model may."""
    same_app: bool = False
    """The serving model is of this app, from another source: what is worse beyond noise does not replace it."""
    cross_validated: HeldOut | None = None
    """The classic recipe's answers to the train side, made if the gate side is small."""
    reviews: int = 0
    """Labelled reviews of the version, all sides."""


def held_out(labels: Sequence[str], rows: pd.DataFrame, probabilities: np.ndarray, where: str) -> HeldOut:
    """The answers to `rows` (review_text, label), given as probabilities (n, labels)."""
    return HeldOut(
        tuple(labels),
        evaluate.indices(rows["label"], labels),
        probabilities.argmax(axis=1),
        evaluate.text_keys(rows["review_text"]),
        where,
    )


def guessing_of(counts: np.ndarray) -> np.ndarray:
    """Macro-F1 of the best answer that ignores the text, of confusion counts (..., labels, labels).

    That is one label for all, or the model's own answers dealt to the texts at random: if both labels are frequent a
    coin beats one label for all, so a model of noise would pass a comparison with that alone.
    """
    true = counts.sum(axis=-1)
    n = true.sum(axis=-1, keepdims=True)
    constant = (2 * true / np.maximum(n + true, 1)).max(axis=-1) / np.maximum((true > 0).sum(axis=-1), 1)
    dealt = true[..., :, None] * counts.sum(axis=-2)[..., None, :] / np.maximum(n, 1)[..., None]
    return np.fmax(constant, bootstrap.macro_f1_of(dealt))


def shown(name: str, given: HeldOut, rules: Evaluation, *, reviews: int = 0) -> Shown:
    """Whether these answers beat guessing beyond noise in macro-F1; `reviews` is how many labelled ones there are."""
    many, n, texts = len(given.labels), len(given.truth), len(set(given.texts.tolist()))
    rarest, count = given.rarest
    if count < LEAST_TEXTS:
        more = _more(reviews, LEAST_TEXTS / count) if count else None
        reason = f"{name} has shown too little: {LEAST_TEXTS} distinct texts of each label are needed"
        return Shown(False, f"{reason}, {n} {given.where} hold {count} of {rarest}", n, texts, more_wanted=more)

    def beyond(counts: np.ndarray) -> np.ndarray:
        counts = counts.reshape(-1, many, many)
        return 100 * (bootstrap.macro_f1_of(counts) - guessing_of(counts))

    cells = given.truth * many + given.answered
    counts = evaluate.confusion(given.truth, given.answered, many)
    drawn = bootstrap.resampled_counts(cells, many**2, texts=given.texts, rounds=rules.rounds, seed=rules.seed)  # pyright: ignore[reportArgumentType]  # an array is a sequence here
    low, high = (round(value, 4) for value in bootstrap.interval(beyond(drawn), rules.confidence))
    points = round(float(beyond(counts)[0]), 4)
    macro_f1, guessing = (round(float(value), 6) for value in (bootstrap.macro_f1_of(counts), guessing_of(counts)))
    figures = {"n": n, "texts": texts, "macro_f1": macro_f1, "guessing": guessing}
    figures |= {"points": points, "low": low, "high": high}
    measured = f"macro-F1 {macro_f1:.3f} on {n} {given.where}"
    if low > 0:
        reason = (
            f"{name}, {measured}, {points:+.1f} points ({low:+.1f} to {high:+.1f}) beyond answers that ignore the text"
        )
        return Shown(True, reason, **figures)
    if points <= 0:
        return Shown(
            False, f"{name} is no better than one answer for all: {measured} against {guessing:.3f}", **figures
        )
    reason = (
        f"{name} is not shown to be better than answers that ignore the text: {measured} against {guessing:.3f}, "
        f"{points:+.1f} points ({low:+.1f} to {high:+.1f})"
    )
    return Shown(False, reason, **figures, more_wanted=_more(reviews, ((points - low) / points) ** 2))


def without_say(serving: TrainedOn, data: TrainedOn) -> tuple[str, bool] | None:
    """Why a model trained on `serving` has no say in what serves `data`, and whether it is of the same app; else None.

    A model whose folder does not say what it was trained on has its say.
    """
    if not serving.apps or not data.apps or (data.generated and not serving.generated):
        return None
    if serving.generated and not data.generated:
        return f"was trained on generated reviews, not on those of {', '.join(data.apps)}", False
    if not set(serving.apps) & set(data.apps):
        return f"was trained on reviews of {', '.join(serving.apps)} and on none of {', '.join(data.apps)}", False
    if serving.sources and data.sources and not _origins(serving) & _origins(data):
        own, other = ", ".join(serving.sources), ", ".join(data.sources)
        return f"was trained on reviews of another source ({own}; these are of {other})", True
    return None


def _origins(trained_on: TrainedOn) -> set[str]:
    """Its sources. A file counts as the same source whether it is read in its folder or was imported first."""
    return {"file" if source == "import" else source for source in trained_on.sources}


def _more(reviews: int, times: float) -> int | None:
    """How many reviews to add until there are `times` as many, to two digits."""
    if not reviews or not 1 < times <= _MOST_TIMES:
        return None
    more = reviews * (times - 1)
    digit = 10 ** max(0, math.floor(math.log10(more)) - 1)
    return math.ceil(more / digit) * digit


def answers_all_alike(folder: Path, serving: Contender, labelled: Callable[[], pd.DataFrame]) -> bool:
    """Whether the serving model gives one label to reviews of every label, as a model that learned nothing does."""
    from mlops_assets.serving.models.model import load

    if len(set(serving.probabilities.argmax(axis=1).tolist())) > 1:
        return False
    frame = labelled()
    asked = frame[frame["label"].isin(serving.labels)].drop_duplicates("review_text")
    asked = asked.groupby("label").head(_ASKED_OF_A_LABEL)
    if asked["label"].nunique() < 2 or asked.groupby("label").size().min() < _LEAST_OF_A_LABEL:
        return False
    answers = load(folder).probabilities(asked["review_text"].tolist())
    return len(set(answers.argmax(axis=1).tolist())) == 1
