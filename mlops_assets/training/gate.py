"""Which model serves: pure functions that return their reason. Only the gate side of the data has a say here."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.failures import PermanentFailure
from mlops_assets.training import bootstrap, calibration, evaluate, paired, slices
from mlops_assets.training.evaluate import Evaluation
from mlops_assets.training.paired import Difference


@dataclass(frozen=True)
class Contender:
    """A model with its answers to the reviews of the gate side, in their order, and what it costs to serve."""

    name: str
    model_version: str
    labels: tuple[str, ...]
    probabilities: np.ndarray
    """Shape (n, labels)."""
    milliseconds: float | None = None
    """Median time of one review alone; nothing is judged where it was not measured."""
    megabytes: float | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate is to serve, and why; `record` is what is stored with the version and shown."""

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

    def record(self) -> dict[str, Any]:
        return asdict(self)


def decide(
    contenders: Sequence[Contender],
    champion: Contender | None,
    gate: pd.DataFrame,
    *,
    required: str | None = None,
    rules: Evaluation | None = None,
) -> Verdict:
    """The best contender that keeps its budgets and may take the place of the model that serves.

    Where the best is stopped the next one is judged: a challenger of the champion's own kind has the narrower interval.

    `gate` holds the rows of the gate side (review_text, label, rating, app_id, review_date); `required` says why a new
    model is wanted even when it is only as good ("the data changed", "forced"), or is None.
    """
    rules = rules or Evaluation()
    if not contenders:
        raise PermanentFailure("no model was trained: there is nothing to judge")
    if gate.empty:
        raise PermanentFailure("the gate side holds no reviews, so nothing can decide between models: collect more")
    broken = {each.name: why for each in contenders if (why := broken_budget(each, gate, rules))}
    sound = [each for each in contenders if each.name not in broken]
    ranked = sorted(sound or contenders, key=lambda each: _rank(each, gate), reverse=True)
    best = ranked[0]
    if not sound:
        return _verdict(best, champion, gate, rules, promote=False, reason="; ".join(broken.values()))
    verdict, others = _first_that_may(ranked, champion, gate, rules, required)
    others += list(broken.values())
    changes = {
        each.name: asdict(difference(each, champion, gate, rules))
        for each in contenders
        if champion is not None and champion.labels == each.labels
    }
    figures = {**verdict.figures, "changes": changes}
    return Verdict(**{**verdict.__dict__, "reason": "; ".join([verdict.reason, *others]), "figures": figures})


def _first_that_may(
    ranked: Sequence[Contender],
    champion: Contender | None,
    gate: pd.DataFrame,
    rules: Evaluation,
    required: str | None,
) -> tuple[Verdict, list[str]]:
    """The verdict on the best contender that may serve, or on the best of all, and what is to be said of the others."""
    best = ranked[0]
    verdict = judge(best, champion, gate, required=required, rules=rules)
    ahead = [f"{best.name} is ahead of {other.name}, {_compare(best, other, gate, rules)}" for other in ranked[1:]]
    if verdict.promote or (champion is not None and champion.model_version == best.model_version):
        return verdict, ahead
    for other in ranked[1:]:
        if champion is not None and champion.model_version == other.model_version:
            continue
        second = judge(other, champion, gate, required=required, rules=rules)
        if second.promote:
            return second, [*ahead, f"{best.name} may not: {verdict.reason}"]
        ahead.append(f"{other.name} may not either: {second.reason}")
    return verdict, ahead


def judge(
    candidate: Contender,
    champion: Contender | None,
    gate: pd.DataFrame,
    *,
    required: str | None = None,
    rules: Evaluation | None = None,
) -> Verdict:
    """Promote the first model, one that is better beyond noise, or one that is required and non-inferior.

    A broken budget, a newest window that is worse beyond noise or a slice that falls stops promotion. Intervals are
    paired bootstraps over the distinct texts of the gate side.
    """
    rules = rules or Evaluation()
    if gate.empty:
        raise PermanentFailure("the gate side holds no reviews, so nothing can decide between models: collect more")
    promote, reason = _without_comparing(candidate, champion, gate, rules) or (False, "")
    if not reason and champion is not None:
        overall = difference(candidate, champion, gate, rules)
        stopped = _stopped(candidate, champion, gate, overall, rules)
        told = f"{_pair(candidate, champion)}, macro-F1 {overall}"
        promote, reason = (False, stopped) if stopped else _compared(overall, told, required, rules)
    return _verdict(candidate, champion, gate, rules, promote=promote, reason=reason)


