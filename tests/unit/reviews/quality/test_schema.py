import pandas as pd
import pytest

from mlops_assets.reviews.quality.schema import validate
from mlops_assets.reviews.stored.columns import UnknownColumns
from tests.unit.reviews.rows import frame, review

BROKEN = {
    "text is missing": {"review_text": None},
    "text is empty": {"review_text": " \n\u200b\ufeff "},
    "text is longer than 10000 characters": {"review_text": "x" * 10_001},
    "rating is missing": {"rating": None},
    "rating is not 1 to 5": {"rating": 6},
    "thumbs_up is negative": {"thumbs_up": -1},
    "dated before 2008-10-22": {"review_date": "2008-10-21"},
    "dated after it was collected": {"review_date": "2026-02-02T00:00:01Z"},
}


@pytest.mark.parametrize(("reason", "values"), BROKEN.items())
def test_a_review_that_breaks_a_rule_is_quarantined_with_that_reason_alone(reason, values):
    result = validate(frame(review("good"), review("bad", **values)))
    assert result.good["review_id"].tolist() == ["good"]
    assert result.quarantined["review_id"].tolist() == ["bad"]
    assert result.quarantined["reasons"].tolist() == [reason]
    assert result.reasons == {reason: 1}


@pytest.mark.parametrize(
    "values",
    [
        {"rating": 1},
        {"rating": 5},
        {"review_text": "x" * 10_000},
        {"review_text": "👍🏻"},
        {"review_text": "na"},
        {"review_text": "\u200bx"},
        {"review_date": "2008-10-22"},
        {"review_date": "2026-02-02"},
        {"reply_date": "2020-01-01"},
        {"app_version": None},
    ],
)
def test_a_review_on_the_limit_is_usable(values):
    assert validate(frame(review("1", **values))).quarantined.empty


def test_every_reason_is_found_in_one_pass():
    result = validate(frame(review("1", rating=0, review_text=" "), review("2", rating=9), review("3")))
    reasons = dict(zip(result.quarantined["review_id"], result.quarantined["reasons"], strict=True))
    assert reasons == {"1": "text is empty; rating is not 1 to 5", "2": "rating is not 1 to 5"}
    assert result.reasons == {"rating is not 1 to 5": 2, "text is empty": 1}


def test_a_repeated_id_counts_once():
    rows = pd.concat([frame(review("1")), frame(review("1"))], ignore_index=True)
    result = validate(rows)
    assert (len(result.good), result.reasons) == (1, {"review_id is repeated": 1})


def test_deleted_reviews_leave():
    result = validate(frame(review("1", deleted_at="2026-01-20"), review("2")))
    assert result.good["review_id"].tolist() == ["2"]
    assert result.quarantined.empty
    assert result.deleted == 1


def test_no_reviews_are_valid():
    assert validate(frame(review("1")).head(0)).good.empty


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda rows: rows.drop(columns="rating"), "rating"),
        (lambda rows: rows.assign(rating=rows["rating"].astype("float64")), "rating"),
        (lambda rows: rows.assign(label="x"), "label"),
    ],
)
def test_a_frame_of_another_form_is_refused(change, named):
    with pytest.raises(UnknownColumns, match=named):
        validate(change(frame(review("1"))))


@pytest.mark.parametrize(("ids", "repeats"), [
    (["aaaa-1", "aaaa-2", "aaaa-3"], 0),
    (["aaaa-1", "aaaa-2", "aaaa-1"], 1),
    (["a", "bb", "a"], 1),
    (["a", "a\x00", "b"], 0),
    (["0123456789", "0123456788", "0123456789"], 1),
])  # fmt: skip
def test_repeats_are_found_among_ids_of_one_width_and_of_several(ids, repeats):
    assert len(validate(frame(*(review(one) for one in ids))).quarantined) == repeats
