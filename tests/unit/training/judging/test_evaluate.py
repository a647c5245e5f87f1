import json

import numpy as np
import pandas as pd
import pytest

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.models import Evaluation
from mlops_assets.training.judging import evaluate
from tests.unit.training.invented import invented

NAMES = ("negative", "positive")


def answers(frame: pd.DataFrame, right: float, seed: int = 0) -> np.ndarray:
    """Probabilities (n, 2) of a model that is right on this share of the rows."""
    rng = np.random.default_rng(seed)
    truth = evaluate.indices(frame["label"], NAMES)
    answered = np.where(rng.random(len(frame)) < right, truth, 1 - truth)
    probabilities = np.full((len(frame), 2), 0.2)
    probabilities[np.arange(len(frame)), answered] = 0.8
    return probabilities


def test_scores_are_scikit_learn_s_and_carry_size_and_interval():
    from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score

    frame = invented(500)
    given = answers(frame, 0.8)
    answered = [NAMES[index] for index in given.argmax(axis=1)]
    told = evaluate.scores(frame["label"], given, NAMES, texts=frame["review_text"].tolist())
    assert told["n"] == 500
    assert told["distinct_texts"] == frame["review_text"].nunique()
    assert told["accuracy"] == pytest.approx(accuracy_score(frame["label"], answered), abs=1e-6)
    assert told["macro_f1"] == pytest.approx(f1_score(frame["label"], answered, average="macro"), abs=1e-6)
    assert told["log_loss"] == pytest.approx(log_loss(frame["label"], given), abs=1e-6)
    per_class = told["per_class"]["positive"]
    assert per_class["n"] == (frame["label"] == "positive").sum()
    assert per_class["recall"] == pytest.approx(recall_score(frame["label"], answered, pos_label="positive"), abs=1e-6)
    assert per_class["precision"] == pytest.approx(
        precision_score(frame["label"], answered, pos_label="positive"), abs=1e-6
    )
    for part in (told, per_class):
        for name in [key.removesuffix("_interval") for key in part if key.endswith("_interval")]:
            low, high = part[f"{name}_interval"]
            assert low < part[name] < high


def test_an_empty_side_has_no_figures_but_its_size():
    assert evaluate.scores([], np.zeros((0, 2)), NAMES) == {"n": 0}


def test_too_few_texts_to_know_have_no_interval():
    frame = invented(evaluate.LEAST_TEXTS - 1)
    told = evaluate.scores(frame["label"], answers(frame, 1.0), NAMES)
    assert told["accuracy"] == 1
    assert told["accuracy_interval"] is None
    assert told["n"] == evaluate.LEAST_TEXTS - 1


def test_the_judgement_is_plain_json_and_holds_every_part():
    frame = invented(1500)
    held_out = frame[frame["side"] != "train"].reset_index(drop=True)
    told = evaluate.judged(held_out, answers(held_out, 0.8), NAMES, Evaluation(rounds=300))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    reviews = [(held_out["side"] == side).sum() for side in evaluate.HELD_OUT]
    held_out = held_out.iloc[evaluate.one_row_a_text(held_out)]
    assert [told[side]["n"] for side in evaluate.HELD_OUT] == [(held_out["side"] == s).sum() for s in evaluate.HELD_OUT]
    assert [told[side]["reviews"] for side in evaluate.HELD_OUT] == reviews
    assert np.sum(told["confusion_matrix"]["counts"]) == told["test"]["n"]
    assert np.trace(told["confusion_matrix"]["counts"]) / told["test"]["n"] == pytest.approx(
        told["test"]["accuracy"], abs=1e-6
    )
    late = held_out["review_date"] >= "2025-10-01"
    assert told["newest"]["n"] == (late & held_out["side"].isin(["gate", "test"])).sum()
    by_slice = {row["slice"]: row for row in told["slices"]}
    assert sum(row["n"] for name, row in by_slice.items() if name.startswith("stars ")) == told["test"]["n"]
    assert {"negation", "slang", "at most two words", "app app.one", "month 2025-12"} <= by_slice.keys()
    assert sum(row["n"] for row in told["reliability"]) == told["test"]["n"]


