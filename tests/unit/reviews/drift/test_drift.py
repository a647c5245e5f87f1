from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.reviews import DriftOptions
from mlops_assets.reviews.drift import drift
from mlops_assets.reviews.drift import plots as drift_plots
from mlops_assets.reviews.drift import tests as statistics
from mlops_assets.reviews.drift.drift import DriftPoint, DriftReport, compare, measure, sustained
from mlops_assets.reviews.drift.features import Features
from mlops_assets.reviews.drift.history import read_history, remember
from mlops_assets.reviews.drift.profile import Profile
from mlops_assets.reviews.sources import sample
from tests.unit.reviews.rows import frame, review

OPTIONS = DriftOptions()


@pytest.fixture(scope="module")
def reviews():
    return pd.concat([sample.generate(f"20{year}-{month:02d}") for year in (26, 27) for month in range(1, 13)])


@pytest.fixture(scope="module")
def pool(reviews):
    return Features.of(reviews)


@pytest.fixture(scope="module")
def old(reviews):
    return reviews.iloc[:3000]


@pytest.fixture(scope="module")
def profile(old):
    return Profile.of(old)


@pytest.fixture(scope="module")
def new(reviews):
    return reviews.iloc[3000:3500].reset_index(drop=True)


def drifted(report) -> set[str]:
    return {feature.name for feature in report.features if feature.drifted}


def test_reviews_of_the_same_kind_do_not_drift(profile, new):
    report = measure(profile, new, "binary", OPTIONS)
    assert not report.drifted
    assert "none of 6 features differs" in report.reason
    assert [feature.name for feature in report.features] == [
        *("rating", "label", "length", "language", "vocabulary", "content")
    ]


def test_worse_stars_drift_in_rating_and_label(profile, new):
    worse = new.assign(rating=new["rating"].where(new.index % 5 != 0, 1))
    report = measure(profile, worse, "binary", OPTIONS)
    assert drifted(report) == {"rating", "label"}
    assert "label: " in report.reason


def test_longer_texts_drift_in_length(profile, new):
    # The words of each review once more: nothing new is said.
    longer = new.assign(review_text=new["review_text"] + " " + new["review_text"])
    assert "length" in drifted(measure(profile, longer, "binary", OPTIONS))


def test_another_language_drifts_in_language_vocabulary_and_content(profile, new):
    foreign = new["review_text"].where(new.index % 5 != 0, "muy buena aplicacion para todos los dias")
    report = measure(profile, new.assign(review_text=foreign), "binary", OPTIONS)
    assert {"language", "vocabulary", "content"} <= drifted(report)


def test_a_new_topic_drifts_in_content_and_is_named_with_examples(profile, new):
    topic = new["review_text"].where(new.index % 4 != 0, new["review_text"] + " fitur paylater")
    report = measure(profile, new.assign(review_text=topic), "binary", OPTIONS)
    assert {"vocabulary", "content"} <= drifted(report)
    named = {row["ngram"]: row for row in report.ngrams}
    assert named["paylater"]["percent_before"] == 0
    assert named["paylater"]["percent_now"] == pytest.approx(25, abs=1)
    assert all("paylater" in example for example in report.examples)


def test_a_sure_but_small_difference_is_below_the_floor():
    before = np.array([5_000, 45_000])
    now = np.array([6_000, 44_000])
    assert statistics.mix_p(before, now) < 1e-9
    assert statistics.mix_distance(before, now) < OPTIONS.floor_mix


def test_an_app_in_spanish_drifts_when_texts_in_french_come(old, new):
    spanish = "muy buena aplicacion para todos los dias"
    french = "très bonne application, je la recommande pour tous les amis"
    profile = Profile.of(old.assign(review_text=spanish))
    steady = measure(profile, new.assign(review_text=spanish), "binary", OPTIONS)
    assert "language" not in drifted(steady)
    mixed = new.assign(review_text=[spanish if n % 5 else french for n in range(len(new))])
    assert "language" in drifted(measure(profile, mixed, "binary", OPTIONS))


def test_a_profile_that_an_older_version_wrote_is_compared_like_any_other(profile, new, tmp_path):
    """It holds counts of languages by other categories beside its texts."""
    profile.save(tmp_path / "drift.npz")
    with np.load(tmp_path / "drift.npz") as stored:
        np.savez(tmp_path / "older.npz", languages=np.array([9, 9, 9, 9]), **stored)
    report = measure(Profile.load(tmp_path / "older.npz"), new, "binary", OPTIONS)
    assert report == measure(profile, new, "binary", OPTIONS)


def test_too_few_new_reviews_are_not_judged(profile, new):
    report = measure(profile, new.head(49), "binary", OPTIONS)
    assert not report.drifted
    assert report.reason == "not judged: 49 new reviews, 50 are needed"
    assert measure(profile, new.head(50), "binary", OPTIONS).features


