import pandas as pd
import pytest

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.reviews import Sides
from mlops_assets.reviews.stored.label import LABELS, add_labels, label_of
from mlops_assets.reviews.stored.split import Split, add_sides, gate_percent, gate_texts, places_of
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


TEXTS = pd.Series([f"ulasan nomor {number}" for number in range(8000)])


def test_the_same_text_never_stands_on_two_sides():
    variants = ["Bagus  sekali", "bagus sekali", " BAGUS\nSEKALI ", "bagus\u200b sekali"]
    assert len({Split.nested(12).side_of(text) for text in variants}) == 1
    assert places_of(pd.Series(variants)).nunique() == 1


@pytest.mark.parametrize(
    ("texts", "percent"), [(0, 30), (499, 30), (500, 30), (1000, 21), (4000, 11), (20_000, 5), (1_000_000, 5)]
)
def test_the_gate_side_has_a_smaller_share_of_more_texts(texts, percent):
    assert gate_percent(texts) == percent


def test_the_gate_side_holds_about_as_many_texts_or_more_as_data_grows():
    texts = range(100, 30_000, 50)
    held = [gate_percent(count) * count for count in texts]
    assert all(later >= 0.8 * max(held[: place + 1]) for place, later in enumerate(held))


@pytest.mark.parametrize("gate", [5, 11, 30])
def test_nested_sides_have_their_percents_of_distinct_texts(gate):
    split = Split.nested(gate)
    share = split.sides_of(TEXTS).value_counts() / len(TEXTS) * 100
    assert share.to_dict() == pytest.approx({"train": 85 - gate, "validation": 7.5, "gate": gate, "test": 7.5}, abs=1.2)
    assert split.percents == {"train": 85 - gate, "validation": 7.5, "gate": gate, "test": 7.5}


def test_a_smaller_gate_side_moves_texts_to_train_and_no_others():
    sides = {gate: Split.nested(gate).sides_of(TEXTS) for gate in range(5, 31)}
    for gate in range(5, 30):
        moved = sides[gate] != sides[gate + 1]
        assert moved.any()
        assert set(sides[gate + 1][moved]) == {"gate"}
        assert set(sides[gate][moved]) == {"train"}


def test_the_smallest_gate_side_is_the_one_of_fixed_percentages():
    """Models of older versions were trained with these: they are judged on none of the texts that they learned from."""
    percents = {"train": 80, "validation": 7.5, "gate": 5, "test": 7.5}
    fixed = Split.of(Sides.from_params(percents), 500)
    assert fixed.sides_of(TEXTS).tolist() == Split.nested(5).sides_of(TEXTS).tolist()


def test_a_share_that_was_used_is_never_exceeded():
    chosen = Sides.from_params({})
    assert Split.of(chosen, 500) == Split.nested(30)
    assert Split.of(chosen, 500, smallest_gate=9) == Split.nested(9)
    assert Split.of(chosen, 20_000, smallest_gate=9) == Split.nested(5)


@pytest.mark.parametrize(
    "split", [Split.nested(12), Split.explicit({"train": 70, "validation": 0.5, "gate": 9.5, "test": 20})]
)
def test_a_split_is_read_back_as_it_was_written(split):
    assert Split.parse(str(split)) == split
    assert str(Split.nested(12)) == "train 73, gate 80, validation 87.5, gate 92.5, test 100"


def test_sides_follow_from_the_number_of_distinct_texts():
    rows = frame(*(review(str(n), review_text=f"teks {n % 600}") for n in range(1200)))
    assert add_sides(rows)["side"].tolist() == Split.nested(gate_percent(600)).sides_of(rows["review_text"]).tolist()
    few = add_sides(rows, Split.nested(5))
    assert few["side"].tolist() == [Split.nested(5).side_of(text) for text in rows["review_text"]]


def test_models_are_judged_on_texts_that_none_of_them_learned_from():
    rows = add_sides(
        frame(*(review(str(n), review_text=text) for n, text in enumerate(TEXTS[:2000]))), Split.nested(20)
    )
    for known in (Split.nested(8), Split.explicit({"train": 40, "validation": 30, "gate": 15, "test": 15})):
        gate = gate_texts(rows, [Split.nested(20), known])
        learned = known.sides_of(rows["review_text"]).isin(["train", "validation"])
        assert gate["review_id"].tolist() == rows["review_id"][(rows["side"] == "gate") & ~learned].tolist()
        assert len(gate)
    assert len(gate_texts(rows, [Split.nested(25)])) == (rows["side"] == "gate").sum()


@pytest.mark.parametrize(
    "percents",
    [
        {"train": 80, "test": 20},
        {"train": 81, "validation": 7.5, "gate": 5, "test": 7.5},
        {"train": 92.5, "validation": 7.5, "gate": -7.5, "test": 7.5},
        {"train": 80, "validation": 7.5, "gate": "5", "test": 7.5},
    ],
)
def test_percents_that_make_no_whole_are_refused(percents):
    with pytest.raises(PermanentFailure, match="sides"):
        Sides.from_params(percents)
