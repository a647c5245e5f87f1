"""Which model serves: pure functions that return their reason. The gate side of the data decides.

If no serving model has a say, `first_choice.py` decides.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace

import pandas as pd

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.models import Evaluation
from mlops_assets.training.judging import evaluate, slices
from mlops_assets.training.judging.budgets import broken_budget
from mlops_assets.training.judging.contender import (
    Contender,
    Verdict,
    compared,
    difference,
    measure_of,
    newest_change,
    pair,
    rank,
    slice_changes,
    verdict_on,
)
from mlops_assets.training.judging.evaluate import LEAST_TEXTS, Difference
from mlops_assets.training.judging.first_choice import first_to_go
from mlops_assets.training.judging.first_model import FirstModel

__all__ = ["Contender", "Verdict", "decide", "judge"]


def decide(
    contenders: Sequence[Contender],
    champion: Contender | None,
    gate: pd.DataFrame,
    *,
    required: str | None = None,
    rules: Evaluation | None = None,
    first: FirstModel | None = None,
) -> Verdict:
    """The best contender that keeps its budgets and may take the place of the model that serves.

    If the best is stopped the next is judged: a challenger of the champion's own kind has the narrower interval.

    `gate` holds the rows of the gate side (review_text, label, rating, app_id, review_date); `required` says why a new
    model is wanted even when it is only as good ("the data changed", "forced"), or is None. `first` says whether the
    champion has a say; if it has none, a contender is judged as a first model.
    """
    rules, first = rules or Evaluation(), first or FirstModel()
    if not contenders:
        raise PermanentFailure("no model was trained: there is nothing to judge")
    if champion is None or first.no_say or champion.labels != contenders[0].labels:
        verdict = first_to_go(contenders, champion, gate, rules, first)
    else:
        verdict = _compared_with(champion, contenders, gate, rules, required, first.stays)
    changes = {
        each.name: asdict(difference(each, champion, gate, rules))
        for each in contenders
        if champion is not None and champion.labels == each.labels and not gate.empty
    }
    return replace(verdict, figures={**verdict.figures, "changes": changes})


def _compared_with(
    champion: Contender,
    contenders: Sequence[Contender],
    gate: pd.DataFrame,
    rules: Evaluation,
    required: str | None,
    stays: str | None,
) -> Verdict:
    """The verdict if the champion has its say; `stays` says why nothing replaces it, whatever the gate side says."""
    if stays or gate.empty:
        why = stays or "the gate side holds no reviews, so nothing can decide between models"
        reason = f"{champion.name} {champion.model_version} stays: {why}"
        return verdict_on(contenders[0], champion, gate, rules, promote=False, reason=reason)
    broken = {each.name: why for each in contenders if (why := broken_budget(each, gate, rules))}
    sound = [each for each in contenders if each.name not in broken]
    ranked = sorted(sound or contenders, key=lambda each: rank(each, gate), reverse=True)
    if not sound:
        return verdict_on(ranked[0], champion, gate, rules, promote=False, reason="; ".join(broken.values()))
    verdict, others = _first_that_may(ranked, champion, gate, rules, required)
    return replace(verdict, reason="; ".join([verdict.reason, *others, *broken.values()]))


def _first_that_may(
    ranked: Sequence[Contender],
    champion: Contender,
    gate: pd.DataFrame,
    rules: Evaluation,
    required: str | None,
) -> tuple[Verdict, list[str]]:
    """The verdict on the best contender that may serve, or on the best of all, and what is to be said of the others."""
    best = ranked[0]
    verdict = judge(best, champion, gate, required=required, rules=rules)
    ahead = [f"{best.name} is ahead of {other.name}, {compared(best, other, gate, rules)}" for other in ranked[1:]]
    if verdict.promote or champion.model_version == best.model_version:
        return verdict, ahead
    for other in ranked[1:]:
        if champion.model_version == other.model_version:
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
    """Promote a first model that knows its texts, a better one beyond noise, or one as good if a new model is needed.

    A broken budget, a newest window that is worse beyond noise or a slice that falls stops promotion. Intervals are
    paired bootstraps over the distinct texts of the gate side.
    """
    rules = rules or Evaluation()
    if champion is None or champion.labels != candidate.labels:
        return first_to_go([candidate], champion, gate, rules, FirstModel())
    if gate.empty:
        raise PermanentFailure("the gate side holds no reviews, so nothing can decide between models: collect more")
    promote, reason = False, ""
    if champion.model_version == candidate.model_version:
        reason = f"{candidate.name} {candidate.model_version} serves already"
    elif broken := broken_budget(candidate, gate, rules):
        reason = broken
    else:
        overall = difference(candidate, champion, gate, rules)
        stopped = _stopped(candidate, champion, gate, overall, rules)
        promote, reason = (
            (False, stopped) if stopped else _compared(candidate, champion, gate, overall, required, rules)
        )
    return verdict_on(candidate, champion, gate, rules, promote=promote, reason=reason)


def _stopped(
    candidate: Contender, champion: Contender, gate: pd.DataFrame, overall: Difference, rules: Evaluation
) -> str | None:
    """Why the gate side or a part of it forbids promotion, or None; a part with few reviews has no say."""
    if overall.high < 0:
        return f"worse beyond noise: {pair(candidate, champion)}, macro-F1 {overall}"
    newest = newest_change(candidate, champion, gate, rules)
    measure = measure_of(gate, slices.newest_window(gate, rules.newest_months))
    if newest and newest.n >= rules.slice_reviews and newest.high < 0:
        return f"worse on the newest window: {pair(candidate, champion)}, {measure} {newest}"
    for name, change in slice_changes(candidate, champion, gate, rules).items():
        if change.n >= rules.slice_reviews and change.high < -rules.slice_points:
            fall = f"accuracy {change}, a fall of {rules.slice_points:g} points is allowed"
            return f"slice '{name}' falls: {pair(candidate, champion)}, {fall}"
    return None


def _compared(
    candidate: Contender,
    champion: Contender,
    gate: pd.DataFrame,
    overall: Difference,
    required: str | None,
    rules: Evaluation,
) -> tuple[bool, str]:
    compared_on = f"{pair(candidate, champion)}, macro-F1 {overall}"
    better = overall.low > 0
    if not better and required is None:
        return False, f"within noise, and no new model is needed: {compared_on}"
    if not better and overall.low <= -rules.margin_points:
        limit = f"the interval reaches to -{rules.margin_points:g} points or below"
        return False, f"a new model is needed ({required}), but this one may be worse: {compared_on}, {limit}"
    texts = len(set(evaluate.text_keys(gate["review_text"]).tolist()))
    if texts < LEAST_TEXTS:
        return (
            False,
            f"too few gate texts to compare: {compared_on}, {texts} distinct, at least {LEAST_TEXTS} are needed",
        )
    return True, (
        f"better beyond noise: {compared_on}"
        if better
        else f"as good, and a new model is needed ({required}): {compared_on}"
    )
