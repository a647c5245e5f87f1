"""The score by people: held-out texts alone, each once, from a hundred on."""

import numpy as np
import pandas as pd

from mlops_assets.training.due import score_by_people_due
from mlops_assets.training.judging.people import score_by_people, texts_of_people
from mlops_assets.training.metrics import LEAST_LABELLED, Metrics

NAMES = ("negative", "positive")


def frame(texts: int, side: str = "test") -> pd.DataFrame:
    """Twice each text; people say positive of every second one, and nothing of one more text."""
    labels = ["positive" if number % 2 else "negative" for number in range(texts)] * 2
    rows = pd.DataFrame({"review_text": [f"teks {number}" for number in range(texts)] * 2, "label": labels})
    rows["person"] = rows["label"]
    nobody = pd.DataFrame({"review_text": ["lain"], "label": ["positive"], "person": [None]})
    return pd.concat([rows, nobody], ignore_index=True).assign(side=side)


def test_each_held_out_text_counts_once_from_a_hundred_on():
    rows = frame(LEAST_LABELLED)
    answers = np.tile([[0.9, 0.1]], (len(rows), 1))
    score = score_by_people(rows, answers, NAMES)
    assert (score["n"], score["accuracy"]) == (LEAST_LABELLED, 0.5)
    assert score["accuracy_interval"][0] < 0.5 < score["accuracy_interval"][1]
    few = frame(LEAST_LABELLED - 1)
    assert score_by_people(few, answers[: len(few)], NAMES) == {"n": 0}


def test_texts_that_the_model_was_trained_on_do_not_count():
    assert texts_of_people(frame(LEAST_LABELLED, "train")).empty
    assert texts_of_people(frame(1).drop(columns="person")).empty


def test_a_model_is_scored_anew_when_labels_that_count_have_changed():
    unscored = Metrics.of({"people": {"n": 0, "labels": "old"}})
    scored = Metrics.of({"people": {"n": 100, "labels": "old"}})
    assert not score_by_people_due(unscored, 99, "new")
    assert score_by_people_due(unscored, 100, "new")
    assert not score_by_people_due(scored, 120, "old")
    assert score_by_people_due(scored, 99, "new"), "an erasure left too few: the score goes"
    assert not score_by_people_due(None, 120, "new")
    assert scored.with_score_by_people({"n": 120}).people.n == 120
