import pytest

from mlops_assets.reviews import claims
from tests.unit.reviews.rows import frame, review


def rated(positive: int, negative: int, neutral: int = 0):
    stars = [5] * positive + [1] * negative + [3] * neutral
    return frame(*(review(str(number), rating=rating) for number, rating in enumerate(stars)))


def held(rows) -> dict[str, bool]:
    return {name: claim.passed for name, claim in claims.judge_all(rows, "binary").items()}


def test_good_reviews_keep_every_claim():
    assert set(held(rated(80, 40)).values()) == {True}


@pytest.mark.parametrize(
    ("broken", "rows"),
    [
        ("reviews_are_not_empty", rated(80, 40).head(0)),
        ("required_columns_exist", rated(80, 40).drop(columns="rating")),
        ("required_columns_exist", rated(80, 40).drop(columns="review_text")),
        ("required_values_are_present", rated(80, 40).assign(review_text=None)),
        ("required_values_are_present", frame(review("x", rating=None), *rated(80, 40).to_dict("records"))),
        ("positive_share_is_normal", rated(20, 180)),
        ("positive_share_is_normal", rated(200, 2)),
        ("positive_share_is_normal", rated(0, 0, neutral=5)),
    ],
)
def test_a_broken_rule_breaks_its_claim_alone(broken, rows):
    assert [name for name, passed in held(rows).items() if not passed] == [broken]


@pytest.mark.parametrize(
    ("positive", "negative", "passed", "warning"),
    [
        (30, 70, True, False),  # on the limit, enough reviews
        (90, 10, True, False),
        (29, 71, True, True),  # outside, but the interval reaches 30 %
        (20, 80, False, False),
        (50, 49, True, True),  # fewer than 100
        (50, 50, True, False),
        (10, 0, True, True),  # ten of ten may be chance
        (60, 0, False, False),  # sixty of sixty is none
        (9100, 900, False, False),
        (9040, 960, True, True),
    ],
)
def test_the_positive_share_is_judged_as_far_as_the_number_of_reviews_allows(positive, negative, passed, warning):
    claim = claims.positive_share_is_normal(rated(min(positive, 1), 0), "binary")
    rows = rated(1, 1).iloc[[0] * positive + [1] * negative]
    claim = claims.positive_share_is_normal(rows, "binary")
    assert (claim.passed, claim.warning) == (passed, warning)
    assert claim.numbers["labelled"] == positive + negative
    assert f"{positive / (positive + negative):.1%}" in claim.reason


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0)]
)
def test_the_interval_is_wilsons(hits, count, low, high):
    assert claims.wilson_interval(hits, count) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_nulls_are_named_with_their_reviews():
    claim = claims.required_values_are_present(frame(review("a", rating=None), review("b")))
    assert "1 nulls in rating" in claim.reason
    assert claim.rows == [{"review_id": "a"}]
