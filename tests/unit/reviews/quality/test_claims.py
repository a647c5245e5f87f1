import pandas as pd
import pytest
import yaml

from mlops_assets.params.reviews import ValidationOptions
from mlops_assets.reviews.quality import claims
from mlops_assets.reviews.quality.claims import Claim, ReviewFacts
from tests.unit.reviews.rows import APP, frame, review


def rated(positive: int, negative: int, neutral: int = 0):
    stars = [5] * positive + [1] * negative + [3] * neutral
    return frame(*(review(str(number), rating=rating) for number, rating in enumerate(stars)))


def held(rows) -> dict[str, bool]:
    return {name: claim.passed for name, claim in claims.judge(ReviewFacts.of(rows, "binary")).items()}


def positive_share(rows: pd.DataFrame, options: ValidationOptions | None = None) -> Claim:
    return claims.positive_share_is_normal(ReviewFacts.of(rows, "binary"), options)


def of_app(app: str, positive: int, negative: int) -> pd.DataFrame:
    rows = rated(1, 1).iloc[[0] * positive + [1] * negative]
    return rows.assign(app_id=app)


def pasted(reason: str) -> ValidationOptions:
    """The options that a person has who pastes the printed line into params.yaml."""
    line = reason[reason.index("validation: ") :]
    assert "\n" not in line
    return ValidationOptions.from_params(yaml.safe_load(line)["validation"])


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
    claim = positive_share(of_app(APP, positive, negative))
    assert (claim.passed, claim.warning) == (passed, warning)
    assert claim.numbers["labelled"] == positive + negative
    assert f"{positive / (positive + negative):.1%}" in claim.reason


@pytest.mark.parametrize(
    ("positive", "negative"),
    [(138, 862), (918, 82), (942, 58), (13800, 86200), (1000, 0), (0, 1000), (999, 1), (60, 0), (4, 46), (29, 71)],
)
def test_the_printed_line_lets_the_app_pass_with_room_and_still_stops_a_turned_feed(positive, negative):
    rows = of_app(APP, positive, negative)
    before = positive_share(rows)
    assert not before.passed or before.warning
    options = pasted(before.reason)
    after = positive_share(rows, options)
    assert after.passed
    assert after.warning is (positive + negative < claims.FEW_LABELLED)
    least, most = options.bounds_of(APP)
    share = positive / (positive + negative)
    assert least <= share - 0.08 or least <= 0.34 * share
    assert most >= share + 0.08 or 1 - most <= 0.34 * (1 - share)
    assert not positive_share(of_app(APP, 10 * negative, 10 * positive), options).passed


def test_each_app_is_judged_by_itself_and_the_broken_ones_are_named():
    apps = {
        "com.well.liked": (950, 50),
        "com.usual.app": (700, 300),
        "com.hated.app": (100, 900),
        "com.new.app": (3, 0),
    }
    rows = pd.concat([of_app(app, *counts) for app, counts in apps.items()], ignore_index=True)
    claim = positive_share(rows)
    assert not claim.passed
    assert "com.well.liked: 95.0% of 1000 labelled reviews" in claim.reason
    assert "com.hated.app: 10.0% of 1000 labelled reviews" in claim.reason
    assert "com.usual.app" not in claim.reason
    assert {row["app"]: row["outside"] for row in claim.rows} == {
        "com.well.liked": True, "com.usual.app": False, "com.hated.app": True, "com.new.app": True
    }  # fmt: skip
    options = pasted(claim.reason)
    assert set(options.positive_share) == {"com.well.liked", "com.hated.app", "com.new.app"}
    assert positive_share(rows, options).passed


def test_an_app_of_three_stars_alone_does_not_stop_the_others():
    rows = pd.concat([of_app("com.usual.app", 700, 300), rated(0, 0, neutral=5)], ignore_index=True)
    claim = positive_share(rows)
    assert (claim.passed, claim.warning) == (True, False)


def test_bounds_of_one_app_leave_the_others_as_they_are():
    options = ValidationOptions(positive_share={"com.well.liked": (0.8, 0.99)})
    assert positive_share(of_app("com.well.liked", 950, 50), options).passed
    assert not positive_share(of_app("com.well.liked", 700, 300), options).passed
    assert not positive_share(of_app("com.other.app", 950, 50), options).passed


def test_the_printed_line_keeps_what_the_section_already_says():
    written = ValidationOptions.from_params({"sample": 500, "positive_share": {"com.well.liked": [0.8, 0.99]}})
    claim = positive_share(of_app("com.hated.app", 100, 900), written)
    options = pasted(claim.reason)
    assert options.sample == 500
    assert options.positive_share == {"com.well.liked": (0.8, 0.99), "com.hated.app": (0.03, 0.2)}


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0)]
)
def test_the_interval_is_wilsons(hits, count, low, high):
    assert claims.wilson_interval(hits, count) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_nulls_are_named_with_their_reviews():
    facts = ReviewFacts.of(frame(review("a", rating=None), review("b")), "binary")
    claim = claims.required_values_are_present(facts)
    assert "1 nulls in rating" in claim.reason
    assert claim.rows == [{"review_id": "a"}]


def test_facts_of_months_together_are_those_of_all_their_reviews():
    rows = pd.concat([of_app("com.a", 3, 1), of_app("com.b", 1, 0).assign(rating=None), of_app("com.a", 0, 2)])
    parts = [rows[:2], rows[2:5], rows[5:], rows[:0]]
    assert ReviewFacts.together(ReviewFacts.of(part, "binary") for part in parts) == ReviewFacts.of(rows, "binary")
