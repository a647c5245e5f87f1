"""Predictions of stored reviews: every review has one, equal texts are scored once, and drift of the answers shows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.params.reviews import DriftOptions
from mlops_assets.reviews.drift.prediction_drift import measure_predictions
from mlops_assets.reviews.stored import predictions
from mlops_assets.reviews.stored.erase import erase
from mlops_assets.reviews.stored.predictions import About, predict
from mlops_assets.reviews.stored.split import Split

LABELS = ("negative", "positive")
FIRST, LATER = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC)
ABOUT = About("m" * 12, "d" * 12, LABELS)
SPLIT = Split.nested(5)


class Model:
    """Sure of what it is told; remembers what it was asked."""

    def __init__(self, positive: float = 0.8) -> None:
        self.asked: list[str] = []
        self.positive = positive

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        share = np.array([self.positive if "bagus" in text else 1 - self.positive for text in texts])
        return np.stack([1 - share, share], axis=1)


def reviews(texts: Sequence[str], start: str = "2026-01-01", name: str = "r") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "review_id": [f"{name}{number}" for number in range(len(texts))],
            "app_id": "sample.app",
            "review_date": pd.date_range(start, periods=len(texts), freq="h", tz="UTC"),
            "review_text": list(texts),
        }
    )


def test_every_review_has_its_answer_and_each_distinct_text_is_scored_once() -> None:
    model = Model()
    frame, scored = predict(
        reviews(["bagus", "Bagus ", "jelek", "bagus"]), LABELS, model.probabilities, known=None, now=FIRST, split=SPLIT
    )
    assert (scored, model.asked) == (2, ["bagus", "jelek"])
    assert frame["sentiment"].tolist() == ["positive", "positive", "negative", "positive"]
    assert "review_text" not in frame
    assert set(frame["first_scored"]) == {FIRST}


def test_only_new_and_edited_reviews_are_scored_when_the_data_grows(tmp_path: Path) -> None:
    path, model = tmp_path / "predictions.parquet", Model()
    first, _ = predict(reviews(["bagus", "jelek"]), LABELS, model.probabilities, known=None, now=FIRST, split=SPLIT)
    predictions.write(first, ABOUT, path)
    assert About.read(path) == ABOUT
    model.asked.clear()
    grown = reviews(["bagus", "jelek sekali", "jelek"])
    frame, scored = predict(grown, LABELS, model.probabilities, known=predictions.read(path), now=LATER, split=SPLIT)
    assert (scored, model.asked) == (1, ["jelek sekali"])
    assert frame["first_scored"].tolist() == [FIRST, LATER, LATER]
    assert predictions.read(path)["confidence"].tolist() == pytest.approx([0.8, 0.8])


def test_a_file_that_is_absent_or_of_something_else_tells_nothing(tmp_path: Path) -> None:
    assert About.read(tmp_path / "none.parquet") is None
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    assert About.read(tmp_path / "other.parquet") is None


def test_an_erased_review_leaves_the_predictions(tmp_path: Path) -> None:
    path = tmp_path / "data" / "predictions.parquet"
    frame, _ = predict(reviews(["bagus", "jelek"]), LABELS, Model().probabilities, known=None, now=FIRST, split=SPLIT)
    predictions.write(frame, ABOUT, path)
    assert erase(tmp_path / "data", review="r1").rows == {"data/predictions.parquet": 1}
    assert predictions.read(path)["review_id"].tolist() == ["r0"]
    assert About.read(path) == ABOUT


def texts(count: int, positive: float, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [f"{'bagus' if good else 'jelek'} {seed} {n}" for n, good in enumerate(random.random(count) < positive)]


def scored_later(positive: float, sure: float) -> pd.DataFrame:
    """3,000 reviews, 70 % of them praise, then 2,500 later ones that the same model meets."""
    noise = np.random.default_rng(6)

    def answers(of: Model):  # a model's confidence varies
        def ask(asked: Sequence[str]) -> np.ndarray:
            rows = of.probabilities(asked)
            up = rows.argmax(axis=1)
            best = np.clip(rows.max(axis=1) + noise.normal(0, 0.05, len(rows)), 0.5, 1)
            return np.where(up[:, None] == [0, 1], best[:, None], 1 - best[:, None])

        return ask

    old = reviews(texts(3000, 0.7, 1))
    first, _ = predict(old, LABELS, answers(Model(0.9)), known=None, now=FIRST, split=SPLIT)
    new = reviews(texts(2500, positive, 2), "2026-07-01", "n")
    frame, _ = predict(pd.concat([old, new]), LABELS, answers(Model(sure)), known=first, now=LATER, split=SPLIT)
    return frame.assign(confidence=[max(row) for row in frame["probabilities"]])


def drifted(frame: pd.DataFrame) -> set[str]:
    return {one.name for one in measure_predictions(frame, DriftOptions(recent_reviews=400)).features if one.drifted}


def test_a_change_in_the_answers_shows_as_what_it_is() -> None:
    assert drifted(scored_later(0.7, 0.9)) == set()
    assert drifted(scored_later(0.4, 0.9)) == {"predicted"}
    assert drifted(scored_later(0.7, 0.75)) == {"confidence"}


def test_the_first_run_of_a_model_judges_nothing_whatever_changed_within_its_data() -> None:
    first = reviews([*texts(2000, 0.9, 1), *texts(1000, 0.2, 2)])
    frame, _ = predict(first, LABELS, Model().probabilities, known=None, now=FIRST, split=SPLIT)
    report = measure_predictions(frame.assign(confidence=0.8), DriftOptions())
    assert not report.drifted
    told = (
        "not judged: 0 new reviews since the model first answered, of the same apps, 50 unseen in training are needed"
    )
    assert report.reason == told


def mixed_by_month(shares: Sequence[float], later: float) -> pd.DataFrame:
    """Months of 500 reviews with these shares of praise, and 1,500 that came after the model's first answers."""
    old = reviews([text for month, share in enumerate(shares) for text in texts(500, share, month)])
    first, _ = predict(old, LABELS, Model().probabilities, known=None, now=FIRST, split=SPLIT)
    new = reviews(texts(1500, later, 99), "2027-07-01", "n")
    frame, _ = predict(pd.concat([old, new]), LABELS, Model().probabilities, known=first, now=LATER, split=SPLIT)
    return frame.assign(confidence=[max(row) for row in frame["probabilities"]])


