"""The classic recipe refuses nonsense, and its digest follows its values."""

import pytest

from mlops_assets.failures import BadSetting
from mlops_assets.params.models import ClassicRecipe, Evaluation


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"tree": 5}, "params.yaml: classic.tree is no parameter, known are word_longest"),
        ({"trees": 0}, "params.yaml: classic.trees must be a whole number from 1 to 2000, got 0"),
        ({"trees": True}, "params.yaml: classic.trees must be a whole number from 1 to 2000, got True"),
        ({"trees": 2.5}, "params.yaml: classic.trees must be a whole number from 1 to 2000, got 2.5"),
        ({"strengths": []}, "params.yaml: classic.strengths must be a list of at least one number above 0, got []"),
        (
            {"strengths": [1, 0]},
            "params.yaml: classic.strengths must be a list of at least one number above 0, got [1, 0]",
        ),
        ({"strengths": 1}, "params.yaml: classic.strengths must be a list of at least one number above 0, got 1"),
        ({"votes": [1.01]}, "params.yaml: classic.votes must be a list of at least one share from 0 to 1, got [1.01]"),
        ({"char_shortest": 5, "char_longest": 4}, "params.yaml: classic.char_longest must be from 5 to 8, got 4"),
        ({"seed": None}, "params.yaml: classic.seed must be a whole number from 0 to 2147483647, got None"),
    ],
)
def test_nonsense_is_refused_in_one_line_that_names_it(params, told):
    with pytest.raises(BadSetting) as refused:
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


@pytest.mark.parametrize("field", ClassicRecipe.model_fields)
def test_every_value_counts_in_the_digest(field):
    value = getattr(ClassicRecipe(), field)
    other = (0.25,) if isinstance(value, tuple) else value + 1
    assert ClassicRecipe().model_copy(update={field: other}).digest() != ClassicRecipe().digest()


def test_equal_values_of_two_sections_have_two_digests():
    assert Evaluation().digest() != ClassicRecipe().digest()


def test_a_key_that_was_replaced_is_refused_with_the_one_that_replaced_it():
    told = "evaluate.margin_points is no parameter any more: use evaluate.worse_points, "
    with pytest.raises(BadSetting, match=told):
        Evaluation.from_params({"margin_points": 3})
