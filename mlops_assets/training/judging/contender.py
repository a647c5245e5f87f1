"""A model in the running, its figures on the gate side, and the verdict on it. What decides stands in `gate.py`."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from mlops_assets import artifact
from mlops_assets.params.models import Evaluation
from mlops_assets.training.judging import calibration, evaluate, slices
from mlops_assets.training.judging.evaluate import Difference
from mlops_assets.training.judging.people import agrees_with_people

_TIMED_TEXTS = 30

CHEAPEST_FIRST = ("classic", "bert", "blend")
"""The kinds of model by what an answer costs."""


@dataclass(frozen=True)
class Contender:
    """A model with its answers to the reviews of the gate side, in their order, and what it costs to serve."""

    name: str
    model_version: str
    labels: tuple[str, ...]
    probabilities: np.ndarray
    """Shape (n, labels)."""
    milliseconds: float | None = None
    """Median time of one review alone; None if it was not measured, and then it is not judged."""
    megabytes: float | None = None
    kind: str | None = None
    """The kind of model, if that may differ from the other one's: between kinds the cheaper one wins a tie."""
    by_people: np.ndarray | None = None
    """Which of the held-out texts that people labelled it answers as they do, booleans; None if these are too few."""

    def on(self, rows: np.ndarray) -> Self:
        """The same model with its answers to some of the rows."""
        if len(self.probabilities) <= rows.max(initial=-1):
            raise ValueError(f"{self.name} answered {len(self.probabilities)} reviews, row {rows.max()} is asked for")
        return replace(self, probabilities=self.probabilities[rows])


def contender(
    name: str, folder: Path, gate: pd.DataFrame, *, timed: bool = True, people: pd.DataFrame | None = None
) -> Contender:
    """The model's answers to the gate side as the server would give them, and what serving it costs.

    `people` are held-out texts that people labelled.
    """
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.trained import GOLDEN_SENTENCES

    model, manifest = load(folder), artifact.read(folder, verify=False)
    texts = gate["review_text"].tolist()
    probabilities = model.probabilities(texts)
    times: list[float] = []
    # Always the same number: among a handful of gate reviews a single hiccup of the machine would be the median.
    for text in islice(cycle(texts or GOLDEN_SENTENCES), _TIMED_TEXTS if timed else 0):
        started = time.perf_counter()
        model.probabilities([text])
        times.append((time.perf_counter() - started) * 1000)
    return Contender(
        name=name,
        model_version=artifact.model_version(folder),
        labels=tuple(model.labels),
        probabilities=probabilities,
        milliseconds=statistics.median(times) if timed else None,
        megabytes=sum((folder / name).stat().st_size for name in manifest.files.keys() - {*manifest.training_files})
        / 1e6,
        kind=manifest.kind,
        by_people=None if people is None else agrees_with_people(people, model),
    )


