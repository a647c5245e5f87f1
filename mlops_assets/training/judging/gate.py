"""Which model serves: pure functions that return their reason. The gate side of the data decides.

If no serving model has a say, `first_choice.py` decides. docs/promotion.md has the rules and how often they err.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.models import Evaluation
from mlops_assets.training.judging import evaluate
from mlops_assets.training.judging.anchor import Anchor, standard_error
from mlops_assets.training.judging.budgets import broken_budget
from mlops_assets.training.judging.contender import (
    Contender,
    Parts,
    Verdict,
    compared,
    cost,
    difference,
    in_order,
    pair,
    told,
    verdict_on,
)
from mlops_assets.training.judging.evaluate import LEAST_TEXTS, Difference
from mlops_assets.training.judging.first_choice import first_to_go
from mlops_assets.training.judging.first_model import FirstModel
from mlops_assets.training.judging.people import difference_by_people

__all__ = ["Anchor", "Contender", "Verdict", "decide", "judge"]

BETTER, WORSE = 1.5, -3.0
"""Points of accuracy of the challengers that a decision is to tell apart."""

_OFTEN = 0.1
"""Errors above this share are told with the decision."""


def decide(
    contenders: Sequence[Contender],
    champion: Contender | None,
    gate: pd.DataFrame,
    *,
    required: str | None = None,
    rules: Evaluation | None = None,
    first: FirstModel | None = None,
    anchor: Anchor | None = None,
) -> Verdict:
    """The best contender that keeps its budgets and may take the place of the model that serves.

    If the best is stopped the next is judged: a challenger of the champion's own kind has the narrower interval.

    `gate` holds the rows of the gate side (review_text, label, rating, app_id, review_date), which count once for each
    text; `required` says why a new model is wanted even when it is only as good ("the data changed", "forced"), or is
    None. `first` says whether the champion has a say; if it has none, a contender is judged as a first model. `anchor`
    is the model of some time ago that bounds what many promotions may lose together.
    """
    rules, first = rules or Evaluation(), first or FirstModel()
    if not contenders:
        raise PermanentFailure("no model was trained: there is nothing to judge")
    rows = evaluate.one_row_a_text(gate)
    texts = gate.iloc[rows].reset_index(drop=True)
    asked = [each.on(rows) for each in contenders]
    serving, anchor = champion and champion.on(rows), anchor and anchor.on(rows)
    if serving is None or first.no_say or serving.labels != asked[0].labels:
        verdict, anchor = first_to_go(asked, serving, texts, rules, first), None
    else:
        verdict = _compared_with(serving, asked, texts, rules, required, first.stays, anchor)
    figures: dict[str, Any] = {
        "reviews": len(gate),
        "changes": {
            each.name: asdict(difference(each, serving, texts, rules))
            for each in asked
            if serving is not None and serving.labels == each.labels and not gate.empty
        },
    }
    if asked[0].by_people is not None:
        figures["people"] = {each.name: _people(each, serving, rules) for each in asked}
    if len(rows) < len(gate):
        figures["by_frequency"] = {each.name: _by_frequency(each, gate, rules) for each in contenders}
        if champion is not None and champion.labels == contenders[0].labels:
            figures["by_frequency"]["serving"] = _by_frequency(champion, gate, rules)
    if anchor is not None:
        figures["anchor"] = anchor.record(asked, texts, rules)
    return replace(verdict, figures={**verdict.figures, **figures})


def judge(
    candidate: Contender,
    champion: Contender | None,
    gate: pd.DataFrame,
    *,
    required: str | None = None,
    rules: Evaluation | None = None,
    anchor: Anchor | None = None,
) -> Verdict:
    """The verdict on one candidate; see `decide`."""
    return decide([candidate], champion, gate, required=required, rules=rules, anchor=anchor)


def _by_frequency(contender: Contender, gate: pd.DataFrame, rules: Evaluation) -> dict[str, Any]:
    """The scores over all reviews: a text counts as often as it was written."""
    texts = evaluate.text_keys(gate["review_text"]).tolist()
    return evaluate.scores(
        gate["label"], contender.probabilities, contender.labels, texts=texts, rules=rules, short=True
    )


def _compared_with(
    champion: Contender,
    contenders: Sequence[Contender],
    gate: pd.DataFrame,
    rules: Evaluation,
    required: str | None,
    stays: str | None,
    anchor: Anchor | None,
) -> Verdict:
    """The verdict if the champion has its say; `stays` says why nothing replaces it, whatever the gate side says."""
    if stays or gate.empty:
        why = stays or "the gate side holds no reviews, so nothing can decide between models"
        reason = f"{champion.name} {champion.model_version} stays: {why}"
        return verdict_on(contenders[0], champion, gate, rules, promote=False, reason=reason)
    broken = {each.name: why for each in contenders if (why := broken_budget(each, gate, rules))}
    sound = in_order([each for each in contenders if each.name not in broken], gate, rules)
    if not sound:
        best = in_order(contenders, gate, rules)[0]
        return verdict_on(best, champion, gate, rules, promote=False, reason="; ".join(broken.values()))
    verdict, others = _first_that_may(sound, champion, gate, rules, required, anchor)
    return replace(verdict, reason="; ".join([verdict.reason, *others, *broken.values()]))


def _first_that_may(
    ordered: Sequence[Contender],
    champion: Contender,
    gate: pd.DataFrame,
    rules: Evaluation,
    required: str | None,
    anchor: Anchor | None,
) -> tuple[Verdict, list[str]]:
    """The verdict on the best contender that may serve, or on the best of all, and what is to be said of the others."""
    best = ordered[0]
    verdict = _judge(best, champion, gate, rules, required, anchor)
    ahead = [compared(best, other, gate, rules) for other in ordered[1:]]
    if verdict.promote or champion.model_version == best.model_version:
        return verdict, ahead
    for other in ordered[1:]:
        if champion.model_version == other.model_version:
            continue
        second = _judge(other, champion, gate, rules, required, anchor)
        if second.promote:
            return second, [*ahead, f"{best.name} may not: {verdict.reason}"]
        ahead.append(f"{other.name} may not either: {second.reason}")
    return verdict, ahead


def _judge(
    candidate: Contender,
    champion: Contender,
    gate: pd.DataFrame,
    rules: Evaluation,
    required: str | None,
    anchor: Anchor | None,
) -> Verdict:
    """Promote what is better beyond noise, or as good if a new model is needed and the anchor allows it.

    The newest window or a slice that is worse beyond noise stops promotion.
    """
    if champion.model_version == candidate.model_version:
        reason = f"{candidate.name} {candidate.model_version} serves already"
        return verdict_on(candidate, champion, gate, rules, promote=False, reason=reason)
    parts = Parts.of(candidate, champion, gate, rules)
    change = difference(candidate, champion, gate, rules)
    better = change.low > 0
    models = pair(candidate, champion)
    refused = (
        _worse(candidate, champion, gate, change, rules)
        or _part_falls(parts, models, rules)
        or _worse_by_people(candidate, champion, rules)
    )
    if not refused and change.n < LEAST_TEXTS:
        refused = f"too few gate texts to compare: {told(change)}, at least {LEAST_TEXTS} are needed"
    if not refused and not better:
        refused = _not_as_good(candidate, champion, change, required, rules) or (
            anchor and anchor.forbids(candidate, gate, rules)
        )
    said = f"{models}, {told(change)}"
    reason = refused or (
        f"better beyond noise: {said}" if better else f"as good, and a new model is needed ({required}): {said}"
    )
    if required and not better:
        reason += _cannot_tell(change, rules)
    return verdict_on(
        candidate,
        champion,
        gate,
        rules,
        promote=not refused,
        reason=reason,
        basis="better" if better else "as good",
        parts=parts,
    )


def _worse(
    candidate: Contender, champion: Contender, gate: pd.DataFrame, change: Difference, rules: Evaluation
) -> str | None:
    """Why the whole gate side forbids promotion, or None."""
    if change.high < 0:
        return f"worse beyond noise: {pair(candidate, champion)}, {told(change)}"
    # Accuracy hides a rare label that is lost; macro-F1 does not.
    macro = difference(candidate, champion, gate, rules, score="macro-F1")
    return f"worse beyond noise: {pair(candidate, champion)}, {told(macro, 'macro-F1')}" if macro.high < 0 else None


def _worse_by_people(candidate: Contender, champion: Contender, rules: Evaluation) -> str | None:
    """Why the labels of people forbid promotion, or None."""
    change = difference_by_people(candidate.by_people, champion.by_people, rules)
    if change is None or change.high >= 0:
        return None
    return f"worse by people's labels: {pair(candidate, champion)}, {told(change)}"


def _people(each: Contender, serving: Contender | None, rules: Evaluation) -> dict[str, Any]:
    """What people's labels say of a contender, for the record."""
    right = each.by_people
    change = difference_by_people(right, serving.by_people, rules) if serving else None
    measured = {} if right is None else {"n": len(right), "accuracy": round(float(right.mean()), 6)}
    return {**measured, "difference": asdict(change) if change else None}