def test_reviews_without_a_needed_column_are_not_judged(profile, new):
    assert measure(profile, new.drop(columns="rating"), "binary", OPTIONS).reason == "not judged: no column rating"


def test_a_profile_is_the_same_after_saving_and_holds_no_code(profile, new, tmp_path):
    profile.save(tmp_path / "drift.npz")
    profile.save(tmp_path / "again.npz")
    assert (tmp_path / "drift.npz").stat().st_size < 1_000_000
    loaded = Profile.load(tmp_path / "drift.npz")
    assert measure(loaded, new, "ternary", OPTIONS) == measure(profile, new, "ternary", OPTIONS)


def test_a_damaged_profile_is_refused(tmp_path):
    (tmp_path / "drift.npz").write_bytes(b"nothing")
    with pytest.raises(PermanentFailure, match="is no drift profile"):
        Profile.load(tmp_path / "drift.npz")
    with pytest.raises(PermanentFailure, match="is no drift profile"):
        Profile.load(tmp_path / "none.npz")


def test_a_profile_needs_a_review():
    with pytest.raises(PermanentFailure, match="at least one review"):
        Profile.of(frame(review("1")).head(0))


def test_ratings_are_counted_over_all_reviews_and_texts_over_a_sample(reviews):
    profile = Profile.of(reviews, sample=500)
    assert profile.reviews == len(reviews)
    assert profile.ratings.sum() == len(reviews)
    assert len(profile.texts) == 500


def test_the_newest_reviews_are_compared(reviews):
    newest = drift.recent(reviews.sample(frac=1, random_state=0), DriftOptions(recent_reviews=100))
    assert len(newest) == 100
    assert newest["review_date"].min() >= reviews["review_date"].sort_values().iloc[-100]


def test_pictures_are_small(profile, new):
    report = measure(profile, new, "binary", OPTIONS)
    empty = measure(profile, new.head(1), "binary", OPTIONS)
    for one in (report, empty):
        pictures = [drift_plots.plot_features(one), drift_plots.plot_mixes(one)]
        assert all(picture.startswith(b"\x89PNG") for picture in pictures)
        assert sum(map(len, pictures)) < 200_000


class TestCalibration:
    """Few draws of what is cheap; the whole alarm over 400 draws is in test_drift_calibration.py."""

    def test_a_mix_p_value_is_below_five_percent_about_that_often(self):
        rng = np.random.default_rng(0)
        mix = [0.15, 0.05, 0.06, 0.11, 0.63]
        for n in (50, 500, 5000):
            draws = [statistics.mix_p(rng.multinomial(5000, mix), rng.multinomial(n, mix)) for _ in range(600)]
            assert 0.025 < np.mean(np.array(draws) < 0.05) < 0.08

    def test_a_rank_p_value_is_below_five_percent_about_that_often(self):
        rng = np.random.default_rng(0)

        def unknown(n: int) -> np.ndarray:
            return rng.binomial(8, 0.1, n) / 8

        for n in (50, 500):
            draws = [statistics.higher_p(unknown(2500), unknown(n)) for _ in range(300)]
            assert 0.02 < np.mean(np.array(draws) < 0.05) < 0.09

    def test_content_of_the_same_kind_has_an_auc_of_one_half(self, pool):
        rng = np.random.default_rng(0)
        reports = [
            compare(Profile.of_features(draw(pool, rng, 1000)), draw(pool, rng, 200), "binary", OPTIONS, explain=False)
            for _ in range(10)
        ]
        assert np.mean([report.features[-1].effect for report in reports]) == pytest.approx(0.5, abs=0.02)
        assert sum(report.drifted for report in reports) <= 2

    @pytest.mark.parametrize(("share", "shift"), [(0.5, 0.1), (0.5, -0.1), (0.8, -0.1), (0.8, 0.1)])
    def test_ten_points_of_label_shift_are_caught_by_the_mix_alone(self, share, shift):
        rng = np.random.default_rng(0)
        caught = 0
        for _ in range(400):
            before, now = rng.binomial(5000, share), rng.binomial(500, share + shift)
            pair = np.array([before, 5000 - before]), np.array([now, 500 - now])
            sure = statistics.mix_p(*pair) * 6 <= OPTIONS.alpha
            caught += sure and statistics.mix_distance(*pair) >= OPTIONS.floor_mix
        assert caught >= 0.9 * 400


