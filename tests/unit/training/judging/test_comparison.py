"""What clients will notice of a switch: counted by review, with examples that hold no text."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.serving.models.model import load
from mlops_assets.text import text_digest
from mlops_assets.training.judging.comparison import NEWEST, compare, newest_texts
from tests.fakes.tiny_model import seal_tiny_model


class Model:
    """Answers by a text's first letter; counts the texts that it is asked."""

    manifest: Any = None

    def __init__(self, labels: tuple[str, ...], **odds: Sequence[float]) -> None:
        self.labels, self._odds, self.asked = labels, odds, [0]

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.append(len(texts))
        return np.array([self._odds[text[0]] for text in texts])


BINARY = ("negative", "positive")


def test_each_review_counts_and_each_distinct_text_is_asked_once() -> None:
    old = Model(BINARY, a=(0.9, 0.1), b=(0.2, 0.8), c=(0.4, 0.6))
    new = Model(BINARY, a=(0.8, 0.2), b=(0.7, 0.3), c=(0.45, 0.55))
    found = compare(old, new, ["a1", "b1", "a1", "a1", "c1", "b2", "b1", "c1", "a2", "a2"])
    assert (found["n"], found["agreed"], found["share"]) == (10, 7, 0.7)
    assert found["low"] == pytest.approx(0.397, abs=1e-3)  # Wilson's interval for 7 of 10, from tables
    assert found["high"] == pytest.approx(0.892, abs=1e-3)
    assert found["changes"] == [
        {"from": "negative", "to": "negative", "n": 5},
        {"from": "positive", "to": "negative", "n": 3},
        {"from": "positive", "to": "positive", "n": 2},
    ]
    assert old.asked[1] == 5
    assert found["said"].startswith("70.0 % [39.7, 89.2] of the newest 10 reviews get the same answer, 3 another one; ")


def test_the_surest_changes_are_the_examples_and_no_text_is_kept() -> None:
    old = Model(BINARY, a=(0.9, 0.1), b=(0.6, 0.4), c=(0.99, 0.01))
    new = Model(BINARY, a=(0.2, 0.8), b=(0.1, 0.9), c=(0.9, 0.1))
    found = compare(old, new, ["b telepon saya", "a telepon kami", "c sama", "a telepon kami"])
    assert found["examples"] == [
        {"text": text_digest("a telepon kami"), "from": "negative", "to": "positive"},
        {"text": text_digest("b telepon saya"), "from": "negative", "to": "positive"},
    ]
    assert "telepon" not in json.dumps(found)


def test_labels_are_compared_by_name_where_the_label_rule_changed() -> None:
    old = Model(("negative", "neutral", "positive"), a=(0.1, 0.8, 0.1), b=(0.1, 0.1, 0.8))
    new = Model(("positive", "negative"), a=(0.1, 0.9), b=(0.9, 0.1))
    found = compare(old, new, ["a", "b"])
    assert found["changes"] == [
        {"from": "neutral", "to": "negative", "n": 1},
        {"from": "positive", "to": "positive", "n": 1},
    ]


def test_real_artifacts_are_loaded_and_timed_beside_each_other(tmp_path: Path) -> None:
    for name, intercept in (("old", 0.0), ("new", -5.0)):
        seal_tiny_model(tmp_path / name, intercept=intercept)
    found = compare(load(tmp_path / "old"), load(tmp_path / "new"), ["bagus", "sering error"])
    assert (found["n"], found["agreed"]) == (2, 1)
    for model in ("old", "new"):
        assert 0 < found["milliseconds"][model]["median"] <= found["milliseconds"][model]["slowest_tenth"]


def test_the_newest_reviews_with_a_text_are_taken() -> None:
    dates = pd.date_range("2020-01-01", periods=NEWEST + 2, freq="h", tz="UTC")
    texts = [f"teks {n}" for n in range(NEWEST + 1)] + [None]
    reviews = pd.DataFrame(
        {"review_text": texts, "review_date": dates, "app_id": "a", "review_id": [str(n) for n in range(len(texts))]}
    ).sample(frac=1, random_state=1)
    newest = newest_texts(reviews)
    assert (newest[0], newest[-1], len(newest)) == (f"teks {NEWEST}", "teks 1", NEWEST)
