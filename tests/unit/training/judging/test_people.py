"""The score by people: held-out texts alone, each once, from a hundred on."""

import numpy as np
import pandas as pd

from mlops_assets.params.models import Evaluation
from mlops_assets.training.due import score_by_people_due
from mlops_assets.training.judging.contender import Contender, in_order
from mlops_assets.training.judging.gate import judge
from mlops_assets.training.judging.people import agrees_with_people, score_by_people, texts_of_people
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


class Model:
    labels = NAMES

    def probabilities(self, texts):
        return np.tile([[0.1, 0.9]], (len(texts), 1))


def test_a_model_is_asked_about_the_labelled_texts_if_there_are_enough():
    texts = texts_of_people(frame(LEAST_LABELLED))
    agrees = agrees_with_people(texts, Model())
    assert agrees is not None
    assert agrees.mean() == 0.5
    assert agrees_with_people(texts.iloc[1:], Model()) is None


def gate(texts: int) -> pd.DataFrame:
    rows = frame(texts).iloc[:texts].assign(side="gate", rating=5, app_id="app")
    return rows.assign(review_date=pd.Timestamp("2026-11-01", tz="UTC"), app_version=None)


def contender(name: str, rows: pd.DataFrame, wrong: int, wrong_by_people: int, people: int = 200) -> Contender:
    """A model that answers so many gate texts wrong, and so many of the texts that people labelled."""
    truth = (rows["label"] == "positive").to_numpy(dtype=float)
    said = np.where(np.arange(len(rows)) < wrong, 1 - truth, truth) * 0.8 + 0.1
    return Contender(
        name,
        f"{name} version",
        NAMES,
        np.column_stack([1 - said, said]),
        kind=name,
        by_people=np.arange(people) >= wrong_by_people,
    )


def test_people_stop_a_model_that_reads_worse_than_the_one_that_serves():
    rows, rules = gate(300), Evaluation()
    serving, good, bad = (
        contender("classic", rows, 30, 20),
        contender("bert", rows, 20, 22),
        contender("bert", rows, 20, 60),
    )
    assert judge(good, serving, rows, required="the data changed", rules=rules).promote
    verdict = judge(bad, serving, rows, required="the data changed", rules=rules)
    assert not verdict.promote
    assert "worse by people's labels: bert" in verdict.reason
    assert "accuracy -20.0 points" in verdict.reason
    assert verdict.figures["people"]["bert"]["n"] == 200
    assert verdict.figures["people"]["bert"]["difference"]["points"] == -20


def test_between_kinds_people_count_beside_the_gate():
    rows, rules = gate(300), Evaluation()
    classic, bert = contender("classic", rows, 30, 40), contender("bert", rows, 32, 10)
    assert [each.name for each in in_order([classic, bert], rows, rules)] == ["bert", "classic"]
    unasked = [contender("classic", rows, 30, 0, people=0), contender("bert", rows, 32, 0, people=0)]
    assert in_order(unasked, rows, rules)[0].name == "classic"
