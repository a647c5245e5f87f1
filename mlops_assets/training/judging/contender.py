"""A model in the running, its figures on the gate side, and the verdict on it. What decides stands in `gate.py`."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from mlops_assets import artifact
from mlops_assets.params.models import Evaluation
from mlops_assets.training.judging import bootstrap, evaluate, slices
from mlops_assets.training.judging.evaluate import Difference

_TIMED_TEXTS = 30


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


def contender(name: str, folder: Path, gate: pd.DataFrame) -> Contender:
    """The model's answers to the gate side as the server would give them, and what serving it costs."""
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.trained import GOLDEN_SENTENCES

    model = load(folder)
    texts = gate["review_text"].tolist()
    probabilities = model.probabilities(texts)
    times: list[float] = []
    # Always the same number: among a handful of gate reviews a single hiccup of the machine would be the median.
    for text in islice(cycle(texts or GOLDEN_SENTENCES), _TIMED_TEXTS):
        started = time.perf_counter()
        model.probabilities([text])
        times.append((time.perf_counter() - started) * 1000)
    return Contender(
        name=name,
        model_version=artifact.model_version(folder),
        labels=tuple(model.labels),
        probabilities=probabilities,
        milliseconds=statistics.median(times),
        megabytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6,
    )


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
    accuracy: bool = False,
) -> Difference:
    """Macro-F1 (or accuracy) of candidate less champion on the rows of `mask`, with its paired interval.

    Rows of one label alone are compared by accuracy: a single wrong answer there halves macro-F1.
    """
    rows = np.arange(len(gate)) if mask is None else np.flatnonzero(mask)
    return evaluate.difference(
        truth_of(candidate, gate)[rows],
        candidate.probabilities[rows],
        champion.probabilities[rows],
        evaluate.text_keys(gate["review_text"].iloc[rows]).tolist(),
        rules,
        accuracy=accuracy or measure_of(gate, mask) == "accuracy",
    )


def measure_of(gate: pd.DataFrame, mask: np.ndarray | None = None) -> Literal["macro-F1", "accuracy"]:
    """What models are compared by on the rows of `mask`."""
    labels = gate["label"] if mask is None else gate["label"][mask]
    return "macro-F1" if labels.nunique() > 1 else "accuracy"


def slice_changes(
    candidate: Contender, champion: Contender, gate: pd.DataFrame, rules: Evaluation
) -> dict[str, Difference]:
    """The paired change of accuracy in every slice of the gate side."""
    return {
        name: difference(candidate, champion, gate, rules, mask=mask, accuracy=True)
        for name, mask in slices.slices(gate)
    }


def newest_change(
    candidate: Contender, champion: Contender, gate: pd.DataFrame, rules: Evaluation
) -> Difference | None:
    mask = slices.newest_window(gate, rules.newest_months)
    return difference(candidate, champion, gate, rules, mask=mask) if mask.any() else None


def verdict_on(
    candidate: Contender,
    champion: Contender | None,
    gate: pd.DataFrame,
    rules: Evaluation,
    *,
    promote: bool,
    reason: str,
) -> Verdict:
    window = slices.newest_window(gate, rules.newest_months)

    texts = evaluate.text_keys(gate["review_text"])

    def scored(each: Contender, mask: np.ndarray) -> dict[str, Any]:
        own = each.probabilities[mask]
        return evaluate.scores(gate["label"][mask], own, each.labels, texts=texts[mask].tolist(), rules=rules)

    def measured(each: Contender) -> dict[str, Any]:
        whole = scored(each, np.ones(len(gate), dtype=bool))
        kept = ("calibration_error", "calibration_error_by_chance")
        return {
            "gate": {**evaluate.brief(whole), **{name: whole[name] for name in kept if name in whole}},
            "newest": evaluate.brief(scored(each, window)),
            "milliseconds": each.milliseconds,
            "megabytes": each.megabytes,
        }

    figures: dict[str, Any] = {"n": len(gate), "candidate": measured(candidate)}
    if champion is not None and champion.labels == candidate.labels and not gate.empty:
        newest = newest_change(candidate, champion, gate, rules)
        figures |= {
            "champion": measured(champion),
            "difference": asdict(difference(candidate, champion, gate, rules)),
            "newest_difference": asdict(newest) if newest else None,
            "slices": {name: asdict(d) for name, d in slice_changes(candidate, champion, gate, rules).items()},
        }
    return Verdict(
        promote=promote,
        reason=reason,
        candidate=candidate.name,
        candidate_version=candidate.model_version,
        champion=champion.name if champion else None,
        champion_version=champion.model_version if champion else None,
        figures=figures,
    )


def compared(best: Contender, other: Contender, gate: pd.DataFrame, rules: Evaluation) -> str:
    change = difference(best, other, gate, rules)
    return f"{measure_of(gate)} {change}{'' if change.low > 0 else ', within noise'}"


def rank(contender: Contender, gate: pd.DataFrame) -> tuple[float, float]:
    truth, many = truth_of(contender, gate), len(contender.labels)
    counts = evaluate.confusion(truth, contender.probabilities.argmax(axis=1), many)
    return float(bootstrap.macro_f1_of(counts)), float(bootstrap.accuracy_of(counts))


def truth_of(contender: Contender, gate: pd.DataFrame) -> np.ndarray:
    if len(contender.probabilities) != len(gate):
        raise ValueError(f"{contender.name} answered {len(contender.probabilities)} of {len(gate)} gate reviews")
    return evaluate.indices(gate["label"], contender.labels)


def pair(candidate: Contender, champion: Contender) -> str:
    return f"{candidate.name} {candidate.model_version} against {champion.name} {champion.model_version}"
