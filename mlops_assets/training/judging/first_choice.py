"""Which model goes first if no serving model has a say: pure functions that return their reason."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import pandas as pd

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.models import Evaluation
from mlops_assets.training.judging.budgets import over_budget
from mlops_assets.training.judging.contender import (
    Contender,
    Verdict,
    compared,
    difference,
    in_order,
    pair,
    told,
    verdict_on,
)
from mlops_assets.training.judging.first_model import (
    CROSS_VALIDATED,
    LEAST_TEXTS,
    SMALL_SIDE,
    FirstModel,
    HeldOut,
    Shown,
    held_out,
    shown,
)


def first_to_go(
    contenders: Sequence[Contender],
    champion: Contender | None,
    gate: pd.DataFrame,
    rules: Evaluation,
    first: FirstModel,
) -> Verdict:
    """The best contender that has shown, on texts it was not trained on, that its answers come from them; or none.

    On a small gate side only the classic model can, helped by the cross-validation of its recipe if there is one.
    """
    evidence = {each.name: _evidence(each, gate, first) for each in contenders}
    if champion is None and not any(len(given.truth) for given in evidence.values()):
        raise PermanentFailure(
            "the gate side holds no reviews, so nothing can decide between models: collect more, "
            f"{LEAST_TEXTS} distinct texts of each label are needed"
        )
    proofs = {each.name: shown(each.name, evidence[each.name], rules, reviews=first.reviews) for each in contenders}
    faults = {
        each.name: fault
        for each in contenders
        if (fault := _fault(each, champion, gate, evidence[each.name], proofs[each.name], rules, first))
    }
    ranked = sorted(in_order(contenders, gate, rules), key=lambda each: each.name in faults)
    best = ranked[0]
    sentences = [] if champion is None else [_no_say(champion, contenders[0], first)]
    if promote := best.name not in faults:
        others = [other for other in ranked[1:] if other.name not in faults]
        ahead = [compared(best, other, gate, rules) for other in others]
        sentences.append("; ".join([f"first model: {proofs[best.name].reason}", *ahead, *faults.values()]))
    else:
        if champion is not None:
            sentences.append("it serves all the same, for no new model may take its place")
        sentences.append("; ".join([*faults.values(), *_wanted(list(proofs.values()))]))
    verdict = verdict_on(best, champion, gate, rules, promote=promote, reason=": ".join(sentences), basis="first")
    evidence_figures = {"shown": {name: asdict(proof) for name, proof in proofs.items()}, "no_say": first.no_say}
    return replace(verdict, figures={**verdict.figures, **evidence_figures})


def _evidence(contender: Contender, gate: pd.DataFrame, first: FirstModel) -> HeldOut:
    """The contender's answers to texts that it was not trained on."""
    own = held_out(contender.labels, gate, contender.probabilities, "gate reviews")
    apart = first.cross_validated
    if contender.name != CROSS_VALIDATED or apart is None or not own.small or apart.labels != own.labels:
        return own
    return apart.with_more(own, "reviews of train side (cross-validated) and gate side")


def _fault(
    contender: Contender,
    champion: Contender | None,
    gate: pd.DataFrame,
    evidence: HeldOut,
    proof: Shown,
    rules: Evaluation,
    first: FirstModel,
) -> str | None:
    """Why this model may not go first, or None."""
    if champion is not None and champion.model_version == contender.model_version:
        return f"{contender.name} {contender.model_version} serves already"
    if evidence.small and contender.name != CROSS_VALIDATED:
        rarest, count = evidence.rarest
        return (
            f"{contender.name} does not go first on a small gate side: {SMALL_SIDE} distinct texts of each label are "
            f"needed, it holds {count} of {rarest}"
        )
    if broken := over_budget(contender, gate, rules):
        return broken
    if not proof.passed:
        return proof.reason
    if champion is not None and first.same_app and not gate.empty and champion.labels == contender.labels:
        overall = difference(contender, champion, gate, rules)
        if overall.high < 0:
            return f"worse beyond noise: {pair(contender, champion)}, {told(overall)}"
    return None


def _no_say(champion: Contender, contender: Contender, first: FirstModel) -> str:
    serving = f"{champion.name} {champion.model_version}"
    if champion.labels != contender.labels:
        old, new = (", ".join(each.labels) for each in (champion, contender))
        return f"labels changed from {old} to {new}: {serving} cannot answer them"
    return f"{serving} {first.no_say}, so it has no say"


def _wanted(proofs: Sequence[Shown]) -> list[str]:
    known = [proof.more_wanted for proof in proofs if proof.more_wanted]
    return [f"about {min(known):,} more reviews are wanted"] if known else []
