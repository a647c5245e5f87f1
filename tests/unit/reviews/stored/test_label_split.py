import pytest

from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.stored.label import LABELS, add_labels, label_of
from mlops_assets.reviews.stored.split import PERCENTS, SIDES, add_sides, side_of
from tests.unit.reviews.rows import frame, review


@pytest.mark.parametrize(
    ("rule", "labels"),
    [
        ("binary", ["negative", "negative", None, "positive", "positive"]),
        ("ternary", ["negative", "negative", "neutral", "positive", "positive"]),
    ],
)
def test_stars_have_the_label_of_their_rule(rule, labels):
    assert [label_of(stars, rule) for stars in range(1, 6)] == labels
    rows = frame(*(review(str(stars), rating=stars) for stars in range(1, 6)), review("6", rating=None))
    assert add_labels(rows, rule)["label"].tolist() == [label for label in labels if label]
    assert set(LABELS[rule]) == {label for label in labels if label}


@pytest.mark.parametrize("stars", [0, 6, -1])
def test_stars_outside_one_to_five_have_no_label(stars):
    with pytest.raises(ValueError, match="1 to 5"):
        label_of(stars, "binary")


def test_the_same_text_never_stands_on_two_sides():
    variants = ["Bagus  sekali", "bagus sekali", " BAGUS\nSEKALI ", "bagus\u200b sekali"]
    assert len({side_of(text) for text in variants}) == 1


def test_sides_have_their_percent_of_distinct_texts():
    texts = [f"ulasan nomor {number}" for number in range(8000)]
    sides = [side_of(text) for text in texts]
    for side in SIDES:
        assert sides.count(side) / len(texts) * 100 == pytest.approx(PERCENTS[side], abs=1.2)


def test_a_review_keeps_its_side_as_data_grows():
    few = frame(*(review(str(n), review_text=f"teks {n}") for n in range(50)))
    many = frame(*(review(str(n), review_text=f"teks {n}") for n in range(500)))
    before = add_sides(few).set_index("review_id")["side"]
    after = add_sides(many).set_index("review_id")["side"]
    assert after.loc[before.index].equals(before)
    assert before.loc["7"] == side_of("teks 7")


@pytest.mark.parametrize(
    "percents",
    [
        {"train": 80, "test": 20},
        {**PERCENTS, "train": 81},
        {**PERCENTS, "train": 92.5, "gate": -7.5},
        {**PERCENTS, "gate": "5"},
    ],
)
def test_percents_that_make_no_whole_are_refused(percents):
    with pytest.raises(PermanentFailure, match="sides"):
        add_sides(frame(review("1")), percents)
