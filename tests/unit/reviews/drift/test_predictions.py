"""Drift of the answers shows."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mlops_assets.params.reviews import DriftOptions
from mlops_assets.reviews.drift.prediction_drift import measure_predictions
from tests.unit.reviews.predictions.scored import FIRST, LATER, FakeModel, answered, with_confidence


def reviews(texts: Sequence[str], start: str = "2026-01-01", name: str = "r") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "review_id": [f"{name}{number}" for number in range(len(texts))],
            "app_id": "sample.app",
            "review_date": pd.date_range(start, periods=len(texts), freq="h", tz="UTC"),
            "review_text": list(texts),
        }
    )


def texts(count: int, positive: float, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [f"{'bagus' if good else 'jelek'} {seed} {n}" for n, good in enumerate(random.random(count) < positive)]


def scored_later(positive: float, sure: float) -> pd.DataFrame:
    """3,000 reviews, 70 % of them praise, then 2,500 later ones that the same model meets."""
    noise = np.random.default_rng(6)

    class Varying(FakeModel):
        """A model's confidence varies."""

        def probabilities(self, texts: Sequence[str]) -> np.ndarray:
            rows = super().probabilities(texts)
            up = rows.argmax(axis=1)
            best = np.clip(rows.max(axis=1) + noise.normal(0, 0.05, len(rows)), 0.5, 1)
            return np.where(up[:, None] == [0, 1], best[:, None], 1 - best[:, None])

    old = reviews(texts(3000, 0.7, 1))
    first = answered(old, Varying(positive=0.9))
    new = reviews(texts(2500, positive, 2), "2026-07-01", "n")
    return with_confidence(answered(pd.concat([old, new]), Varying(positive=sure), first, LATER))


def drifted(frame: pd.DataFrame) -> set[str]:
    return {one.name for one in measure_predictions(frame, DriftOptions(recent_reviews=400)).features if one.drifted}


def test_a_change_in_the_answers_shows_as_what_it_is() -> None:
    assert drifted(scored_later(0.7, 0.9)) == set()
    assert drifted(scored_later(0.4, 0.9)) == {"predicted"}
    assert drifted(scored_later(0.7, 0.75)) == {"confidence"}


def test_the_first_run_of_a_model_judges_nothing_whatever_changed_within_its_data() -> None:
    first = reviews([*texts(2000, 0.9, 1), *texts(1000, 0.2, 2)])
    frame = with_confidence(answered(first, FakeModel()))
    report = measure_predictions(frame.assign(confidence=0.8), DriftOptions())
    assert not report.drifted
    told = (
        "not judged: 0 new reviews since the model first answered, of the same apps, 50 unseen in training are needed"
    )
    assert report.reason == told


def mixed_by_month(shares: Sequence[float], later: float) -> pd.DataFrame:
    """Months of 500 reviews with these shares of praise, and 1,500 that came after the model's first answers."""
    old = reviews([text for month, share in enumerate(shares) for text in texts(500, share, month)])
    first = answered(old, FakeModel())
    new = reviews(texts(1500, later, 99), "2027-07-01", "n")
    return with_confidence(answered(pd.concat([old, new]), FakeModel(), first, LATER))


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
    frame = with_confidence(answered(reviews(texts(60, 0.5, 1)), FakeModel()))
    report = measure_predictions(frame.assign(confidence=0.8), DriftOptions())
    assert not report.drifted
    assert report.reason.startswith("not judged: ")
