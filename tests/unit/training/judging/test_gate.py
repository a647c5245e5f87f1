"""The table of cases of the decision which model serves."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.models import Evaluation
from mlops_assets.training.judging.gate import Contender, decide, judge

NAMES = ("negative", "positive")
RULES = Evaluation(rounds=500)


def gate_of(rows: int, *, old: int = 0, negated: int = 0) -> pd.DataFrame:
    """Reviews with distinct texts, half of each label; the first `old` a year older, the first `negated` negated."""
    return pd.DataFrame(
        {
            "review_text": [
                f"{'tidak ' if n < negated else ''}ulasan nomor {n} panjang sekali ya" for n in range(rows)
            ],
            "label": [NAMES[n % 2] for n in range(rows)],
            "rating": pd.array([1 if n % 2 == 0 else 5 for n in range(rows)], dtype="Int64"),
            "app_id": "app.one",
            "review_date": pd.to_datetime(["2024-01-01" if n < old else "2025-01-01" for n in range(rows)], utc=True),
        }
    )


def answering(
    gate: pd.DataFrame,
    wrong: set[int] | range,
    name: str = "classic",
    version: str = "new",
    *,
    sure: float | None = None,
    **costs: float,
) -> Contender:
    """A model that is wrong on these rows of the gate side and as sure as told, or as it is right."""
    sure = sure or max(0.51, 1 - len(wrong) / max(1, len(gate)))
    truth = np.array([NAMES.index(label) for label in gate["label"]], dtype=int)
    answered = np.where(np.isin(np.arange(len(gate)), list(wrong)), 1 - truth, truth)
    probabilities = np.full((len(gate), 2), 1 - sure)
    probabilities[np.arange(len(gate)), answered] = sure
    return Contender(name, version, NAMES, probabilities, **costs)


def serving(gate: pd.DataFrame, wrong: set[int] | range) -> Contender:
    return answering(gate, wrong, "bert", "old")


@pytest.mark.parametrize(
    ("rows", "wrong", "wrong_serving", "required", "promote", "reason"),
    [
        (200, range(40), None, None, True, "first model: classic, macro-F1 0.800 on 200 gate reviews"),
        (200, range(20), range(20, 60), None, True, "better beyond noise: classic new against bert old"),
        (200, range(38), range(40), None, False, "within noise, and no new model is needed"),
        (
            2000,
            range(400),
            range(10, 410),
            "the data changed",
            True,
            "as good, and a new model is needed (the data changed)",
        ),
        (200, range(42), range(40), "forced", False, "a new model is needed (forced), but this one looks worse"),
        (200, range(41), range(40), "forced", True, "as good, and a new model is needed (forced)"),
        (200, range(60), range(20), "forced", False, "worse beyond noise"),
        (200, range(40), range(40), "forced", True, "as good, and a new model is needed (forced)"),
        (200, range(40), range(40), None, False, "within noise, and no new model is needed"),
    ],
)
def test_the_table_of_cases(rows, wrong, wrong_serving, required, promote, reason):
    gate = gate_of(rows)
    champion = None if wrong_serving is None else serving(gate, wrong_serving)
    verdict = judge(answering(gate, wrong), champion, gate, required=required, rules=RULES)
    assert (verdict.promote, verdict.reason[: len(reason)]) == (promote, reason)
    assert verdict.serves == ("new" if promote else "old")


def test_the_model_that_serves_already_is_not_promoted_again():
    gate = gate_of(100)
    again = answering(gate, range(10), version="old")
    verdict = judge(again, serving(gate, range(50)), gate, required="forced", rules=RULES)
    assert (verdict.promote, verdict.reason, verdict.serves) == (False, "classic old serves already", "old")


def test_a_clear_win_overall_does_not_outweigh_a_worse_newest_window():
    gate = gate_of(600, old=500)
    verdict = judge(answering(gate, range(500, 530)), serving(gate, range(200)), gate, rules=RULES)
    assert not verdict.promote
    assert verdict.reason.startswith("worse on the newest window")


@pytest.mark.parametrize(("negated", "promote"), [(RULES.slice_reviews, False), (RULES.slice_reviews - 1, True)])
def test_a_slice_that_falls_stops_promotion_from_enough_reviews_on(negated, promote):
    gate = gate_of(600, negated=negated)
    verdict = judge(answering(gate, range(15)), serving(gate, range(100, 220)), gate, rules=RULES)
    assert verdict.promote == promote
    assert promote or verdict.reason.startswith("slice 'negation' falls: classic new against bert old, accuracy -50.0")


def test_a_slice_that_falls_within_its_allowance_stops_nothing():
    gate = gate_of(4000, negated=1000)
    verdict = judge(answering(gate, range(20)), serving(gate, range(1000, 1400)), gate, rules=RULES)
    assert verdict.promote
    assert verdict.figures["slices"]["negation"]["points"] == pytest.approx(-2)


@pytest.mark.parametrize(
    ("costs", "reason"),
    [
        ({"milliseconds": 250.1}, "classic new breaks its latency budget: 250.1 ms a review, 250 ms are allowed"),
        ({"megabytes": 1500.1}, "classic new breaks its size budget: 1500.1 MB, 1500 MB are allowed"),
        ({"sure": 0.99}, "classic new breaks its calibration budget: error 0.190 on n=200, 0.15 is allowed, "),
    ],
)
def test_a_broken_budget_stops_even_a_better_model(costs, reason):
    gate = gate_of(200)
    verdict = judge(answering(gate, range(40), **costs), serving(gate, range(90)), gate, rules=RULES)
    assert (verdict.promote, verdict.reason[: len(reason)]) == (False, reason)


def test_a_model_exactly_on_its_budgets_may_serve():
    gate = gate_of(200)
    challenger = answering(gate, range(40), milliseconds=250, megabytes=1500)
    assert judge(challenger, serving(gate, range(90)), gate, rules=RULES).promote


def test_a_model_that_always_answers_the_same_may_not_even_be_the_first():
    gate = gate_of(100)
    worse = answering(gate, {n for n in range(100) if n % 2 == 0 or n < 20})
    verdict = judge(worse, None, gate, rules=RULES)
    assert (verdict.promote, verdict.serves) == (False, None)
    assert "no better than one answer for all" in verdict.reason


def test_a_model_of_other_labels_replaces_one_that_cannot_answer_them():
    gate = gate_of(100)
    old = Contender("bert", "old", ("negative", "neutral", "positive"), np.full((100, 3), 1 / 3))
    verdict = judge(answering(gate, range(20)), old, gate, rules=RULES)
    assert verdict.promote
    assert verdict.reason.startswith("labels changed from negative, neutral, positive to negative, positive")


def test_repeated_texts_do_not_make_noise_look_like_a_win():
    gate = gate_of(200)
    gate["review_text"] = [f"teks {min(n, 150)}" for n in range(200)]
    often = judge(answering(gate, range(12)), serving(gate, {*range(10), *range(150, 200)}), gate, rules=RULES)
    assert often.reason.startswith("within noise")
    assert "accuracy -0.7 points (" in often.reason
    assert "n=151 texts" in often.reason
    assert (often.figures["n"], often.figures["reviews"]) == (151, 200)
    assert often.figures["by_frequency"]["classic"]["accuracy"] == pytest.approx(188 / 200)
    assert often.figures["by_frequency"]["serving"]["accuracy"] == pytest.approx(140 / 200)


def test_the_better_of_two_is_judged_and_the_reason_names_both():
    gate = gate_of(200)
    two = [answering(gate, range(50), "bert", "b"), answering(gate, range(20), "classic", "c")]
    for contenders in (two, two[::-1]):
        verdict = decide(contenders, None, gate, rules=RULES)
        assert (verdict.candidate, verdict.promote) == ("classic", True)
        assert "; classic is ahead of bert, accuracy +15.0 points" in verdict.reason


def test_a_better_model_over_budget_leaves_the_place_to_the_other():
    gate = gate_of(200)
    slow = answering(gate, range(10), "bert", "b", milliseconds=900)
    verdict = decide([slow, answering(gate, range(40), "classic", "c")], None, gate, rules=RULES)
    assert (verdict.candidate, verdict.promote) == ("classic", True)
    assert "bert b breaks its latency budget" in verdict.reason
    alone = decide([slow], None, gate, rules=RULES)
    assert (alone.promote, alone.serves) == (False, None)


def test_few_reviews_break_no_calibration_budget_by_luck_and_many_do_not_hide_it():
    few, many = gate_of(34), gate_of(150)
    unsure = answering(few, set(), sure=0.7)
    assert judge(unsure, None, few, rules=RULES).promote
    overconfident = answering(many, range(45), sure=0.99)
    assert "breaks its calibration budget: error 0.290 on n=150" in judge(overconfident, None, many, rules=RULES).reason


def test_where_the_best_is_stopped_the_next_one_is_judged():
    gate = gate_of(600, negated=60)
    champion = answering(gate, range(100, 220), "champion", "old")
    falls = answering(gate, range(30), "bert", "b")
    sound = answering(gate, range(100, 150), "classic", "c")
    for contenders in ([falls, sound], [sound, falls]):
        verdict = decide(contenders, champion, gate, rules=RULES)
        assert (verdict.promote, verdict.candidate) == (True, "classic")
        assert verdict.reason.startswith("better beyond noise: classic c against champion old")
        assert "; bert is ahead of classic, " in verdict.reason
        assert "; bert may not: slice 'negation' falls: bert b against champion old" in verdict.reason
    stays = decide([falls, answering(gate, range(100, 219), "classic", "c")], champion, gate, rules=RULES)
    assert (stays.promote, stays.candidate) == (False, "bert")
    assert "; classic may not either: within noise, and no new model is needed" in stays.reason


def test_the_champion_itself_is_no_second_choice():
    gate = gate_of(600, negated=60)
    champion = answering(gate, range(100, 220), "champion", "old")
    kept = answering(gate, range(100, 220), "classic", "old")
    verdict = decide([answering(gate, range(30), "bert", "b"), kept], champion, gate, required="forced", rules=RULES)
    assert (verdict.promote, verdict.serves) == (False, "old")
    assert verdict.reason.count("may not") == 0


@pytest.mark.parametrize(("rows", "told"), [(60, True), (400, False)])
def test_a_decision_on_a_few_texts_says_what_they_cannot_tell(rows, told):
    gate = gate_of(rows)
    wrong, as_many = range(rows // 10), range(rows // 20, rows // 20 + rows // 10)
    verdict = judge(answering(gate, wrong), serving(gate, as_many), gate, required="forced", rules=RULES)
    assert verdict.promote
    assert (
        "(n=60 cannot tell much: a model that is truly 1.5 points better is rejected in 2" in verdict.reason
    ) == told
    assert ("cannot tell" in verdict.reason) == told


def test_a_win_on_a_handful_of_texts_replaces_no_model():
    gate = gate_of(8)
    verdict = judge(answering(gate, set()), serving(gate, range(8)), gate, required="forced", rules=RULES)
    assert not verdict.promote
    assert verdict.reason.startswith("too few gate texts to compare")
    assert "n=8 texts), at least 10 are needed" in verdict.reason


def test_a_rare_label_that_is_lost_is_seen_although_accuracy_hides_it():
    gate = gate_of(1000)
    gate = gate[(gate["label"] == "positive") | (gate.index < 100)].reset_index(drop=True)
    negatives = [n for n in range(len(gate)) if gate["label"][n] == "negative"]
    positives = [n for n in range(len(gate)) if gate["label"][n] == "positive"]
    lost, served = set(negatives[:30]), set(positives[:28])
    verdict = judge(answering(gate, lost), serving(gate, served), gate, required="forced", rules=RULES)
    assert not verdict.promote
    assert verdict.reason.startswith("worse beyond noise: classic new against bert old, macro-F1 -")


def test_stars_stop_no_promotion_when_the_balance_between_labels_shifts():
    """Errors move from the negative reviews to the positive ones, all of which have the same stars."""
    gate = gate_of(1000)
    negatives, positives = range(0, 1000, 2), range(1, 1000, 2)
    shifted = answering(gate, set(positives[:60]))
    verdict = judge(shifted, serving(gate, set(negatives[:60])), gate, required="the data changed", rules=RULES)
    assert verdict.promote, verdict.reason
    assert verdict.figures["slices"]["stars 5"]["high"] < -2


def test_one_of_many_slices_that_is_down_by_luck_stops_nothing():
    """Fifteen texts in a slice of 100 lost and two won: beyond noise alone, not as the worst of twenty slices."""
    gate = gate_of(2000)
    gate["app_id"] = [f"app.{n // 100:02}" for n in range(2000)]
    lost = set(range(15))
    challenger, live = answering(gate, lost), serving(gate, {50, 51, *range(700, 720)})
    assert judge(challenger, live, gate, required="forced", rules=RULES).promote
    alone = gate.assign(app_id=["app.00" if n < 100 else "app.01" for n in range(2000)])
    verdict = judge(challenger, live, alone, required="forced", rules=RULES)
    assert verdict.reason.startswith("slice 'app app.00' falls")


@pytest.mark.parametrize(("classic", "first"), [(52, "classic"), (54, "classic"), (56, "bert")])
def test_between_kinds_the_cheaper_one_wins_within_half_a_point_and_else_the_better(classic, first):
    gate = gate_of(800)
    two = [answering(gate, range(50), "bert", "b"), answering(gate, range(classic), "classic", "c")]
    verdict = decide(two, answering(gate, range(60), "champion", "old"), gate, required="the data changed", rules=RULES)
    assert (verdict.promote, verdict.candidate) == (True, first)
    if first == "classic":
        assert "; classic costs less than bert and is within 0.5 points of it, accuracy -0." in verdict.reason


@pytest.mark.parametrize(
    ("kind", "wrong", "promote"),
    [("classic", 84, True), ("classic", 86, False), ("bert", 75, True), ("bert", 77, False)],
)
def test_a_live_model_of_another_kind_gives_way_within_half_a_point_to_a_cheaper_one_alone(kind, wrong, promote):
    from dataclasses import replace

    gate = gate_of(800)
    live = replace(answering(gate, range(80), "champion", "old"), kind="classic" if kind == "bert" else "bert")
    candidate = replace(answering(gate, range(200, 200 + wrong), kind), kind=kind)
    assert decide([candidate], live, gate, required="the data changed", rules=RULES).promote == promote


def test_a_text_with_two_labels_counts_once_with_the_more_frequent_one():
    gate = gate_of(203)
    gate.loc[[200, 201, 202], "review_text"] = "bagus"
    gate.loc[[200, 201, 202], "label"] = ["negative", "positive", "positive"]
    verdict = judge(answering(gate, {200}), serving(gate, range(30)), gate, rules=RULES)
    assert verdict.figures["n"] == 201
    assert verdict.figures["candidate"]["gate"]["accuracy"] == 1.0


def test_a_gate_side_of_one_label_replaces_no_model_and_says_so():
    gate = gate_of(200).query("label == 'positive'").reset_index(drop=True)
    verdict = judge(answering(gate, set()), serving(gate, range(60)), gate, required="forced", rules=RULES)
    assert (verdict.promote, verdict.serves) == (False, "old")
    assert verdict.reason.startswith("all 100 gate reviews are positive: nothing shows whether classic new is better")


def test_one_wrong_answer_in_a_newest_window_of_one_label_is_no_fall_of_fifty_points():
    gate = gate_of(600, old=400)
    gate = gate[(gate["review_date"] < "2025-01-01") | (gate["label"] == "positive")].reset_index(drop=True)
    verdict = judge(answering(gate, {499}), serving(gate, range(150)), gate, rules=RULES)
    assert verdict.promote
    assert verdict.figures["newest_difference"]["points"] == pytest.approx(-1)


def test_the_serving_model_stays_where_no_review_is_on_the_gate_side():
    empty = gate_of(10).iloc[:0]
    verdict = decide([answering(empty, set())], serving(empty, set()), empty, required="forced", rules=RULES)
    assert (verdict.promote, verdict.serves, verdict.figures["n"]) == (False, "old", 0)
    assert "the gate side holds no reviews" in verdict.reason


def test_the_record_can_be_stored_and_holds_both_scores_interval_and_n():
    import json

    gate = gate_of(300, old=200)
    verdict = judge(answering(gate, range(20)), serving(gate, range(60)), gate, rules=RULES)
    figures = json.loads(json.dumps(verdict.figures))
    assert figures["candidate"]["gate"]["accuracy"] == pytest.approx(280 / 300, abs=1e-6)
    assert figures["champion"]["gate"]["accuracy"] == pytest.approx(240 / 300, abs=1e-6)
    assert figures["candidate"]["newest"]["n"] == 100
    assert figures["difference"]["low"] < figures["difference"]["points"] < figures["difference"]["high"]
    assert figures["n"] == figures["difference"]["n"] == 300


def test_without_gate_reviews_nothing_is_decided():
    empty = gate_of(10).iloc[:0]
    with pytest.raises(PermanentFailure, match="gate side holds no reviews"):
        decide([answering(empty, set())], None, empty)
    with pytest.raises(PermanentFailure, match="gate side holds no reviews"):
        judge(answering(empty, set()), None, empty)
    with pytest.raises(PermanentFailure, match="no model was trained"):
        decide([], None, gate_of(10))