def _without_comparing(
    candidate: Contender, champion: Contender | None, gate: pd.DataFrame, rules: Evaluation
) -> tuple[bool, str] | None:
    """The cases in which the champion's score has no say."""
    if champion is not None and champion.model_version == candidate.model_version:
        return False, f"{candidate.name} {candidate.model_version} serves already"
    if broken := broken_budget(candidate, gate, rules):
        return False, broken
    if champion is None:
        macro_f1 = _rank(candidate, gate)[0]
        return True, f"first model: {candidate.name}, macro-F1 {macro_f1:.3f} on {len(gate)} gate reviews"
    if champion.labels != candidate.labels:
        told = f"labels changed from {', '.join(champion.labels)} to {', '.join(candidate.labels)}"
        return True, f"{told}: {champion.name} {champion.model_version} cannot answer them"
    return None


def _stopped(
    candidate: Contender, champion: Contender, gate: pd.DataFrame, overall: Difference, rules: Evaluation
) -> str | None:
    """Why the gate side or a part of it forbids promotion, or None; a part with few reviews has no say."""
    if overall.high < 0:
        return f"worse beyond noise: {_pair(candidate, champion)}, macro-F1 {overall}"
    newest = _newest(candidate, champion, gate, rules)
    if newest and newest.n >= rules.slice_reviews and newest.high < 0:
        return f"worse on the newest window: {_pair(candidate, champion)}, macro-F1 {newest}"
    for name, change in slice_changes(candidate, champion, gate, rules).items():
        if change.n >= rules.slice_reviews and change.high < -rules.slice_points:
            told = f"accuracy {change}, a fall of {rules.slice_points:g} points is allowed"
            return f"slice '{name}' falls: {_pair(candidate, champion)}, {told}"
    return None


def _compared(overall: Difference, told: str, required: str | None, rules: Evaluation) -> tuple[bool, str]:
    if overall.low > 0:
        return True, f"better beyond noise: {told}"
    if required is None:
        return False, f"within noise and not required: {told}"
    if overall.low > -rules.margin_points:
        return True, f"non-inferior and required ({required}): {told}"
    limit = f"the interval reaches to -{rules.margin_points:g} points or below"
    return False, f"required ({required}) but not shown to be non-inferior: {told}, {limit}"


def _pair(candidate: Contender, champion: Contender) -> str:
    return f"{candidate.name} {candidate.model_version} against {champion.name} {champion.model_version}"


def broken_budget(contender: Contender, gate: pd.DataFrame, rules: Evaluation) -> str | None:
    """Why this model may not serve whatever it is compared with, or None."""
    truth = _truth(contender, gate)
    error = calibration.expected_calibration_error(contender.probabilities, truth)
    by_chance = calibration.error_by_chance(contender.probabilities, evaluate.text_keys(gate["review_text"]))
    counts = evaluate.confusion(truth, contender.probabilities.argmax(axis=1), len(contender.labels))
    guessed = np.full_like(truth, counts.sum(axis=1).argmax())
    guessing = float(bootstrap.macro_f1_of(evaluate.confusion(truth, guessed, len(contender.labels))))
    reached = float(bootstrap.macro_f1_of(counts))
    told = f"{contender.name} {contender.model_version}"
    if reached < guessing:
        return f"{told} is no better than one answer for all: macro-F1 {reached:.3f} against {guessing:.3f}"
    if error > max(rules.max_calibration_error, by_chance):
        allowed = f"{rules.max_calibration_error:g} is allowed, chance alone gives up to {by_chance:.3f}"
        return f"{told} breaks its calibration budget: error {error:.3f} on n={len(truth)}, {allowed}"
    if contender.milliseconds is not None and contender.milliseconds > rules.max_milliseconds:
        spent = f"{contender.milliseconds:.1f} ms a review, {rules.max_milliseconds:g} ms are allowed"
        return f"{told} breaks its latency budget: {spent}"
    if contender.megabytes is not None and contender.megabytes > rules.max_megabytes:
        spent = f"{contender.megabytes:.1f} MB, {rules.max_megabytes:g} MB are allowed"
        return f"{told} breaks its size budget: {spent}"
    return None