Basis = Literal["first", "better", "as good"]
"""Why a model was promoted: none had a say before it, it is better beyond noise, or it is as good and wanted."""


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate is to serve, and why."""

    promote: bool
    reason: str
    candidate: str
    candidate_version: str
    champion: str | None = None
    champion_version: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    basis: Basis | None = None
    """Why it was promoted; None if it was not."""

    @property
    def serves(self) -> str | None:
        """The version that serves from here on."""
        return self.candidate_version if self.promote else self.champion_version


def difference(
    candidate: Contender,
    champion: Contender,
    gate: pd.DataFrame,
    rules: Evaluation,
    *,
    mask: np.ndarray | None = None,
    score: Literal["accuracy", "macro-F1"] = "accuracy",
    among: int = 1,
) -> Difference:
    """Accuracy (or macro-F1) of candidate less champion on the rows of `mask`, with its paired interval.

    The rows have distinct texts. The interval is corrected for `among` so many comparisons at once.
    """
    rows = np.arange(len(gate)) if mask is None else np.flatnonzero(mask)
    confidence = 1 - (1 - rules.confidence) / among
    return evaluate.difference(
        truth_of(candidate, gate)[rows],
        candidate.probabilities[rows],
        champion.probabilities[rows],
        range(len(rows)),
        rules.model_copy(update={"confidence": confidence}),
        accuracy=score == "accuracy",
    )


@dataclass(frozen=True)
class Parts:
    """How two models differ on parts of the gate side. Intervals are corrected for the number of parts that decide."""

    newest: Difference | None
    slices: Mapping[str, Difference]
    deciding: frozenset[str]
    """The slices that have a say: enough texts, and no other word for the label or the month."""
    newest_decides: bool

    @classmethod
    def of(cls, candidate: Contender, champion: Contender, gate: pd.DataFrame, rules: Evaluation) -> Self:
        window = slices.newest_window(gate, rules.newest_months)
        masks = dict(slices.slices(gate))
        deciding = {name for name, mask in masks.items() if slices.decides(name) and mask.sum() >= rules.slice_reviews}
        newest_decides = bool(window.sum() >= rules.slice_reviews)
        among = max(1, len(deciding) + newest_decides)

        def change(mask: np.ndarray) -> Difference:
            return difference(candidate, champion, gate, rules, mask=mask, among=among)

        return cls(
            newest=change(window) if window.any() else None,
            slices={name: change(mask) for name, mask in masks.items()},
            deciding=frozenset(deciding),
            newest_decides=newest_decides,
        )


def verdict_on(
    candidate: Contender,
    champion: Contender | None,
    gate: pd.DataFrame,
    rules: Evaluation,
    *,
    promote: bool,
    reason: str,
    basis: Basis | None = None,
    parts: Parts | None = None,
) -> Verdict:
    window = slices.newest_window(gate, rules.newest_months)

    def scored(each: Contender, mask: np.ndarray) -> dict[str, Any]:
        labels, own = gate["label"][mask], each.probabilities[mask]
        return evaluate.scores(labels, own, each.labels, rules=rules, short=True)

    def measured(each: Contender) -> dict[str, Any]:
        return {
            "gate": {**scored(each, np.ones(len(gate), dtype=bool)), **calibrated(each, gate)},
            "newest": scored(each, window),
            "milliseconds": each.milliseconds,
            "megabytes": each.megabytes,
        }

    figures: dict[str, Any] = {"n": len(gate), "measure": "accuracy", "candidate": measured(candidate)}
    if champion is not None and champion.labels == candidate.labels and not gate.empty:
        parts = parts or Parts.of(candidate, champion, gate, rules)
        figures |= {
            "champion": measured(champion),
            "difference": asdict(difference(candidate, champion, gate, rules)),
            "newest_difference": asdict(parts.newest) if parts.newest else None,
            "slices": {name: asdict(change) for name, change in parts.slices.items()},
        }
    return Verdict(
        promote=promote,
        reason=reason,
        candidate=candidate.name,
        candidate_version=candidate.model_version,
        champion=champion.name if champion else None,
        champion_version=champion.model_version if champion else None,
        figures=figures,
        basis=basis if promote else None,
    )


def in_order(contenders: Sequence[Contender], gate: pd.DataFrame, rules: Evaluation) -> list[Contender]:
    """The contenders, best first by all evidence. Of those within `tie_points` of the best one the cheapest kind comes
    first.
    """
    accuracy = {each.name: by_all_evidence(each, gate) for each in contenders}
    left, order = list(contenders), list[Contender]()
    while left:
        best = max(accuracy[each.name] for each in left)
        close = [each for each in left if accuracy[each.name] >= best - rules.tie_points - 1e-9]
        order.append(min(close, key=lambda each: (cost(each.name), -accuracy[each.name])))
        left.remove(order[-1])
    return order


def by_all_evidence(contender: Contender, gate: pd.DataFrame) -> float:
    """Accuracy in percent over the gate side and the texts that people labelled."""
    if contender.by_people is None:
        return accuracy_of(contender, gate)
    right = contender.probabilities.argmax(axis=1) == truth_of(contender, gate)
    return 100 * float(np.concatenate([right, contender.by_people]).mean())


def cost(kind: str) -> int:
    """What an answer of this kind of model costs, as a rank."""
    return CHEAPEST_FIRST.index(kind) if kind in CHEAPEST_FIRST else len(CHEAPEST_FIRST)


def compared(first: Contender, other: Contender, gate: pd.DataFrame, rules: Evaluation) -> str:
    """Why the first of two contenders comes before the other."""
    change = difference(first, other, gate, rules)
    if change.points >= 0:
        return f"{first.name} is ahead of {other.name}, {told(change)}{'' if change.low > 0 else ', within noise'}"
    return f"{first.name} costs less than {other.name} and is within {rules.tie_points:g} points of it, {told(change)}"


def told(change: Difference, score: str = "accuracy") -> str:
    """A difference over distinct texts, in words."""
    return f"{score} {change.points:+.1f} points ({change.low:+.1f} to {change.high:+.1f}, n={change.n} texts)"


def calibrated(contender: Contender, gate: pd.DataFrame) -> dict[str, float]:
    """The calibration error on the gate side, and how large chance alone makes it."""
    if gate.empty:
        return {}
    error = calibration.expected_calibration_error(contender.probabilities, truth_of(contender, gate))
    by_chance = calibration.error_by_chance(contender.probabilities, range(len(gate)))
    return {"calibration_error": round(error, 6), "calibration_error_by_chance": round(by_chance, 6)}


def accuracy_of(contender: Contender, gate: pd.DataFrame) -> float:
    """Accuracy in percent."""
    right = contender.probabilities.argmax(axis=1) == truth_of(contender, gate)
    return 100 * float(right.mean()) if len(right) else 0.0


def truth_of(contender: Contender, gate: pd.DataFrame) -> np.ndarray:
    if len(contender.probabilities) != len(gate):
        raise ValueError(f"{contender.name} answered {len(contender.probabilities)} of {len(gate)} gate reviews")
    return evaluate.indices(gate["label"], contender.labels)


def pair(candidate: Contender, champion: Contender) -> str:
    return f"{candidate.name} {candidate.model_version} against {champion.name} {champion.model_version}"
