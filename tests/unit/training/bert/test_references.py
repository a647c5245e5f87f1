"""The BERT model beside reviews of reference apps: what an own review weighs, and what a kill leaves."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.params.models import BertRecipe
from mlops_assets.training.bert import compact
from mlops_assets.training.bert import data as bert_data
from mlops_assets.training.bert import train as bert
from mlops_assets.training.bert.device import find_device
from mlops_assets.training.references import References
from tests.tiny_bert import tiny_frame, train_tiny

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {"layers": 1, "hidden": 16, "heads": 2, "epochs": 2, "checkpoint_steps": 2}


@pytest.mark.parametrize("own_weight", [1, 20])
def test_an_own_review_counts_as_often_as_its_weight_says(own_weight: int) -> None:
    """Ten own reviews call a text positive, forty references the same text negative."""
    recipe = BertRecipe.from_params({**SMALL, "learning_rate": 5e-3, "token_dropout": 0.0, "max_length": 16})
    texts = ["netral saja"] * 50 + ["bagus"] * 20 + ["jelek"] * 20
    base = compact.build(texts, recipe, ("negative", "positive"))
    ids = bert_data.encode(base.tokenizer, texts, recipe.max_length)
    labels = np.repeat([1, 0, 1, 0], [10, 40, 20, 20])
    counted = np.repeat([own_weight, 1], [10, 80]).astype(np.float32)
    bert.fit(
        base.model,
        bert_data.Examples(ids, labels, counted / counted.mean()),
        bert_data.Examples(bert_data.Ids.of([]), labels[:0]),
        recipe,
        mask_id=bert_data.mask_id(base.tokenizer),
        device=find_device("cpu", "fp32"),
        report=lambda _: None,
    )
    [[_, positive]] = bert.score(base.model, ids[:1], recipe.max_length, find_device("cpu", "fp32"))
    assert (positive > 0.5) == (own_weight == 20)


def test_without_a_gate_and_a_test_side_references_are_learned_from_all_the_same(tmp_path) -> None:
    frame = tiny_frame(80)
    frame = frame[frame["side"].isin(["train", "validation"])].reset_index(drop=True)
    others = pd.DataFrame({"review_text": ["indah sekali"] * 10, "label": "positive", "app_id": "other.app"})
    trained = train_tiny(tmp_path / "model", tmp_path / "c", frame=frame, references=References(others, 3), **SMALL)
    assert trained.metrics["references"]["brings"] is None


class Killed(Exception):
    """Stands for whatever ends a process."""


def test_a_training_killed_while_it_trains_the_model_to_compare_with_ends_as_an_undisturbed_one(tmp_path) -> None:
    frame = tiny_frame(160)
    others = pd.DataFrame({"review_text": ["indah sekali"] * 40, "label": "positive", "app_id": "other.app"})
    changes = {"frame": frame, "references": References(others, 3), **SMALL}
    whole = train_tiny(tmp_path / "whole", tmp_path / "a", **changes)

    def killed(line: str) -> None:
        if line.startswith("epoch 1") and (tmp_path / "b" / bert.ALONE).is_dir():
            raise Killed

    with pytest.raises(Killed):
        train_tiny(tmp_path / "killed", tmp_path / "b", report=killed, **changes)
    said: list[str] = []
    again = train_tiny(tmp_path / "again", tmp_path / "b", report=said.append, **changes)

    assert len([line for line in said if "continues from the checkpoint" in line]) == 2
    assert again.model_version == whole.model_version
    told = again.metrics["references"]
    assert (told["apps"], told["own_weight"], told["brings"]["n"]) == ({"other.app": 40}, 3, 40)
    assert again.metrics["data"]["apps"] == ["sample.app"]
    assert not [path for path in (tmp_path / "b").rglob("*") if path.is_file()]