def difference(
    candidate: Contender,
    champion: Contender,
    gate: pd.DataFrame,
    rules: Evaluation,
    *,
    mask: np.ndarray | None = None,
    accuracy: bool = False,
) -> Difference:
    """Macro-F1 (or accuracy) of candidate less champion on the rows of `mask`, with its paired interval."""
    rows = np.arange(len(gate)) if mask is None else np.flatnonzero(mask)
    return paired.difference(
        _truth(candidate, gate)[rows],
        candidate.probabilities[rows],
        champion.probabilities[rows],
        evaluate.text_keys(gate["review_text"].iloc[rows]).tolist(),
        rules,
        accuracy=accuracy,
    )


def slice_changes(
    candidate: Contender, champion: Contender, gate: pd.DataFrame, rules: Evaluation
) -> dict[str, Difference]:
    """The paired change of accuracy in every slice of the gate side."""
    return {
        name: difference(candidate, champion, gate, rules, mask=mask, accuracy=True)
        for name, mask in slices.slices(gate)
    }


def _newest(candidate: Contender, champion: Contender, gate: pd.DataFrame, rules: Evaluation) -> Difference | None:
    mask = slices.newest_window(gate, rules.newest_months)
    return difference(candidate, champion, gate, rules, mask=mask) if mask.any() else None


def _verdict(
    candidate: Contender,
    champion: Contender | None,
    gate: pd.DataFrame,
    rules: Evaluation,
    *,
    promote: bool,
    reason: str,
) -> Verdict:
    window = slices.newest_window(gate, rules.newest_months)

    def measured(each: Contender) -> dict[str, Any]:
        texts = evaluate.text_keys(gate["review_text"])
        whole = evaluate.scores(gate["label"], each.probabilities, each.labels, texts=texts.tolist(), rules=rules)
        return {
            "gate": {
                **evaluate.brief(whole),
                **{name: whole[name] for name in ("calibration_error", "calibration_error_by_chance")},
            },
            "newest": evaluate.brief(
                evaluate.scores(
                    gate["label"][window],
                    each.probabilities[window],
                    each.labels,
                    texts=texts[window].tolist(),
                    rules=rules,
                )
            ),
            "milliseconds": each.milliseconds,
            "megabytes": each.megabytes,
        }

    figures: dict[str, Any] = {"n": len(gate), "candidate": measured(candidate)}
    if champion is not None and champion.labels == candidate.labels:
        newest = _newest(candidate, champion, gate, rules)
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


def _compare(best: Contender, other: Contender, gate: pd.DataFrame, rules: Evaluation) -> str:
    change = difference(best, other, gate, rules)
    return f"macro-F1 {change}{'' if change.low > 0 else ', within noise'}"


def _rank(contender: Contender, gate: pd.DataFrame) -> tuple[float, float]:
    truth, many = _truth(contender, gate), len(contender.labels)
    counts = evaluate.confusion(truth, contender.probabilities.argmax(axis=1), many)
    return float(bootstrap.macro_f1_of(counts)), float(bootstrap.accuracy_of(counts))


def _truth(contender: Contender, gate: pd.DataFrame) -> np.ndarray:
    if len(contender.probabilities) != len(gate):
        raise ValueError(f"{contender.name} answered {len(contender.probabilities)} of {len(gate)} gate reviews")
    return evaluate.indices(gate["label"], contender.labels)