def test_a_frequent_text_counts_once_everywhere_and_as_often_as_written_beside_it():
    """Ninety reviews with one text, which the model has right, hide that half of the other ten texts are wrong."""
    frame = invented(100).assign(review_text=["sangat membantu"] * 90 + [f"teks {n}" for n in range(10)], side="test")
    frame["label"], frame["app_id"] = "positive", "app.one"
    frame.loc[[90], "label"] = "negative"
    given = np.tile([0.1, 0.9], (100, 1))
    given[95:] = [0.9, 0.1]
    told = evaluate.judged(frame, given, NAMES)
    test = told["test"]
    assert (test["n"], test["accuracy"]) == (11, pytest.approx(5 / 11, abs=1e-6))
    assert (test["reviews"], test["accuracy_by_frequency"]) == (100, 0.94)
    assert np.sum(told["confusion_matrix"]["counts"]) == sum(row["n"] for row in told["reliability"]) == 11
    assert {row["slice"]: row["n"] for row in told["slices"]}["app app.one"] == 11
    assert told["validation"] == {"n": 0}


def test_a_text_with_several_labels_counts_with_the_most_frequent_and_then_the_newest():
    frame = invented(5).assign(review_text="sama", label=["positive", "positive", "negative", "negative", "negative"])
    frame["review_date"] = pd.date_range("2025-01-01", periods=5, tz="UTC")
    assert evaluate.one_row_a_text(frame).tolist() == [4]
    assert evaluate.one_row_a_text(frame.iloc[:4]).tolist() == [3]


def test_slices_within_one_label_are_not_given_a_macro_f1():
    frame = invented(800)
    told = evaluate.judged(frame[frame["side"] != "train"], answers(frame[frame["side"] != "train"], 0.8), NAMES)
    assert all("macro_f1" not in row for row in told["slices"] if row["slice"].startswith("stars"))


def test_the_most_confident_mistakes_come_surest_first():
    frame = invented(50)
    given = answers(frame, 1.0)
    given[7] = 1 - given[7]
    truth = evaluate.indices(frame["label"], NAMES)
    given[9] = [0.01, 0.99] if truth[9] == 0 else [0.99, 0.01]
    table = evaluate.mistakes(frame, given, NAMES)
    assert table["review_id"].tolist() == ["r00009", "r00007"]
    assert table["confidence"].tolist() == [0.99, 0.8]
    assert (table["answered"] != table["label"]).all()
    assert evaluate.mistakes(frame, given, NAMES, most=1)["review_id"].tolist() == ["r00009"]


def test_the_forward_score_is_of_reviews_newer_than_the_model_s_newest():
    frame = invented(300)
    old = frame[frame["review_date"] < "2025-09-01"]
    metrics = {"data": evaluate.data_figures(old)}
    arrived = evaluate.arrived_since(frame, metrics)
    assert len(arrived) == len(frame) - len(old)
    assert evaluate.forward(arrived, answers(arrived, 0.9), NAMES)["n"] == len(arrived)
    assert evaluate.arrived_since(frame, {}).empty


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: f[f["label"] == "positive"], "the train side must hold reviews of at least two labels"),
        (lambda f: f[(f["label"] == "positive") | (f["side"] != "train")], "it holds positive and lacks negative"),
        (lambda f: f.iloc[:0], "it holds none"),
        (lambda f: f.assign(label="angry"), "label 'angry' is none of negative, neutral, positive"),
    ],
)
def test_a_frame_that_no_model_can_learn_from_is_refused_in_one_line(change, told):
    with pytest.raises(PermanentFailure) as refused:
        evaluate.label_names(change(invented(100)))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_labels_have_one_order_whatever_comes_first():
    frame = invented(300, labels=("positive", "neutral", "negative"))
    assert evaluate.label_names(frame) == ("negative", "neutral", "positive")
