"""The BERT recipe refuses nonsense, and its digest speaks of the model alone."""

from typing import Any

import pytest

from mlops_assets.failures import BadSetting
from mlops_assets.params.models import BertRecipe


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"epochs": 0}, r"bert.epochs must be a whole number from 1 to 100, got 0"),
        ({"epochs": "3"}, r"bert.epochs must be a whole number from 1 to 100, got '3'"),
        ({"epoch": 3}, r"bert.epoch is no parameter, known are base_model, teacher, revision, epochs"),
        ({"hidden": 100, "heads": 3}, r"bert.hidden must be a multiple of heads \(3\)"),
        ({"device": "tpu"}, r"bert.device must be one of auto, cpu, cuda, got 'tpu'"),
        ({"base_model": "indobert", "revision": "main"}, r"bert.revision must be empty if base_model is indobert"),
        ({"revision": "main"}, r"bert.revision must be empty if base_model is compact"),
        ({"base_model": " "}, r"bert.base_model must be compact, indobert, a hub name or a folder"),
        ({"teacher": "indobert", "revision": "main"}, r"bert.revision must be empty if teacher is indobert"),
        ({"teacher": "compact"}, r"bert.teacher must be pre-trained \(.+\), got 'compact'"),
        ({"teacher": "a/b", "base_model": "indobert"}, r"bert.teacher teaches the compact model only, .+ 'indobert'"),
        ({"base_model": "a/b", "layers": 2}, r"bert.layers shapes the compact model only, but base_model is 'a/b'"),
    ],
)
def test_nonsense_is_refused_with_name_rule_and_value(params: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSetting, match=message):
        BertRecipe.from_params(params)


def test_a_pretrained_model_has_other_defaults_and_params_win() -> None:
    compact, tuned = BertRecipe.from_params({}), BertRecipe.from_params({"base_model": "a/b", "epochs": 9})

    assert compact.learning_rate > 10 * tuned.learning_rate
    assert tuned.epochs == 9


def test_where_it_runs_makes_no_other_model() -> None:
    digest = BertRecipe.from_params({}).digest()

    assert BertRecipe.from_params({"device": "cpu", "checkpoint_steps": 7}).digest() == digest
    assert BertRecipe.from_params({"seed": 1}).digest() != digest
    assert BertRecipe.from_params({"precision": "fp32"}).digest() != digest


def test_a_teacher_is_fine_tuned_as_a_pretrained_model_on_what_the_student_reads() -> None:
    recipe = BertRecipe.from_params({"teacher": "a/b", "revision": "v1", "max_length": 64, "seed": 3, "epochs": 9})
    teacher = recipe.of_teacher()

    assert teacher == BertRecipe.from_params({"base_model": "a/b", "revision": "v1", "max_length": 64, "seed": 3})
    assert recipe.digest() != BertRecipe.from_params({"max_length": 64, "seed": 3, "epochs": 9}).digest()