def _part_falls(parts: Parts, models: str, rules: Evaluation) -> str | None:
    """Which part of the gate side forbids promotion, or None; a part with few texts has no say."""
    if parts.newest and parts.newest_decides and parts.newest.high < 0:
        return f"worse on the newest window: {models}, {told(parts.newest)}"
    for name in sorted(parts.deciding):
        if parts.slices[name].high < -rules.slice_points:
            fall = f"{told(parts.slices[name])}, a fall of {rules.slice_points:g} points is allowed"
            return f"slice '{name}' falls: {models}, {fall}"
    return None


def _not_as_good(
    candidate: Contender,
    champion: Contender,
    change: Difference,
    required: str | None,
    rules: Evaluation,
) -> str | None:
    """Why a candidate that is not better beyond noise may not be promoted for being as good, or None."""
    said = f"{pair(candidate, champion)}, {told(change)}"
    if required is None:
        return f"within noise, and no new model is needed: {said}"
    least = -rules.worse_points
    if candidate.kind != champion.kind and candidate.kind and champion.kind:
        least = rules.tie_points if cost(candidate.kind) > cost(champion.kind) else -rules.tie_points
    if change.points < least:
        return f"a new model is needed ({required}), but this one looks worse: {said}, at least {least:+g} is needed"
    return None


def _cannot_tell(change: Difference, rules: Evaluation) -> str:
    """What so few texts cannot tell, in words; empty if they can."""
    rejected, promoted = errors(change, rules)
    if max(rejected, promoted) <= _OFTEN:
        return ""
    return (
        f" (n={change.n} cannot tell much: a model that is truly {BETTER:g} points better is rejected in "
        f"{rejected:.0%}, one that is truly {-WORSE:g} points worse promoted in {promoted:.0%})"
    )


def errors(change: Difference, rules: Evaluation) -> tuple[float, float]:
    """How often a comparison with this standard error rejects a better model, and promotes a worse one."""
    error = standard_error(change, rules)
    if not error or not np.isfinite(error):
        return 0.0, 0.0
    noise = NormalDist(sigma=error)
    return noise.cdf(-rules.worse_points - BETTER), 1 - noise.cdf(-rules.worse_points - WORSE)
