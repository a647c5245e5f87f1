"""A budget of reviews: never more than asked, no text twice while others wait, all in sight, newest first."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from mlops_assets.params.models import ClassicRecipe, Evaluation
from mlops_assets.training import budget, left_out
from mlops_assets.training.judging import evaluate
from mlops_assets.training.references import References
from tests.unit.training.invented import invented

LABELS, APPS, MONTHS = ("negative", "positive"), ("big.app", "small.app"), 6
TEXTS = 50_000


def reviews(rows: int = 3000, seed: int = 0) -> pd.DataFrame:
    """Reviews of one app with many and one with few, a third of them repeats of 30 texts, one label in ten negative."""
    rng = np.random.default_rng(seed)
    often = rng.random(rows) < 1 / 3
    return pd.DataFrame(
        {
            "review_id": [f"r{number}" for number in range(rows)],
            "review_text": [f"sering {rng.integers(30)}" if one else f"teks {n}" for n, one in enumerate(often)],
            "label": np.where(rng.random(rows) < 0.1, *LABELS),
            "app_id": np.where(rng.random(rows) < 0.05, APPS[1], APPS[0]),
            "review_date": pd.Timestamp("2026-01-01", tz="UTC")
            + pd.to_timedelta(rng.integers(0, MONTHS * 30, rows), unit="D"),
            "side": "train",
        }
    )


def with_sides(rows: int) -> pd.DataFrame:
    """Reviews dealt to the sides by their texts, a quarter to each."""
    made = reviews(rows)
    sides = np.array(["train", *evaluate.HELD_OUT])
    return made.assign(side=sides[evaluate.text_keys(made["review_text"]) % 4])


def texts_of(rows: pd.DataFrame, side: str) -> set[str]:
    return set(rows["review_text"][rows["side"] == side])


def test_of_each_held_out_side_a_part_of_the_texts_is_taken_with_every_review_that_has_them() -> None:
    rows = with_sides(4000)
    taken = budget.with_held_out(rows, 100)
    assert {side: len(texts_of(taken, side)) for side in evaluate.HELD_OUT} == dict.fromkeys(evaluate.HELD_OUT, 100)
    assert (taken["side"] == "train").sum() == (rows["side"] == "train").sum()
    held_out = rows[rows["side"] != "train"]
    kept = held_out[held_out["review_text"].isin(set(taken["review_text"]))]
    pd.testing.assert_frame_equal(taken[taken["side"] != "train"], kept)
    keyed = rows.assign(key=evaluate.text_keys(rows["review_text"])).drop(columns="review_text")
    assert budget.with_held_out(keyed, 100)["review_id"].tolist() == taken["review_id"].tolist()
    most = max(len(texts_of(rows, side)) for side in evaluate.HELD_OUT)
    pd.testing.assert_frame_equal(budget.with_held_out(rows, most), rows)


def test_the_held_out_texts_stay_the_same_as_reviews_come() -> None:
    rows = with_sides(8000)
    before, after = budget.with_held_out(rows[:4000], 200), budget.with_held_out(rows, 200)
    for side in evaluate.HELD_OUT:
        gone = texts_of(before, side) - texts_of(after, side)
        came = texts_of(after, side) - texts_of(before, side)
        assert came <= set(rows["review_text"][4000:])
        assert len(gone) == len(came) < 150


def test_held_out_texts_that_people_labelled_are_always_taken() -> None:
    rows = with_sides(4000)
    person = pd.Series(None, index=rows.index, dtype="str")
    person[rows.index % 7 == 0] = "positive"
    taken = budget.with_held_out(rows.assign(person=person), 10)
    labelled = rows[(rows["side"] != "train") & person.notna()]
    assert set(labelled["review_id"]) <= set(taken["review_id"])
    assert len(taken) < len(rows)


def test_the_record_says_how_many_held_out_reviews_were_not_asked() -> None:
    rows = with_sides(4000)
    chosen = budget.within(rows, None, 10_000, 100)
    asked = chosen.frame["side"] != "train"
    assert chosen.held_out == (rows["side"] != "train").sum() - asked.sum() > 0
    record = left_out.on_record(chosen, "classic.most_reviews", 10_000, Evaluation(most_texts=100))
    assert record == {
        "said": f"{chosen.held_out:,} reviews of the held-out sides were not asked: "
        "evaluate.most_texts is 100 distinct texts a side."
    }


@pytest.mark.parametrize("most", [0, 1, 7, 100, 1000, 1999, 2990, 3000, 5000])
def test_as_many_reviews_are_taken_as_asked_and_no_text_twice_while_others_wait(most: int) -> None:
    rows = reviews()
    taken = rows[budget.choose(rows, most)]
    assert len(taken) == min(most, len(rows))
    assert taken["review_text"].nunique() == min(most, rows["review_text"].nunique())


def test_the_order_of_the_rows_plays_no_part() -> None:
    rows = reviews()
    taken = set(rows["review_id"][budget.choose(rows, 500)])
    mixed = rows.sample(frac=1, random_state=3)
    assert {*mixed["review_id"][budget.choose(mixed, 500)]} == taken


def test_keys_in_the_place_of_texts_choose_the_same_reviews() -> None:
    rows = reviews()
    outlined = rows.assign(key=evaluate.text_keys(rows["review_text"])).drop(columns="review_text")
    outlined = outlined.astype({"label": "category", "app_id": "category", "side": "category"})
    for most in (7, 500, 2990):
        np.testing.assert_array_equal(budget.choose(outlined, most), budget.choose(rows, most))
    assert budget.within(outlined, None, 500, TEXTS).frame["review_id"].tolist() == (
        budget.within(rows, None, 500, TEXTS).frame["review_id"].tolist()
    )


def test_every_label_app_and_month_keeps_its_place() -> None:
    rows = reviews()
    taken = rows[budget.choose(rows, 400)]
    assert taken["label"].value_counts(normalize=True)["negative"] == pytest.approx(0.1, abs=0.02)
    assert set(taken["app_id"]) == set(APPS)
    assert taken["app_id"].value_counts()["small.app"] > 0.1 * len(taken) > 0.05 * len(taken)
    by_month = taken["review_date"].dt.strftime("%Y-%m").value_counts().sort_index()
    assert len(by_month) == rows["review_date"].dt.strftime("%Y-%m").nunique()
    assert by_month.iloc[-2] > by_month.iloc[0] > by_month.iloc[-2] / 3


def test_of_a_month_the_newest_reviews_are_taken() -> None:
    rows = reviews().drop_duplicates("review_text")
    taken = budget.choose(rows, 400)
    for _, part in rows.assign(taken=taken).groupby(["label", "app_id", rows["review_date"].dt.strftime("%Y-%m")]):
        kept, left = part[part["taken"]], part[~part["taken"]]
        assert kept.empty or left.empty or kept["review_date"].min() >= left["review_date"].max()


def test_a_label_of_a_few_reviews_loses_none() -> None:
    rows = reviews()
    rows.loc[rows.index[:5], "label"] = "neutral"
    rows.loc[rows.index[:5], "review_text"] = [f"biasa {n}" for n in range(5)]
    taken = rows[budget.choose(rows, 300)]
    assert (taken["label"] == "neutral").sum() == 5


@pytest.mark.parametrize("seed", range(20))
def test_what_one_cannot_use_goes_to_the_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 50, rng.integers(1, 12)).tolist()
    claims = (rng.random(len(sizes)) + 0.01).tolist()
    total = int(rng.integers(0, 300))
    given = budget.fill(sizes, claims, total)
    assert sum(given) == min(total, sum(sizes))
    assert all(0 <= one <= size for one, size in zip(given, sizes, strict=True))
    fair = [one / claim for one, claim, size in zip(given, claims, sizes, strict=True) if one < size]
    level = min(
        ((one + 1) / claim for one, claim, size in zip(given, claims, sizes, strict=True) if one < size), default=0
    )
    assert not fair or max((one - 1) / claim for one, claim in zip(given, claims, strict=True)) <= level + 1e-9


def test_own_reviews_and_references_are_taken_by_their_weight_and_the_other_sides_stay_whole() -> None:
    own, other = reviews(), reviews(1000, seed=1)
    frame = pd.concat([own, own.head(200).assign(side="gate")], ignore_index=True)
    chosen = budget.within(frame, References(other, 3), 1000, TEXTS)
    assert chosen.references is not None
    assert (chosen.available, chosen.used, chosen.left_out) == (4000, 1000, 3000)
    assert chosen.frame["side"].value_counts().to_dict() == {"train": 900, "gate": 200}
    assert len(chosen.references.reviews) == 100


def test_an_app_with_few_reviews_keeps_them_beside_many_references() -> None:
    chosen = budget.within(reviews(500), References(reviews(3000, seed=1), 10), 1000, TEXTS)
    assert len(chosen.frame) == 500
    assert chosen.references is not None
    assert len(chosen.references.reviews) == 500


def test_what_fits_is_left_as_it_is() -> None:
    frame = reviews(300)
    chosen = budget.within(frame, None, 300, TEXTS)
    assert chosen.frame is frame
    assert left_out.on_record(chosen, "classic.most_reviews", 300, Evaluation()) == {}


@pytest.mark.slow
def test_what_was_left_out_is_on_record_with_what_it_would_bring() -> None:
    frame = invented(3000)
    chosen = budget.within(frame, None, 500, TEXTS)
    record = left_out.on_record(chosen, "classic.most_reviews", 500, Evaluation(rounds=200))
    assert (record["available"], record["used"]) == (int((frame["side"] == "train").sum()), 500)
    brings = record["brings"]
    assert brings["low"] <= brings["points"] <= brings["high"]
    assert brings["n"] == frame["review_text"][frame["side"] == "test"].nunique()
    assert (
        f"{record['available'] - 500:,} of {record['available']:,} reviews to train on were left out" in record["said"]
    )
    assert f"{brings['points']:+.1f} points" in record["said"]


def test_without_a_test_side_nothing_is_estimated() -> None:
    chosen = budget.within(invented(600).assign(side="train"), None, 100, TEXTS)
    record = left_out.on_record(chosen, "classic.most_reviews", 100, Evaluation())
    assert record["brings"] is None
    assert "would change" not in record["said"]


@pytest.mark.slow
def test_a_recipe_trains_on_no_more_than_it_allows(tmp_path) -> None:
    from mlops_assets.artifact import TrainedWith
    from mlops_assets.training.kinds import CLASSIC, Training

    recipe = ClassicRecipe(trees=1, votes=(0.0,), strengths=(1.0,), most_reviews=1000)
    training = Training(
        frame=invented(2000),
        folder=tmp_path / "model",
        trained_with=TrainedWith("d", "binary", recipe.digest(), "c"),
        run_id="run",
        report=lambda _: None,
        checkpoints=tmp_path,
        rules=Evaluation(rounds=200),
    )
    metrics = CLASSIC.train(training, recipe).metrics
    assert metrics["data"]["sides"]["train"] == metrics["budget"]["used"] == 1000
    assert dataclasses.replace(training, frame=invented(1000)).within(recipe).budget == {}
