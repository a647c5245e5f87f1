"""The anchor bounds what many promotions may lose together; the gate's errors, in a few draws."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from benchmarks.gate import BETTER, WORSE, history, promoted
from mlops_assets.params.models import Evaluation
from mlops_assets.training.judging.anchor import AVERAGED, FREE, Anchor, Reign, anchors, as_good_since, lineage
from mlops_assets.training.judging.evaluate import LEAST_TEXTS
from mlops_assets.training.judging.gate import decide
from tests.unit.training.judging.test_gate import answering, gate_of

RULES = Evaluation(rounds=200)
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def reign(model: str, days_ago: float, basis: str | None = "as good") -> Reign:
    return Reign(model, NOW - timedelta(days=days_ago), {"basis": basis, "promoted": basis is not None})


REIGNS = [
    reign("e", 1),
    reign("d", 30, "better"),
    reign("c", 89),
    reign("b", 90),
    reign("a", 200, "first"),
    reign("sample", 300, "first"),
]


@pytest.mark.parametrize(("days", "oldest"), [(90, "b"), (89, "c"), (91, "a"), (5000, "a"), (1, "e")])
def test_the_anchor_is_the_model_of_that_day_and_never_one_from_before_the_first_model(days: int, oldest: str) -> None:
    known = [each.model_version for each in anchors(REIGNS, NOW, days)]
    assert known == list("abcde")["abcde".index(oldest) :]
    assert "sample" not in known


def test_without_a_model_there_is_no_anchor_and_under_an_earlier_clock_the_oldest_is() -> None:
    assert anchors([], NOW, 90) == []
    assert anchors(REIGNS, NOW - timedelta(days=1000), 90)[0].model_version == "a"


def test_promotions_of_models_that_were_only_as_good_are_counted_since_the_anchor_served_last() -> None:
    assert [as_good_since(REIGNS, each) for each in "edcba"] == [0, 1, 1, 2, 3]
    back = [reign("b", 0.5, None), *REIGNS]
    assert as_good_since(back, "b") == 0
    assert as_good_since(back, "a") == 3


@pytest.mark.parametrize(
    ("decision", "basis"),
    [
        ({"promoted": True, "figures": {"shown": {}}, "reason": "first model: classic"}, "first"),
        ({"promoted": True, "figures": {"difference": {}}, "reason": "better beyond noise: classic"}, "better"),
        ({"promoted": True, "figures": {"difference": {}}, "reason": "as good, and a new model"}, "as good"),
        ({"promoted": False, "reason": "worse beyond noise"}, None),
        ({}, None),
    ],
)
def test_why_a_model_was_promoted_is_read_from_older_records_too(decision: dict, basis: str | None) -> None:
    assert Reign("m", NOW, decision).basis == basis


def test_a_history_without_a_first_model_goes_back_to_its_oldest() -> None:
    assert [each.model_version for each in lineage(REIGNS[:3])] == ["e", "d", "c"]


ROWS = 1000
LIVE_WRONG = range(100, 200)


def judged(wrong, anchor: Anchor, version: str = "new"):
    gate = gate_of(ROWS)
    live = answering(gate, LIVE_WRONG, "champion", "live")
    challenger = answering(gate, wrong, version=version)
    return decide([challenger], live, gate, required="the data changed", rules=RULES, anchor=anchor)


def anchor_of(wrong, as_good: int, **more) -> Anchor:
    return Anchor("old", "2026-08-01", as_good, answering(gate_of(ROWS), wrong, "anchor", "old"), **more)


def test_two_promotions_after_the_anchor_are_free_and_then_a_challenger_must_be_near_it() -> None:
    """The challenger is as good as the live model and a point below the anchor: within noise, not shown to be near."""
    wrong, best = range(150, 250), range(300, 390)
    assert judged(wrong, anchor_of(best, FREE - 1)).promote
    refused = judged(wrong, anchor_of(best, FREE))
    assert not refused.promote
    told = "not shown to be within 1.5 points of the anchor old (live since 2026-08-01): it is -1.0 points of accuracy"
    assert refused.reason.startswith(told)
    assert "is needed after 2 promotions of models that were only as good" in refused.reason
    assert judged(wrong, anchor_of(range(140, 250), FREE)).promote


def test_what_is_better_than_the_live_model_beyond_noise_needs_no_anchor() -> None:
    verdict = judged(range(100, 130), anchor_of(range(5), 9))
    assert (verdict.promote, verdict.basis) == (True, "better")


def test_a_challenger_that_is_worse_than_the_anchor_beyond_noise_is_refused_at_once() -> None:
    verdict = judged(range(150, 250), anchor_of(range(150, 160), 0))
    assert verdict.reason.startswith(
        "worse than the anchor old (live since 2026-08-01) beyond noise, accuracy -9.0 points"
    )


def test_the_newest_challengers_are_averaged_so_that_a_lucky_one_does_not_pass() -> None:
    wrong, anchor = range(150, 250), range(140, 250)
    lost = [(f"m{n}", -3.0) for n in range(9)]
    lucky = judged(wrong, anchor_of(anchor, FREE, recent={"classic": lost}))
    assert not lucky.promote
    assert f"the last {AVERAGED} classic models average -2.2 points" in lucky.reason
    assert judged(wrong, anchor_of(anchor, FREE, recent={"bert": lost})).promote
    record = lucky.figures["anchor"]
    assert record["recent"]["classic"] == [*([f"m{n}", -3.0] for n in range(5, 9)), ["new", 1.0]]
    again = judged(wrong, anchor_of(anchor, FREE, recent=record["recent"]))
    assert again.figures["anchor"]["recent"] == record["recent"]


def test_without_an_anchor_in_reach_only_a_better_model_is_promoted_after_two() -> None:
    gone = Anchor("old", "2026-08-01", FREE, why="it was pruned")
    refused = judged(range(150, 250), gone)
    assert not refused.promote
    assert "2 promotions since the anchor old (live since 2026-08-01) were only as good" in refused.reason
    assert "out of reach (it was pruned)" in refused.reason
    assert judged(range(150, 250), Anchor("old", "2026-08-01", FREE - 1, why="it was pruned")).promote
    assert judged(range(100, 130), gone).promote


def test_the_anchor_is_judged_on_the_reviews_of_its_own_apps() -> None:
    own = np.arange(ROWS) >= 500
    anchor = anchor_of(range(500), FREE, rows=own)
    verdict = judged(range(150, 250), anchor)
    assert verdict.figures["anchor"]["changes"]["classic"] == {"n": 500, "points": 0.0, "low": -0.6, "high": 0.6}
    assert judged(range(150, 250), anchor_of(range(500), FREE, rows=np.zeros(ROWS, dtype=bool))).promote is False


def test_an_anchor_that_knows_too_few_gate_texts_decides_nothing() -> None:
    few = np.arange(ROWS) < LEAST_TEXTS - 1
    wrong = [*range(LEAST_TEXTS), *range(100, 190)]
    assert judged(wrong, anchor_of((), FREE - 1, rows=few)).promote
    refused = judged(wrong, anchor_of((), FREE, rows=few))
    assert f"out of reach (fewer than {LEAST_TEXTS} gate texts can be compared)" in refused.reason


def test_of_better_challengers_few_are_rejected_and_of_worse_ones_few_promoted() -> None:
    """A tenth is allowed at 400 texts (benchmarks/gate.py draws hundreds)."""
    better = [promoted(400, 0.10, BETTER, seed) for seed in range(15)]
    worse = [promoted(400, 0.10, WORSE, seed) for seed in range(15)]
    assert sum(better) >= 12
    assert sum(worse) <= 3


def test_challengers_that_are_each_a_little_worse_do_not_walk_the_live_model_down() -> None:
    """Texts are new each time, so that every challenger may be lucky."""
    points, count = history(200, "new texts", -0.3, 25, seed=1)
    unbound = Evaluation(rounds=200, anchor_points=100)
    assert points >= -1.5
    assert history(200, "new texts", -0.3, 25, seed=1, rules=unbound)[1] > 2 * count