def test_later_reviews_must_differ_by_more_than_the_models_own_did_from_month_to_month() -> None:
    assert drifted(mixed_by_month([0.7] * 8, 0.5)) == {"predicted"}
    assert drifted(mixed_by_month([0.7] * 8, 0.58)) == {"predicted"}
    assert drifted(mixed_by_month([0.9, 0.5] * 4, 0.58)) == set()


def test_a_shift_by_twenty_points_shows_even_where_months_differed_as_much() -> None:
    assert drifted(mixed_by_month([0.9, 0.5] * 4, 0.5)) == {"predicted"}


def test_reviews_that_the_model_was_fitted_on_play_no_part() -> None:
    frame = scored_later(0.7, 0.9)
    fitted = frame["side"] == "train"
    report = measure_predictions(frame.assign(confidence=frame["confidence"].where(~fitted, 1.0)), DriftOptions())
    assert not report.drifted
    assert report.reviews_before == int((~fitted & (frame["first_scored"] == FIRST)).sum())


def test_another_apps_reviews_are_no_drift_of_the_first_apps_answers() -> None:
    """A second app comes to a model that goes on serving: people think otherwise of it, and nothing changed."""
    frame = scored_later(0.4, 0.9)
    frame.loc[frame["first_scored"] == LATER, "app_id"] = "com.example.second"
    report = measure_predictions(frame, DriftOptions(recent_reviews=400))
    assert not report.drifted
    assert report.reason.startswith("not judged: 0 new reviews since the model first answered")
    some = (frame["first_scored"] == LATER) & (np.arange(len(frame)) % 2 == 0)
    frame.loc[some, "app_id"] = frame["app_id"].iloc[0]
    assert drifted(frame) == {"predicted"}


def test_a_handful_of_reviews_is_not_judged() -> None:
    frame, _ = predict(reviews(texts(60, 0.5, 1)), LABELS, Model().probabilities, known=None, now=FIRST, split=SPLIT)
    report = measure_predictions(frame.assign(confidence=0.8), DriftOptions())
    assert not report.drifted
    assert report.reason.startswith("not judged: ")
