"""The page of a model: every side with its size, and the mistakes that a person should look at first."""

from pathlib import Path

import pytest

from mlops_assets.artifact import TrainedWith
from mlops_assets.assets import model_page
from mlops_assets.serving.model import load
from mlops_assets.training.classic import train_classic
from mlops_assets.training.recipe import ClassicRecipe
from tests.unit.training.invented import invented


@pytest.fixture(scope="module")
def frame():
    """Reviews of which the last on test has the wrong stars, markup and a long text."""
    found = invented(600)
    wrong = found.index[(found["side"] == "test") & (found["label"] == "positive")][-1]
    found.loc[wrong, "review_text"] += " <img src=x> | " + "sekali " * 40
    found.loc[wrong, ["label", "rating"]] = ["negative", 1]
    return found


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
    )
    return model_page.about_model(trained.metrics, folder, frame)


def test_validation_gate_test_and_the_newest_window_stand_side_by_side(page):
    table = page["scores"].value.splitlines()
    assert table[0] == "| measured on | n | accuracy | macro-F1 | calibration error |"
    assert [line.split(" | ")[0] for line in table[2:]] == ["| validation", "| gate", "| test", "| newest"]


def test_pictures_slices_and_members_are_there(page):
    assert {"slices", "reliability", "learning_curve", "confusion_matrix", "members"} <= page.keys()


def test_the_surest_mistakes_are_wrong_answers_as_plain_cells(page, frame):
    rows = [record.data for record in page["surest_mistakes"].records]
    assert 0 < len(rows) <= 20
    confidences = [row["confidence"] for row in rows]
    assert confidences == sorted(confidences, reverse=True)
    stars = frame.set_index("review_id")["label"]
    assert all(row["answered"] != stars[row["review"]] for row in rows)
    marked = next(row for row in rows if "<img src=x> |" in row["text"])
    assert (marked["stars"], marked["answered"], len(marked["text"])) == (1, "positive", model_page.LONGEST_SHOWN)