def draw(pool: Features, rng: np.random.Generator, count: int) -> Features:
    return pool.take(rng.integers(0, len(pool), count))


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        ([0.01], [0.01]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm_corrects_all_features_together(p_values, corrected):
    assert statistics.holm(p_values) == pytest.approx(corrected)


@pytest.mark.parametrize(
    ("before", "now"),
    [([0, 0], [0, 0]), ([10, 0], [10, 0]), ([100, 100], [1, 2]), ([0, 0], [10, 10])],
)
def test_mixes_that_cannot_be_compared_say_nothing(before, now):
    assert statistics.mix_p(np.array(before), np.array(now)) == 1.0


def test_features_of_chosen_rows_are_the_chosen_rows(pool, reviews):
    rows = np.array([5, 5, 0, 17])
    taken, direct = pool.take(rows), Features.of(reviews.iloc[rows])
    for name in ("ratings", "lengths", "texts", "grams", "gram_starts", "words", "word_starts"):
        assert getattr(taken, name).tolist() == getattr(direct, name).tolist()


START = datetime(2026, 1, 1, tzinfo=UTC)


def history(*ticks: str, models: str | None = None) -> list[DriftPoint]:
    """One tick per string: the features that drifted, by their first letters; empty is calm."""
    names = {"l": "label", "r": "rating", "c": "content"}
    return [
        DriftPoint(
            at=START + timedelta(hours=6 * number),
            model_version=models[number] if models else "m",
            drifted=bool(letters),
            features=tuple(names[letter] for letter in letters),
        )
        for number, letters in enumerate(ticks)
    ]


@pytest.mark.parametrize(
    ("points", "lasted", "reason"),
    [
        (history(), False, "no verdict yet"),
        (history("l", "l"), False, "2 of 3 ticks in a row"),
        (history("l", "l", "l"), True, "label drifted in 3 ticks in a row since 2026-01-01 00:00 UTC"),
        (history("l", "l", "l", ""), False, "0 of 3"),
        (history("l", "", "l", "l"), False, "2 of 3"),
        (history("lr", "rl", "l"), True, "label drifted in 3"),
        (history("r", "l", "c"), False, "1 of 3"),
        (history("l", "l", "l", models="aab"), False, "1 of 3"),
        (history("c", "l", "l", "l", "l"), True, "label drifted in 4 ticks in a row since 2026-01-01 06:00 UTC"),
    ],
)
def test_drift_has_lasted_where_the_newest_ticks_agree(points, lasted, reason):
    verdict = sustained(points, 3)
    assert verdict.sustained == lasted
    assert reason in verdict.reason


def answers(*ticks: str, models: str | None = None) -> list[DriftPoint]:
    return [replace(point, of="predictions") for point in history(*ticks, models=models)]


def in_turn(*rows: list[DriftPoint]) -> list[DriftPoint]:
    return [point for tick in zip(*rows, strict=True) for point in tick]


@pytest.mark.parametrize(
    ("points", "lasted", "reason"),
    [
        (in_turn(history("", "", ""), answers("c", "c", "c")), True, "content of the predictions drifted in 3 ticks"),
        (in_turn(history("l", "l", "l"), answers("", "", "")), True, "label drifted in 3 ticks"),
        (in_turn(history("l", "l", ""), answers("", "c", "c")), False, "2 of 3"),
        (in_turn(history("l", "", ""), answers("", "l", "l")), False, "2 of 3"),
        ([*answers("c", "c", "c"), *history("", models="b")], False, "0 of 3"),
    ],
)
def test_answers_that_drifted_count_apart_from_reviews_and_either_is_enough(points, lasted, reason):
    verdict = sustained(points, 3)
    assert verdict.sustained == lasted
    assert reason in verdict.reason


def test_the_history_keeps_verdicts_about_both_and_reads_lines_that_name_neither(tmp_path):
    old = '{"at": "2026-01-01T00:00:00+00:00", "model_version": "m", "drifted": true, "features": ["label"]}\n'
    (tmp_path / "drift.jsonl").write_text(old)
    report = DriftReport(drifted=False, reason="", reviews_before=9, reviews_now=9)
    said = remember(tmp_path, START, "m", report, "predictions", 1)
    assert said == "label drifted in 1 ticks in a row since 2026-01-01 00:00 UTC"
    assert [(point.of, point.drifted) for point in read_history(tmp_path)] == [
        ("reviews", True),
        ("predictions", False),
    ]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"floor": 0.1}, "drift.floor is no parameter"),
        ({"alpha": 0.5}, "drift.alpha must be a number above 0 and at most 0.2"),
        ({"recent_reviews": 0}, "whole number from 1"),
        ({"floor_auc": 1}, "0 to below 1"),
        ({"alpha": "x"}, "must be a number"),
    ],
)
def test_parameters_out_of_range_are_refused(section, message):
    with pytest.raises(PermanentFailure, match=message):
        DriftOptions.from_params(section)
