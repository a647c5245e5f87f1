"""How often the gate errs, and how far many small losses can bring the live model down: by simulation.

python -m benchmarks.gate [--draws N] [--histories N] [--retrains N] [--seed N]

Every decision is the product's own (`decide`); only the models' answers are drawn. A challenger differs from the
live model on 10 % of the texts. That is usual for models of one kind, trained on nearly the same reviews.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from mlops_assets.params.models import Evaluation
from mlops_assets.training.judging.anchor import AVERAGED, Anchor
from mlops_assets.training.judging.contender import Contender
from mlops_assets.training.judging.gate import BETTER, WORSE, decide

TEXTS = (100, 200, 400, 1_000, 2_500)
DISAGREEMENTS = (0.05, 0.10, 0.15)
LABELS = ("negative", "positive")
ACCURACY = 0.88
RULES = Evaluation(rounds=200)
"""Fewer resamples than the product's 2,000, for the time: only the ends of intervals are less steady."""

Kind = Literal["chain", "boundary", "new texts"]
"""How models come about. `chain`: each differs from the one before on any of the texts, so that in the end all answers
have been drawn anew. `boundary`: they differ only on texts that are hard to tell, on which each is right by luck of its
own. `new texts`: as the latter, and the gate side consists of new texts at each retrain."""


def gate_of(texts: int) -> pd.DataFrame:
    """A gate side of distinct texts, of one app and one month, 70 % of them positive."""
    return pd.DataFrame(
        {
            "review_text": [f"ulasan {n} panjang sekali ya" for n in range(texts)],
            "label": [LABELS[n % 10 < 7] for n in range(texts)],
            "rating": pd.array([5 if n % 10 < 7 else 1 for n in range(texts)], dtype="Int64"),
            "app_id": "app",
            "review_date": pd.Timestamp("2026-01-01", tz="UTC"),
        }
    )


def answering(right: np.ndarray, gate: pd.DataFrame, version: str, name: str = "classic") -> Contender:
    """A model that is right on these texts (n,), and as sure as it is right."""
    truth = np.array([LABELS.index(label) for label in gate["label"]])
    answered, sure = np.where(right, truth, 1 - truth), max(0.51, float(right.mean()))
    probabilities = np.full((len(gate), 2), 1 - sure)
    probabilities[np.arange(len(gate)), answered] = sure
    return Contender(name, version, LABELS, probabilities)


@dataclass
class Models:
    """Draws which texts a model is right on, given its true accuracy."""

    kind: Kind
    texts: int
    disagreement: float
    rng: np.random.Generator
    hard: np.ndarray = field(init=False)
    """How likely a model of `ACCURACY` is to be right on each text."""

    def __post_init__(self) -> None:
        self.hard = self._texts()

    def _texts(self) -> np.ndarray:
        # Two models that are right with a chance of their own, even from 0 to 1, differ in a third of such texts.
        share, drawn = 3 * self.disagreement, self.rng.random(self.texts)
        sure = (drawn < share + ACCURACY - share / 2).astype(float)
        return np.where(drawn < share, self.rng.random(self.texts), sure)

    def first(self) -> np.ndarray:
        chances = np.full(self.texts, ACCURACY) if self.kind == "chain" else self.hard
        return self.rng.random(self.texts) < chances

    def next(self, live: np.ndarray, accuracy: float, points: float) -> np.ndarray:
        """A model that is truly `points` better than the live model; `accuracy` is the live model's true accuracy."""
        more = points / 100
        if self.kind == "chain":
            lose, win = ((self.disagreement - more) / 2 / accuracy, (self.disagreement + more) / 2 / (1 - accuracy))
            drawn = self.rng.random(self.texts)
            return np.where(live, drawn >= lose, drawn < win)
        # Chances even from 0 to 1, moved by m and cut off, have the mean 1/2 + m - m²/2.
        rise = min(0.5, abs(accuracy + more - ACCURACY) / (3 * self.disagreement))
        moved = (1 - (1 - 2 * rise) ** 0.5) * (1 if accuracy + more > ACCURACY else -1)
        inside = (self.hard > 0) & (self.hard < 1)
        return self.rng.random(self.texts) < np.where(inside, np.clip(self.hard + moved, 0, 1), self.hard)

    def renew(self) -> None:
        if self.kind == "new texts":
            self.hard = self._texts()


