"""Real reviews keep every claim; each violation, put into them, breaks its claim and no other."""

from collections.abc import Callable, Mapping

import pandas as pd
import pytest

from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.reviews.quality import claims, quality
from mlops_assets.reviews.quality.schema import validate
from tests.shared_data import real_reviews

OPTIONS = quality.ValidationOptions()


def judge(raw: pd.DataFrame) -> Mapping[str, claims.Claim]:
    """Every claim about a frame of raw reviews once it is validated."""
    result = validate(raw)
    return {
        **claims.judge(claims.ReviewFacts.of(result.good, "binary")),
        "quarantine_is_small": quality.quarantine_is_small(len(result.good), result.quarantined["reasons"], OPTIONS),
        "texts_are_varied": quality.texts_are_varied(result.good, OPTIONS),
        "languages_are_known": quality.languages_are_known(result.good, OPTIONS),
        "stars_match_texts": quality.stars_match_texts(result.good, OPTIONS),
    }


@pytest.fixture(scope="module")
def gojek():
    return read_reviews(real_reviews("gojek_reviews.csv")).frame


def part(rows: pd.DataFrame, share: float) -> pd.Series:
    return rows["review_id"].isin(rows.sample(frac=share, random_state=3)["review_id"])


def turned_stars(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(rating=rows["rating"].where(~part(rows, 0.4), 6 - rows["rating"]))


MUTATIONS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "reviews_are_not_empty": lambda rows: rows.head(0),
    "positive_share_is_normal": lambda rows: rows[(rows["rating"] < 3) | part(rows, 0.1)],
    "quarantine_is_small": lambda rows: rows.assign(rating=rows["rating"].where(~part(rows, 0.06), 0)),
    "texts_are_varied": lambda rows: rows.assign(
        review_text=rows["review_text"].where(
            ~part(rows, 0.12), "kode undangan AB12 dapat bonus saldo gratis sekarang!"
        )
    ),
    "languages_are_known": lambda rows: rows.assign(
        review_text=rows["review_text"].where(~part(rows, 0.15), rows["rating"].astype("str") + " очень хорошо")
    ),
    "stars_match_texts": turned_stars,
}


def test_real_reviews_keep_every_claim(gojek):
    assert {name: claim.reason for name, claim in judge(gojek).items() if not claim.passed} == {}


@pytest.mark.parametrize("broken", MUTATIONS)
def test_a_violation_breaks_its_claim_alone(gojek, broken):
    failed = {name for name, claim in judge(MUTATIONS[broken](gojek)).items() if not claim.passed}
    assert failed == {broken}
