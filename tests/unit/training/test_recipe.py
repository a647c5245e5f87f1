import dataclasses
from pathlib import Path

import pytest

from mlops_assets import code_version as module
from mlops_assets.training.judging.evaluate import Evaluation
from mlops_assets.training.kinds import BERT, CLASSIC
from mlops_assets.training.recipe import BadRecipe, ClassicRecipe


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"tree": 5}, "params.yaml: classic.tree is no parameter, known are word_longest"),
        ({"trees": 0}, "classic.trees must be from 1 to 2000, got 0"),
        ({"trees": True}, "params.yaml: classic.trees must be a whole number, got True"),
        ({"trees": 2.5}, "params.yaml: classic.trees must be a whole number, got 2.5"),
        ({"strengths": []}, "classic.strengths must be at least one number above 0, got ()"),
        ({"strengths": [1, 0]}, "classic.strengths must be at least one number above 0, got (1.0, 0.0)"),
        ({"strengths": 1}, "params.yaml: classic.strengths must be a list, each a number, got 1"),
        ({"votes": [1.01]}, "classic.votes must be at least one share from 0 to 1, got (1.01,)"),
        ({"char_shortest": 5, "char_longest": 4}, "classic.char_longest must be from 5 to 8, got 4"),
        ({"seed": None}, "params.yaml: classic.seed must be a whole number, got None"),
    ],
)
def test_nonsense_is_refused_in_one_line_that_names_it(params, told):
    with pytest.raises(BadRecipe) as refused:
        ClassicRecipe.from_params(params)
    assert str(refused.value).startswith(told)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("trees", [1, 2000])
def test_values_on_the_limit_are_accepted(trees):
    assert ClassicRecipe.from_params({"trees": trees}).trees == trees


def test_the_digest_follows_the_values_and_not_the_way_they_are_written():
    written = ClassicRecipe.from_params({"strengths": [1, 2], "votes": [0, 1]})
    assert written == ClassicRecipe(strengths=(1.0, 2.0), votes=(0.0, 1.0))
    assert written.digest() == ClassicRecipe(strengths=(1.0, 2.0), votes=(0.0, 1.0)).digest()
    assert ClassicRecipe.from_params({}).digest() == ClassicRecipe().digest()


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(ClassicRecipe)])
def test_every_value_counts_in_the_digest(field):
    value = getattr(ClassicRecipe(), field)
    other = (0.25,) if isinstance(value, tuple) else value + 1
    assert dataclasses.replace(ClassicRecipe(), **{field: other}).digest() != ClassicRecipe().digest()


def test_equal_values_of_two_sections_have_two_digests():
    assert Evaluation().digest() != ClassicRecipe().digest()


@pytest.fixture
def package(tmp_path: Path, monkeypatch) -> Path:
    """A package of two models that share one module."""
    folder = tmp_path / "training"
    (folder / "classic").mkdir(parents=True)
    (folder / "bert").mkdir()
    (folder / "classic" / "train.py").write_text(
        "def fit():\n    from mlops_assets.training import shared\n    return shared\n"
    )
    (folder / "bert" / "train.py").write_text("from mlops_assets.text import normalise\n")
    (folder / "shared.py").write_text("A = 1\n")
    (tmp_path / "text.py").write_text("B = 1\n")
    monkeypatch.setattr(module, "_ROOT", tmp_path)
    return tmp_path


def test_a_change_in_a_module_imported_inside_a_function_changes_that_model_s_code_alone(package):
    classic, bert = CLASSIC.code(), BERT.code()
    (package / "training" / "shared.py").write_text("A = 2\n")
    assert CLASSIC.code() != classic
    assert BERT.code() == bert


def test_comments_and_layout_are_not_code(package):
    before = BERT.code()
    (package / "training" / "bert" / "train.py").write_text(
        "# why\n\nfrom mlops_assets.text import (\n    normalise,\n)\n"
    )
    assert BERT.code() == before


def test_the_text_functions_belong_to_both_models():
    assert CLASSIC.code() != BERT.code()
    assert {"mlops_assets.text", "mlops_assets.artifact"} <= module.imported_code(
        "mlops_assets.training.classic.train"
    ).keys()
