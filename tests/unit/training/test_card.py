import dataclasses
import re

import pytest

from mlops_assets.artifact import Manifest, TrainedWith
from mlops_assets.training.card import model_card
from mlops_assets.training.champion import Decision
from mlops_assets.training.judging import evaluate
from tests.unit.training.invented import invented
from tests.unit.training.judging.test_evaluate import NAMES, answers


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    frame = invented(1500)
    held_out = frame[frame["side"] != "train"].reset_index(drop=True)
    metrics = {
        **evaluate.judged(held_out, answers(held_out, 0.8), NAMES),
        "data": evaluate.data_figures(frame),
    }
    return Manifest("classic", NAMES, 1, TrainedWith("d" * 12, "binary", "r", "c"), metrics, {})


def test_it_tells_data_use_figures_slices_limits_and_licence(manifest):
    card = model_card(manifest, "0123456789ab")
    headings = re.findall(r"^#+ (.*)$", card, re.M)
    assert headings == [
        "Sentiment of app reviews: TF-IDF, logistic regression and forest, 0123456789ab",
        "Data",
        "Intended use",
        "Figures",
        "By label, on test",
        "Slices of test",
        "Limits",
        "Licence of the base model",
    ]
    assert "Data version dddddddddddd, " in card
    assert "1500 labelled reviews of app.one, app.two, 2025-01-01 to 2025-12-2" in card


def test_every_side_stands_with_its_size_and_interval(manifest):
    card = model_card(manifest, "0123456789ab", forward={**manifest.metrics["test"], "n": 77})
    for side in ("validation", "gate", "test", "newest", "forward"):
        row = next(line for line in card.splitlines() if line.startswith(f"| {side} |"))
        assert re.search(r"\| \d+ \| 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\) \|", row)
    assert "| forward | reviews that arrived after this model's data | 77 |" in card


def test_reference_apps_are_named_with_what_they_bring(manifest):
    told = {"apps": {"other.app": 70}, "said": "The reference apps change the accuracy by +1.0 points."}
    card = model_card(dataclasses.replace(manifest, metrics={**manifest.metrics, "references": told}), "0123456789ab")
    assert "## Reference apps\n" in card
    assert "other.app 70. They are in none of the other figures\n- The reference apps change" in card
    assert "## Reference apps" not in model_card(manifest, "0123456789ab")


def test_what_a_budget_left_out_is_said(manifest):
    told = {"said": "500 of 900 reviews to train on were left out."}
    card = model_card(dataclasses.replace(manifest, metrics={**manifest.metrics, "budget": told}), "0123456789ab")
    assert "- 500 of 900 reviews to train on were left out\n" in card


def test_tables_are_whole(manifest):
    for block in model_card(manifest, "v").split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1


def test_the_decision_and_the_base_s_licence_are_told(manifest):
    decision = Decision("v", promoted=False, reason="within noise, and no new model is needed")
    taken = {**manifest.metrics, "base_model": "some/base@0123"}
    stated = dataclasses.replace(manifest, kind="bert", metrics={**taken, "base_licence": "mit"})
    card = model_card(stated, "v", decision=decision)
    assert "Not promoted: within noise, and no new model is needed" in card
    assert "`some/base@0123:` mit." in card
    assert "not stated by its folder" in model_card(dataclasses.replace(stated, metrics=taken), "v")


def test_a_compact_model_has_no_base_to_license(manifest):
    compact = dataclasses.replace(manifest, kind="bert", metrics={**manifest.metrics, "base_model": "compact"})
    assert "None: trained from the reviews alone." in model_card(compact, "v")


def test_a_model_without_held_out_reviews_says_so():
    bare = Manifest("bert", NAMES, 1, TrainedWith("d", "binary", "r", "c"), {"test": {"n": 0}}, {})
    assert "nothing is known about this model's quality" in model_card(bare, "v")
