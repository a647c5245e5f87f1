"""The page of a model: every side with its size, and the mistakes that a person should look at first."""

from pathlib import Path

import pytest

from mlops_assets.artifact import TrainedWith
from mlops_assets.assets import model_page
from mlops_assets.params.models import ClassicRecipe
from mlops_assets.serving.models.model import load
from mlops_assets.training.champion import Decision
from mlops_assets.training.classic.train import train_classic
from mlops_assets.training.judging.evaluate import mistakes
from mlops_assets.training.judging.slices import LEAST_OF_A_LANGUAGE
from mlops_assets.training.metrics import SIDES, Metrics
from mlops_assets.training.references import References
from tests.unit.training.invented import invented


@pytest.fixture(scope="module")
def frame():
    """Reviews of which the last on test has the wrong stars, markup and a long text."""
    found = invented(600)
    wrong = found.index[(found["side"] == "test") & (found["label"] == "positive")][-1]
    found.loc[wrong, "review_text"] += " <img src=x> | " + "sekali " * 40
    found.loc[wrong, ["label", "rating"]] = ["negative", 1]
    return found.assign(language=["es", "id"] * 300)


@pytest.fixture(scope="module")
def page(frame, tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("model") / "classic"
    trained = train_classic(
        frame,
        ClassicRecipe(trees=5),
        folder,
        trained_with=TrainedWith("data", "binary", "recipe", "code"),
        run_id="run",
        report=lambda _: None,
        load=load,
        references=References(invented(50, seed=1).assign(app_id="other.app"), 3),
        budget={"said": "500 of 900 reviews to train on were left out."},
    )
    test = frame[frame["side"] == "test"]
    found = mistakes(test, load(folder).probabilities(test["review_text"].tolist()), ("negative", "positive"))
    return model_page.about_model(Metrics.of(trained.metrics), folder, found)


def test_validation_gate_test_and_the_newest_window_stand_side_by_side(page):
    table = page["scores"].value.splitlines()
    assert table[0] == "| measured on | n | accuracy | macro-F1 | calibration error | accuracy by frequency |"
    assert [line.split(" | ")[0] for line in table[2:]] == ["| validation", "| gate", "| test", "| newest"]


def test_pictures_and_slices_are_there_and_the_long_table_of_mistakes_is_last(page):
    assert {"slices", "slices_by_month", "reliability", "learning_curve", "confusion_matrix"} <= page.keys()
    assert list(page)[-1] == "surest_mistakes"
    months = [line.split(" | ")[0] for line in page["slices_by_month"].value.splitlines()[2:]]
    assert months == sorted(months, reverse=True)
    assert "month" not in page["slices"].value


def test_the_languages_of_the_reviews_are_slices_with_their_size(page):
    rows = [line.split(" | ")[:2] for line in page["slices"].value.splitlines() if line.startswith("| language")]
    assert [name for name, _ in rows] == ["| language es", "| language id"]
    assert all(int(n) >= LEAST_OF_A_LANGUAGE for _, n in rows)


def test_the_reference_apps_stand_with_what_they_bring(page, frame):
    told = page["references"].value
    texts = frame["review_text"][frame["side"].isin(["gate", "test"])].nunique()
    assert "| other.app | 50 |" in told
    assert "An own review counts 3 times, as configured. The reference apps change the accuracy by " in told
    assert f"n={texts})" in told


def test_what_a_budget_left_out_is_said(page):
    assert "500 of 900 reviews to train on were left out." in page["budget"].value


def test_every_label_has_its_figures_on_every_side(page):
    lines = page["by_label"].value.splitlines()
    assert lines[0] == "| measured on | label | n | precision | recall | f1 |"
    assert [line.split(" | ")[:2] for line in lines[2:]] == [
        [f"| {side}", label] for side in ("validation", "gate", "test", "newest") for label in ("negative", "positive")
    ]


def test_what_the_forest_brings_is_said_in_words_below_the_members(page):
    table, said = page["members"].value.split("\n\n")
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == [
        "| logistic, test", "| forest, test", "| vote, test",
    ]  # fmt: skip
    assert said.startswith("What the forest brings is not known: too few validation reviews. It has no vote.")


def test_the_page_of_the_decision_sets_the_forward_score_beside_every_side():
    side = {"n": 50, "accuracy": 0.8, "macro_f1": 0.79, "accuracy_interval": [0.7, 0.9], "macro_f1_interval": None}
    change = {"n": 50, "points": 1.5, "low": -1.0, "high": 4.0}
    decision = Decision(
        "new",
        candidate="bert",
        candidate_version="new",
        against="old",
        forward={**side, "n": 12, "model_version": "old"},
        figures={
            "candidate": {"gate": side, "newest": {"n": 0}},
            "champion": {"gate": side, "newest": {"n": 0}},
            "difference": change,
            "newest_difference": None,
            "slices": {"slang": change},
            "people": {"bert": {"n": 120, "accuracy": 0.85, "difference": change}},
        },
    )
    page = model_page.about_decision(decision, Metrics.of(dict.fromkeys(SIDES, side)))
    assert [line.split(" | ")[0] for line in page["scores"].value.splitlines()[2:]] == [
        "| validation", "| gate", "| test", "| newest", "| people", "| forward, of old",
    ]  # fmt: skip
    assert page["comparison"].value.splitlines()[2:] == ["| gate, n = 50 | 0.790 | 0.790 | +1.5 \\[-1.0, +4.0\\] |"]
    assert page["by_people"].value.splitlines()[2:] == ["| bert | 120 | 0.850 | +1.5 \\[-1.0, +4.0\\] |"]
    assert page["slice_changes"].value.splitlines()[2:] == ["| slang | 50 | +1.5 \\[-1.0, +4.0\\] |"]


def test_the_page_shows_each_text_once_the_frequent_ones_beside_and_the_anchor():
    side = {"n": 50, "accuracy": 0.8, "macro_f1": 0.79, "accuracy_interval": [0.7, 0.9], "macro_f1_interval": None}
    often, change = {**side, "n": 90, "accuracy": 0.95}, {"n": 50, "points": 1.5, "low": -1.0, "high": 4.0}
    compared = {"gate": side, "newest": {"n": 0}}
    figures = {
        "measure": "accuracy",
        "candidate": compared,
        "champion": compared,
        "difference": change,
        "newest_difference": None,
        "by_frequency": {"bert": often, "serving": often},
        "anchor": {"model_version": "oldest", "since": "2026-01-01", "as_good": 1, "changes": {"bert": change}},
    }
    decision = Decision("new", candidate="bert", candidate_version="new", against="old", figures=figures)
    page = model_page.about_decision(decision, Metrics.of({"test": {"n": 0}}))
    score, frequent = "0.800 \\[0.700, 0.900\\]", "0.950 \\[0.700, 0.900\\]"
    assert page["comparison"].value.splitlines()[2:] == [
        f"| gate, each text once, n = 50 | {score} | {score} | +1.5 \\[-1.0, +4.0\\] |",
        f"| gate, by frequency, n = 90 | {frequent} | {frequent} | \\- |",
    ]
    header, _, row = page["against_anchor"].value.splitlines()
    assert "accuracy against oldest (live since 2026-01-01), points" in header
    assert row == "| bert | +1.5 \\[-1.0, +4.0\\] | 50 | 1 |"


def test_a_decision_that_came_back_without_figures_has_a_page():
    page = model_page.about_decision(Decision("old"), Metrics.of({"test": {"n": 0}}))
    assert page["comparison"].value == page["slice_changes"].value == page["scores"].value == "none"


def test_the_surest_mistakes_are_wrong_answers_as_plain_cells(page, frame):
    rows = [record.data for record in page["surest_mistakes"].records]
    assert 0 < len(rows) <= 20
    confidences = [row["confidence"] for row in rows]
    assert confidences == sorted(confidences, reverse=True)
    stars = frame.set_index("review_id")["label"]
    assert all(row["answered"] != stars[row["review"]] for row in rows)
    marked = next(row for row in rows if "<img src=x> |" in row["text"])
    assert (marked["stars"], marked["answered"], len(marked["text"])) == (1, "positive", model_page.LONGEST_SHOWN)


def test_the_members_of_a_blend_stand_above_the_blend_with_what_it_brings_below():
    test = {name: {"n": 9, "accuracy": 0.9, "macro_f1": 0.9} for name in ("blend", "bert", "classic")}
    table, said = model_page.about_members({"test": test, "said": "It brings +1.0 points."}).value.split("\n\n")
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == [
        "| bert, test",
        "| classic, test",
        "| blend, test",
    ]
    assert said == "It brings +1.0 points."
