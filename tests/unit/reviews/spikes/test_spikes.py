"""A spike is told with what drives it; busy weeks, late reviews, and days that have not ended are no spikes."""

from datetime import date

import numpy as np
import pytest

from benchmarks import spikes as simulated
from mlops_assets.reviews.spikes.days import AppDays
from mlops_assets.reviews.spikes.spikes import JUDGED_DAYS, find_spikes, with_topic

WEEK = [3, 5, 4, 4, 3, 6, 5]


def app(negative: list[int], reviews: int = 100, **versions: tuple[list[int], list[int]]) -> AppDays:
    """An app's days up to 2026-06-30; `versions` have the reviews and negative reviews of their last days."""
    length = len(negative)
    first = date.fromordinal(date(2026, 6, 30).toordinal() - length + 1)

    def padded(numbers: list[int]) -> np.ndarray:
        return np.array([0] * (length - len(numbers)) + numbers)

    by_version = {name.replace("_", "."): (padded(some), padded(bad)) for name, (some, bad) in versions.items()}
    return AppDays("com.example.app", first, np.full(length, reviews), np.array(negative), by_version)


TODAY = date(2026, 7, 1)


def test_a_day_far_above_the_usual_ones_is_a_spike_with_the_version_that_drives_it() -> None:
    counts = app([*(WEEK * 10), 20], v4_2=([12] * 3, [1, 1, 15]), v4_1=([20] * 71, [3] * 70 + [4]))
    (spike,), _ = find_spikes(counts, TODAY)
    assert spike.title == ("com.example.app: 20 negative reviews on 2026-06-30, 3.5 are usual (version v4.2)")
    assert str(spike).endswith("(56 days before); version v4.2 has 15 of them (0.0 are usual)")
    assert spike.id == "spike:com.example.app:2026-06-30"


@pytest.mark.parametrize(
    "negative",
    [
        WEEK * 10,
        [number * (4 if day % 7 > 4 else 1) for day, number in enumerate(WEEK * 10)],
        [0] * 70 + [4],
        [40 + day // 4 for day in range(70)],
    ],
    ids=["usual", "busy weekends", "four reviews of a silent app", "a slow rise"],
)
def test_no_spike(negative: list[int]) -> None:
    assert find_spikes(app(negative), TODAY)[0] == []


def test_a_spike_of_the_past_does_not_hide_the_next_one() -> None:
    counts = app([*(WEEK * 7), 40, 45, 30, *(WEEK * 3), 16])
    assert [spike.until for spike in find_spikes(counts, TODAY)[0]] == [date(2026, 6, 30)]


def test_a_larger_spike_of_last_week_does_not_hide_todays() -> None:
    counts = app([*(WEEK * 9), 60, *WEEK, 16])
    assert [spike.began for spike in find_spikes(counts, TODAY)[0]] == [date(2026, 6, 22), date(2026, 6, 30)]


def test_a_spike_keeps_its_id_until_it_is_told_no_more() -> None:
    ids = set()
    for later in range(JUDGED_DAYS + 3):
        counts = app([*(WEEK * 10), 20, 25, 15, *WEEK, *WEEK, *WEEK][: 73 + later])
        moved = AppDays(counts.app, date(2026, 4, 20), counts.reviews, counts.negative, {})
        ids |= {spike.id for spike in find_spikes(moved, moved.day(len(moved.reviews)))[0]}
    assert len(ids) == 1


def test_a_day_that_becomes_a_spike_by_late_reviews_is_told() -> None:
    late = app([*(WEEK * 10), 3, *WEEK])
    assert not find_spikes(late, TODAY)[0]
    complete = app([*(WEEK * 10), 18, *WEEK])
    assert [spike.since for spike in find_spikes(complete, TODAY)[0]] == [date(2026, 6, 23)]


def test_days_without_any_review_are_no_past() -> None:
    """A feed that was away for a month makes the next month no spike."""
    counts = app([*(WEEK * 6), *([0] * 28), *WEEK])
    reviews = np.where(counts.negative > 0, 30, 0)
    back = AppDays(counts.app, counts.first, reviews, counts.negative, {})
    assert find_spikes(back, TODAY)[0] == []


def test_a_new_version_with_a_far_larger_share_is_a_spike_of_its_own() -> None:
    counts = app(WEEK * 10, reviews=30, v2=([6] * 4, [3, 4, 3, 4]), v1=([24] * 70, [3] * 70))
    (spike,), _ = find_spikes(counts, TODAY)
    assert spike.title == (
        "com.example.app: version v2: 14 of 24 negative reviews from 2026-06-27 to 2026-06-30, 3.4 are usual"
    )
    assert "the app's 1680 reviews of the 56 days before" in str(spike)


def test_an_old_version_that_was_always_hated_is_no_spike() -> None:
    counts = app(WEEK * 10, reviews=30, v1=([6] * 70, [3] * 70))
    assert find_spikes(counts, TODAY)[0] == []


def test_the_topic_that_rose_most_drives_a_spike_not_the_one_that_is_always_there() -> None:
    (spike,), _ = find_spikes(app([*(WEEK * 10), 20]), TODAY)
    now, before = ["login"] * 12 + ["ads"] * 5 + ["?"] * 3, ["ads"] * 200 + ["login"] * 20
    told = with_topic(spike, now, before, 56, lambda texts: [None if text == "?" else text for text in texts])
    assert told.title.endswith("(topic login)")
    assert str(told).endswith("topic login has 12 of them (0.4 are usual)")
    assert with_topic(spike, ["ads"] * 3 + ["?"] * 17, before, 56, lambda texts: texts[:3]).topic is None


def test_too_short_a_past_and_an_app_that_is_not_collected_are_not_judged() -> None:
    assert find_spikes(app(WEEK * 2), TODAY) == (
        [],
        "com.example.app: not judged, 14 days have ended, 15 are needed",
    )
    assert find_spikes(app([*(WEEK * 10), 40]), date(2026, 9, 1)) == (
        [],
        "com.example.app: not judged, the newest day that was collected whole is 2026-06-30",
    )


@pytest.mark.parametrize("variation", list(simulated.VARIATIONS.values()), ids=list(simulated.VARIATIONS))
def test_at_most_one_false_alarm_by_app_and_quarter(variation: tuple[float, float]) -> None:
    """Fixed draws; benchmarks.spikes makes more of them."""
    rates = [simulated.false_alarms(base, variation, quarters=3) for base in (2, 4, 16, 40)]
    assert np.mean(rates) <= 1


def test_a_tripled_rate_of_four_a_day_is_told_within_two_days() -> None:
    assert simulated.caught(4, 3, 2, draws=100) >= 0.8
    assert simulated.caught(4, 1, 2, draws=50) <= 0.1