def promoted(texts: int, disagreement: float, points: float, seed: int) -> bool:
    """Whether a challenger that is truly so many points better than the live model is promoted, with new data.

    The anchor is the model before the live one, and just as good.
    """
    models, gate = Models("boundary", texts, disagreement, np.random.default_rng(seed)), gate_of(texts)
    anchor, live = models.first(), models.first()
    verdict = decide(
        [answering(models.next(live, ACCURACY, points), gate, "new")],
        answering(live, gate, "live", "champion"),
        gate,
        required="the data changed",
        rules=RULES,
        anchor=Anchor("anchor", "2026-01-01", 1, answering(anchor, gate, "anchor", "anchor")),
    )
    return verdict.promote


def history(
    texts: int,
    kind: Kind,
    points: float,
    retrains: int,
    seed: int,
    *,
    disagreement: float = 0.10,
    rules: Evaluation = RULES,
) -> tuple[float, int]:
    """Points of the last live model above the first one, and the number of promotions, after so many retrains in a few
    weeks. Each challenger is truly `points` better than the live model of then.
    """
    models, gate = Models(kind, texts, disagreement, np.random.default_rng(seed)), gate_of(texts)
    first = live = models.first()
    accuracy, as_good, count, recent = ACCURACY, 0, 0, {}
    for number in range(retrains):
        if kind == "new texts":
            models.renew()
            first, live = models.first(), models.next(live, accuracy, 0.0)
        right = models.next(live, accuracy, points)
        verdict = decide(
            [answering(right, gate, f"{number}")],
            answering(live, gate, "live", "champion"),
            gate,
            required="the data changed",
            rules=rules,
            anchor=Anchor("0", "2026-01-01", as_good, answering(first, gate, "0", "anchor"), recent=recent),
        )
        recent = verdict.figures["anchor"]["recent"]
        if verdict.promote:
            live, accuracy, count = right, accuracy + points / 100, count + 1
            as_good += verdict.basis == "as good"
    return 100 * (accuracy - ACCURACY), count


def errors(seeds: range, each: Callable[..., Any]) -> dict[str, dict[str, float]]:
    """By texts and disagreement: the share of better challengers rejected and of worse ones promoted."""
    table = {}
    for texts in TEXTS:
        for disagreement in DISAGREEMENTS:
            better, worse = (
                statistics.fmean(each(partial(promoted, texts, disagreement, points), seeds))
                for points in (BETTER, WORSE)
            )
            table[f"{texts} texts, {disagreement:.0%}"] = {"better_rejected": 1 - better, "worse_promoted": worse}
    return table


def walks(seeds: range, retrains: int, each: Callable[..., Any]) -> dict[str, dict[str, float]]:
    """By kind of history, challengers that are each truly 0.3 points worse, at 400 texts: where the live model ends."""
    table = {}
    for kind in ("chain", "boundary", "new texts"):
        ends = list(each(partial(history, 400, kind, -0.3, retrains), seeds))
        points = [end for end, _ in ends]
        table[kind] = {
            "points": statistics.fmean(points),
            "standard_error": statistics.stdev(points) / len(points) ** 0.5,
            "promotions": statistics.fmean(count for _, count in ends),
        }
    return table


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--draws", type=int, default=600)
    parser.add_argument("--histories", type=int, default=200)
    parser.add_argument("--retrains", type=int, default=100)
    parser.add_argument("--seed", type=int, default=10_000, help="the first of the seeds")
    asked = parser.parse_args()
    draws, histories = (range(asked.seed, asked.seed + count) for count in (asked.draws, asked.histories))
    with ProcessPoolExecutor() as pool:
        each = partial(pool.map, chunksize=10)
        found = {"errors": errors(draws, each), "walks": walks(histories, asked.retrains, each)}
    print(
        json.dumps(
            {**found, "draws": asked.draws, "histories": asked.histories, "seed": asked.seed, "averaged": AVERAGED},
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
