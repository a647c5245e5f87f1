"""How often the checks of answers and of the positive share fire where nothing happened, and where something did.

Fixed draws of invented labels and answers; benchmarks.prediction_drift and benchmarks.sudden_change do it on real ones.
"""

import numpy as np
import pandas as pd
import pytest

from benchmarks import prediction_drift, sudden_change

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    """Answers to 1,600 held-out reviews: surer of praise than of blame, and 70 % praise."""
    rng = np.random.default_rng(0)
    positive = rng.random(1600) < 0.7
    return pd.DataFrame(
        {
            "review_id": [f"r{number}" for number in range(1600)],
            "review_date": pd.date_range("2026-01-01", periods=1600, freq="h", tz="UTC"),
            "app_id": "com.example.app",
            "side": "test",
            "sentiment": np.where(positive, "positive", "negative"),
            "confidence": 0.5 + rng.beta(np.where(positive, 5, 3), 2) / 2,
            "first_scored": np.where(np.arange(1600) < 800, prediction_drift.FIRST, prediction_drift.LATER),
        }
    )


@pytest.mark.parametrize("count", [50, 500])
def test_answers_to_reviews_of_the_same_kind_warn_in_at_most_seven_percent(answers, count):
    assert prediction_drift.share_warned(answers, count, 60) <= 0.07


@pytest.mark.parametrize("change", [prediction_drift.less_positive(0.2), prediction_drift.unsure])
def test_a_shift_by_twenty_points_and_a_model_grown_unsure_are_caught(answers, change):
    assert prediction_drift.share_warned(answers, 200, 30, change) >= 0.9


@pytest.fixture(scope="module")
def labels() -> pd.DataFrame:
    """Ninety days of twenty labels."""
    return pd.DataFrame({"positive": np.random.default_rng(0).random(1800) < 0.7, "day": np.arange(1800) // 20})


@pytest.mark.parametrize("sizes", [(100, 100), (500, 100), (2000, 500)])
def test_labels_of_the_same_kind_stop_a_version_in_at_most_one_percent(labels, sizes):
    assert sudden_change.share_stopped(labels, sizes, 300) <= 0.01


@pytest.mark.parametrize(("what", "least"), [("turned", 1.0), ("no negative", 1.0), ("+0.20", 0.9), ("-0.30", 0.98)])
def test_a_torn_or_turned_feed_is_stopped(labels, what, least):
    assert sudden_change.share_stopped(labels, (1000, 200), 100, spoil=sudden_change.SPOILT[what]) >= least


def test_an_app_whose_days_differ_is_stopped_far_less_often_than_labels_alone_would_say():
    """Sixty days, each of 100 labels with a share of its own; what arrives is one more such day."""
    rng = np.random.default_rng(1)
    of_day = np.clip(rng.normal(0.7, 0.1, 60), 0.05, 0.95)
    rows = pd.DataFrame({"positive": rng.random(6000) < np.repeat(of_day, 100), "day": np.repeat(np.arange(60), 100)})
    assert sudden_change.share_stopped(rows, (3000, 100), 200, sudden_change.whole_days) <= 0.03
    turned = sudden_change.SPOILT["turned"]
    assert sudden_change.share_stopped(rows, (3000, 100), 50, sudden_change.whole_days, turned) >= 0.9
