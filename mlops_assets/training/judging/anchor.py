"""The anchor: a fixed model that served some time ago, so that many small losses against the live model do not add up.

Each challenger is compared with the live model; a challenger that is a little worse by luck may pass, several times a
day, on nearly the same texts. What all of them together may lose is bounded by the comparison with the anchor.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.params.models import Evaluation
from mlops_assets.training.judging.contender import Contender, difference, told
from mlops_assets.training.judging.evaluate import LEAST_TEXTS, Difference

FREE = 2
"""After the anchor so many models may be promoted that were only as good; for more, the anchor must allow it.

Simulated with the rest of this module (benchmarks/gate.py, table in docs/promotion.md): in 100 retrains, each truly 0.3
points worse than the live model, the live model ends 0.7 to 1.3 points below the first, at 200 to 5,000 gate texts.
"""

AVERAGED = 5
"""The newest challengers of a kind whose estimates against the anchor are averaged. One that passes alone may be lucky,
and with four a day one of them soon is."""


@dataclass(frozen=True)
class Reign:
    """A model that served, from `at` on, and the decision that chose it as far as it is known."""

    model_version: str
    at: datetime
    decision: Mapping[str, Any] = field(default_factory=dict)

    @property
    def basis(self) -> str | None:
        """Why it was promoted: `first`, `better`, `as good`; None if it was not, as after a rollback."""
        if "basis" in self.decision or not self.decision.get("promoted"):
            return self.decision.get("basis")
        if "shown" in self.decision.get("figures", {}):
            return "first"
        return "better" if str(self.decision.get("reason", "")).startswith("better") else "as good"


@dataclass(frozen=True)
class Anchor:
    """What is known of the anchor when challengers are judged."""

    model_version: str
    since: str
    """The day on which it went live."""
    as_good: int
    """Promotions since then of models that were only as good as the one before."""
    contender: Contender | None = None
    """None if it is out of reach."""
    why: str = ""
    """Why it is out of reach."""
    rows: np.ndarray | None = None
    """Mask (n,) of the gate reviews that it may be judged on; None: all."""
    recent: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)
    """Kind -> version and points against the anchor, of the challengers before, oldest first."""

    def on(self, rows: np.ndarray) -> "Anchor":
        """The same anchor on some rows of the gate side."""
        return Anchor(
            self.model_version,
            self.since,
            self.as_good,
            self.contender and self.contender.on(rows),
            self.why,
            None if self.rows is None else self.rows[rows],
            self.recent,
        )

    def change(self, candidate: Contender, gate: pd.DataFrame, rules: Evaluation) -> Difference | None:
        """The candidate less the anchor; None if they cannot be compared, as on too few texts."""
        few = self._mask(gate).sum() < LEAST_TEXTS
        if self.contender is None or self.contender.labels != candidate.labels or few:
            return None
        return difference(candidate, self.contender, gate, rules, mask=self._mask(gate))

    def forbids(self, candidate: Contender, gate: pd.DataFrame, rules: Evaluation) -> str | None:
        """Why a candidate that is only as good as the live model may not be promoted, or None."""
        change = self.change(candidate, gate, rules)
        name = f"the anchor {self.model_version} (live since {self.since})"
        if change is None:
            if self.as_good < FREE:
                return None
            why = self.why or f"fewer than {LEAST_TEXTS} gate texts can be compared"
            return (
                f"{self.as_good} promotions since {name} were only as good, and it is out of reach ({why}): until it "
                "is back only a model that is better beyond noise is promoted"
            )
        if change.high < 0:
            return f"worse than {name} beyond noise, {told(change)}"
        if self.as_good < FREE:
            return None
        newest = [points for _, points in self._with(candidate, change)]
        mean, least = statistics.fmean(newest), self._reach(rules) * standard_error(change, rules) - rules.anchor_points
        if mean >= least:
            return None
        average = f"the last {len(newest)} {candidate.name} models average" if len(newest) > 1 else "it is"
        return (
            f"not shown to be within {rules.anchor_points:g} points of {name}: {average} {mean:+.1f} points of "
            f"accuracy on n={change.n} texts, at least {least:+.1f} is needed after {self.as_good} promotions "
            "of models that were only as good"
        )

    def record(self, contenders: Sequence[Contender], gate: pd.DataFrame, rules: Evaluation) -> dict[str, Any]:
        """What the next decision needs to know, and people want to see."""
        changes = {each.name: change for each in contenders if (change := self.change(each, gate, rules))}
        newest = {each.name: self._with(each, changes[each.name]) for each in contenders if each.name in changes}
        return {
            "model_version": self.model_version,
            "since": self.since,
            "as_good": self.as_good,
            "why": self.why,
            "changes": {name: asdict(change) for name, change in changes.items()},
            "recent": {name: [list(pair) for pair in pairs] for name, pairs in {**self.recent, **newest}.items()},
        }

    def _reach(self, rules: Evaluation) -> float:
        """Standard errors to the one-sided limit, corrected for the promotions that were decided with it."""
        return statistics.NormalDist().inv_cdf(1 - (1 - rules.confidence) / (self.as_good - FREE + 1))

    def _with(self, candidate: Contender, change: Difference) -> list[tuple[str, float]]:
        """The newest challengers of the candidate's kind, with the candidate, each once."""
        before = [(version, points) for version, points in self.recent.get(candidate.name, ())]
        others = [pair for pair in before if pair[0] != candidate.model_version]
        return [*others, (candidate.model_version, change.points)][-AVERAGED:]

    def _mask(self, gate: pd.DataFrame) -> np.ndarray:
        return np.ones(len(gate), dtype=bool) if self.rows is None else self.rows


def standard_error(change: Difference, rules: Evaluation) -> float:
    """The standard error of a difference, from its interval."""
    return (change.high - change.low) / 2 / statistics.NormalDist().inv_cdf((1 + rules.confidence) / 2)


def lineage(reigns: Sequence[Reign]) -> list[Reign]:
    """The reigns (newest first) since the last first model: what was before it has no say."""
    first = next((index for index, reign in enumerate(reigns) if reign.basis == "first"), len(reigns) - 1)
    return list(reigns[: first + 1])


def anchors(reigns: Sequence[Reign], now: datetime, days: int) -> list[Reign]:
    """The reign (of `reigns`, newest first) of `days` ago, or the oldest known one, and all after it, oldest first.

    The first that can be had is the anchor; later ones will be.
    """
    own = lineage(reigns)
    start = next((index for index, reign in enumerate(own) if reign.at <= now - timedelta(days=days)), len(own) - 1)
    return own[: start + 1][::-1]


def as_good_since(reigns: Sequence[Reign], model_version: str) -> int:
    """How many models were promoted as only as good since this one last began to serve; `reigns` newest first."""
    count = 0
    for reign in reigns:
        if reign.model_version == model_version:
            break
        count += reign.basis == "as good"
    return count
