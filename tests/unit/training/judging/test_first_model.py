"""What a model must show before it goes live where no serving model has a say."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.models import ClassicRecipe, Evaluation
from mlops_assets.trained_on import TrainedOn
from mlops_assets.training.judging.cross_validation import DRAWN_TEXTS, cross_validated
from mlops_assets.training.judging.first_model import LEAST_TEXTS, SMALL_SIDE, FirstModel, HeldOut, shown, without_say
from mlops_assets.training.judging.gate import decide
from tests.unit.training.invented import invented
from tests.unit.training.judging.test_gate import NAMES, answering, gate_of, serving

RULES = Evaluation(rounds=500)
SMALL = ClassicRecipe(trees=5, max_leaf_nodes=10)
GENERATED = "was trained on generated reviews, not on those of com.real.app"
SAMPLE, REAL = TrainedOn(("sample.app",)), TrainedOn(("com.real.app",), ("file",))


def given(truth: list[int], answered: list[int], texts: list[int] | None = None) -> HeldOut:
    keys = np.array(texts or range(len(truth)))
    return HeldOut(NAMES, np.array(truth), np.array(answered), keys, "gate reviews")


def constant(gate: pd.DataFrame, name: str = "bert"):
    """A model that finds every review positive."""
    return answering(gate, {n for n, label in enumerate(gate["label"]) if label == "negative"}, name, name[0])


def apart(negatives: int, positives: int, wrong: int = 0) -> HeldOut:
    truth = [0] * negatives + [1] * positives
    answered = [1 - label if n < wrong else label for n, label in enumerate(truth)]
    return given(truth, answered, [1_000_000 + n for n in range(len(truth))])


@pytest.mark.parametrize("positives", [10, 30, 300])
def test_one_answer_for_all_never_passes_however_many_reviews_there_are(positives):
    truth = [0] * 10 + [1] * positives
    for answer in (0, 1):
        told = shown("bert", given(truth, [answer] * len(truth)), RULES)
        assert not told.passed
        assert "bert is no better than one answer for all" in told.reason


def test_answers_dealt_by_a_coin_do_not_pass_although_they_beat_one_answer_for_all():
    rng, passed, better = np.random.default_rng(0), 0, 0
    for _ in range(60):
        told = shown("bert", given([0, 1] * 100, rng.integers(0, 2, 200).tolist()), RULES)
        passed += told.passed
        better += told.macro_f1 > 1 / 3
    assert better == 60
    assert passed <= 5


@pytest.mark.parametrize(("texts", "passes"), [(LEAST_TEXTS, True), (LEAST_TEXTS - 1, False)])
def test_a_perfect_model_passes_from_the_least_number_of_distinct_texts_on(texts, passes):
    truth = [0] * 60 + [1] * 40
    keys = [n % texts for n in range(60)] + [1000 + n for n in range(40)]
    told = shown("classic", given(truth, truth, keys), RULES, reviews=200)
    assert told.passed is passes
    assert passes or "10 distinct texts of each label are needed, 100 gate reviews hold 9 of negative" in told.reason
    assert told.more_wanted == (None if passes else 23)


def test_a_perfect_model_on_four_gate_reviews_does_not_go_live_and_nothing_serves():
    gate = gate_of(4)
    verdict = decide([answering(gate, set())], None, gate, rules=RULES)
    assert (verdict.promote, verdict.serves) == (False, None)


def test_on_a_small_gate_side_the_cross_validated_classic_model_goes_live_and_bert_does_not():
    gate = gate_of(2 * SMALL_SIDE - 2)
    two = [answering(gate, set(), "bert", "b"), answering(gate, range(6), "classic", "c")]
    verdict = decide(two, None, gate, rules=RULES, first=FirstModel(cross_validated=apart(100, 200, wrong=30)))
    assert (verdict.promote, verdict.candidate) == (True, "classic")
    assert f"on {300 + len(gate)} reviews of train side (cross-validated) and gate side" in verdict.reason
    assert "bert does not go first on a small gate side: 30 distinct texts of each label are needed" in verdict.reason
    assert verdict.figures["shown"]["classic"]["n"] == 300 + len(gate)


def test_on_a_gate_side_that_is_large_enough_bert_may_go_first():
    gate = gate_of(2 * SMALL_SIDE)
    two = [answering(gate, range(3), "bert", "b"), answering(gate, range(12), "classic", "c")]
    assert decide(two, None, gate, rules=RULES).candidate == "bert"


def test_the_best_that_knows_its_texts_goes_first_not_the_best_that_does_not():
    gate = gate_of(200)
    gate = gate.drop(index=range(40, 200, 2)).reset_index(drop=True)
    gate = pd.concat([gate, gate_of(20).assign(label="negative", review_text=[f"lain {n}" for n in range(20)])])
    verdict = decide([constant(gate), answering(gate, range(5), "classic", "c")], None, gate, rules=RULES)
    assert (verdict.promote, verdict.candidate) == (True, "classic")
    assert "bert is no better than one answer for all" in verdict.reason


def test_a_model_of_generated_reviews_gives_way_although_the_gate_side_cannot_compare_them():
    gate = gate_of(20)
    first = FirstModel(no_say=GENERATED, cross_validated=apart(40, 80, wrong=10), reviews=180)
    sample = answering(gate, range(1), "champion", "old")
    verdict = decide([answering(gate, range(2))], sample, gate, required="the data changed", rules=RULES, first=first)
    assert verdict.promote
    assert verdict.reason.startswith(f"champion old {GENERATED}, so it has no say: first model: classic, macro-F1 0.9")
    assert verdict.figures["no_say"] == GENERATED
    assert verdict.figures["changes"]["classic"]["n"] == 20


def test_a_model_of_generated_reviews_serves_on_where_no_model_is_good_enough_and_says_how_many_are_wanted():
    gate = gate_of(4)
    first = FirstModel(no_say=GENERATED, cross_validated=apart(5, 30), reviews=50)
    verdict = decide([constant(gate), answering(gate, set())], serving(gate, {0}), gate, rules=RULES, first=first)
    assert (verdict.promote, verdict.serves) == (False, "old")
    assert "so it has no say: it serves all the same, for no new model may take its place: " in verdict.reason
    assert "39 reviews of train side (cross-validated) and gate side hold 7 of negative" in verdict.reason
    assert verdict.reason.endswith("about 22 more reviews are wanted")


def test_without_gate_reviews_cross_validation_alone_decides():
    empty = gate_of(10).iloc[:0]
    for champion in (None, serving(empty, set())):
        first = FirstModel(no_say=GENERATED if champion else None, cross_validated=apart(30, 60))
        verdict = decide([answering(empty, set())], champion, empty, rules=RULES, first=first)
        assert verdict.promote, verdict.reason
    with pytest.raises(PermanentFailure, match="gate side holds no reviews"):
        decide([answering(empty, set())], None, empty)


def test_another_source_of_the_same_app_lets_no_model_in_that_is_worse_beyond_noise():
    gate = gate_of(200)
    for wrong, promoted in ((range(60), False), (range(12), True)):
        first = FirstModel(no_say="was trained on reviews of another source", same_app=True)
        verdict = decide([answering(gate, wrong)], serving(gate, range(10)), gate, rules=RULES, first=first)
        assert verdict.promote is promoted, verdict.reason


def test_what_must_stay_stays():
    gate = gate_of(200)
    first = FirstModel(stays="it was trained on reviews of com.real.app, which no model of generated reviews replaces")
    verdict = decide([answering(gate, set())], serving(gate, range(90)), gate, rules=RULES, first=first)
    assert (verdict.promote, verdict.serves) == (False, "old")
    assert verdict.reason.startswith("bert old stays: it was trained on reviews of com.real.app")


@pytest.mark.parametrize(
    ("trained", "data", "told"),
    [
        (SAMPLE, REAL, "was trained on generated reviews"),
        (TrainedOn(("com.other.app",)), REAL, "was trained on reviews of com.other.app and on none of com.real.app"),
        (TrainedOn(("com.real.app",), ("play_store",)), REAL, "was trained on reviews of another source (play_store"),
        (TrainedOn(("com.real.app",), ("import", "play_store")), TrainedOn(REAL.apps, ("file", "import")), None),
        (REAL, TrainedOn(REAL.apps, ("import",)), None),
        (TrainedOn(REAL.apps, ("import",)), TrainedOn(REAL.apps, ("file", "play_store")), None),
        (TrainedOn(("com.other.app", "com.real.app")), REAL, None),
        (TrainedOn(("com.real.app",)), REAL, None),
        (TrainedOn(), REAL, None),
        (REAL, TrainedOn(("sample.app",), ("sample",)), None),
        (SAMPLE, TrainedOn(("sample.app",), ("sample",)), None),
    ],
)
def test_a_serving_model_has_no_say_where_it_knows_none_of_the_apps_or_another_source(trained, data, told):
    found = without_say(trained, data)
    assert found is None if told is None else found[0].startswith(told)


def test_cross_validation_answers_every_review_of_the_train_side_with_a_model_that_never_saw_its_text():
    frame = invented(300)
    frame["review_text"] = [f"{text} {n // 2}" for n, text in enumerate(frame["review_text"])]
    found = cross_validated(frame, NAMES, SMALL)
    assert found is not None
    train = frame[frame["side"] == "train"]
    assert len(found.truth) == len(train)
    assert (found.answered == found.truth).mean() > 0.8
    shuffled = frame.assign(label=np.random.default_rng(1).permutation(frame["label"].to_numpy()))
    unknown = cross_validated(shuffled, NAMES, SMALL)
    assert unknown is not None
    assert not shown("classic", unknown, RULES).passed


def test_reviews_that_repeat_a_text_are_asked_together_and_their_text_is_never_learnt():
    """Each text is a word of its own with a label of its own: only who has seen the text can know the label."""
    rows = [(f"kata{n:03}", NAMES[n % 2]) for n in range(60) for _ in range(4)]
    frame = pd.DataFrame(rows, columns=["review_text", "label"]).assign(side="train")
    found = cross_validated(frame, NAMES, ClassicRecipe(trees=5, char_shortest=7, char_longest=7))
    assert found is not None
    assert not shown("classic", found, RULES).passed


def test_a_forest_without_a_vote_is_not_grown_and_changes_no_answer():
    frame = invented(200)
    assert (frame["side"] == "validation").sum() < 50
    grown, single = (cross_validated(frame, NAMES, ClassicRecipe(trees=trees)) for trees in (30, 1))
    assert grown is not None
    assert single is not None
    assert (grown.answered == single.answered).all()


def test_a_label_with_one_text_cannot_be_cross_validated():
    frame = invented(60).assign(side="train")
    frame.loc[frame["label"] == "negative", "review_text"] = "jelek"
    assert cross_validated(frame, NAMES, SMALL) is None


def test_the_cost_of_cross_validation_does_not_grow_with_the_train_side_and_rare_labels_are_drawn():
    frame = invented(4500).assign(side="train")
    frame["review_text"] = [f"{text} {n}" for n, text in enumerate(frame["review_text"])]
    cheap = ClassicRecipe(trees=1, word_longest=1, char_shortest=2, char_longest=2, strengths=(1.0,))
    found = cross_validated(frame, NAMES, cheap)
    assert found is not None
    assert len(found.truth) == DRAWN_TEXTS
    rare = frame.assign(label=["negative" if n % 50 == 0 else "positive" for n in range(len(frame))])
    found = cross_validated(rare, NAMES, cheap)
    assert found is not None
    assert len(found.truth) == 3000
    assert found.rarest[1] > SMALL_SIDE
