"""The whole alarm over 400 draws: enough to tell 5 % from 9 %."""

import pytest

from benchmarks import drift as bench

pytestmark = pytest.mark.long

DRAWS = 400


@pytest.fixture(scope="module")
def pool():
    return bench.pool_of(None)


@pytest.mark.parametrize("count", [50, 500, 5_000])
def test_the_alarm_fires_in_at_most_seven_percent_where_nothing_drifted(pool, count):
    assert bench.false_alarms(pool, count, DRAWS) <= 0.07


@pytest.mark.parametrize(("share", "points"), [(0.8, -0.1), (0.5, 0.1)])
def test_ten_points_of_label_shift_are_caught_in_nine_of_ten(pool, share, points):
    assert bench.caught_shifts(pool, 500, DRAWS, share, points) >= 0.9
