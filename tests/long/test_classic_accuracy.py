"""The classic model on real reviews against the recipe it replaced."""

import pytest

from benchmarks import classic
from tests.shared_data import real_reviews

pytestmark = pytest.mark.long


def test_it_beats_the_replaced_recipe_by_repeated_cross_validation():
    figures = classic.cross_validation(real_reviews("pintu_reviews.csv"), repeats=2)
    for score in ("accuracy", "macro_f1"):
        low, high = figures["ours_less_replaced"][score]["interval"]
        assert 0 < low < high


def test_five_thousand_reviews_are_fitted_with_ten_seconds_of_two_cores():
    assert classic.fit_seconds(real_reviews("pintu_reviews.csv"))["cpu_seconds"] < 20
