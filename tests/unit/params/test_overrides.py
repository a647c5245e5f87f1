"""Which values a trial takes from PARAMS, and which it refuses."""

from pathlib import Path

import pytest

from mlops_assets.failures import BadSetting
from mlops_assets.params.overrides import with_overrides

WRITTEN = "apps: [com.example.app]\nclassic: {trees: 50, seed: 1}\nevaluate: {rounds: 500}\n"


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(WRITTEN, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "given",
    [
        "classic.trees=200 bert.epochs=2 classic.strengths=[0.5, 1.0]",
        "classic.trees=200,bert.epochs=2,classic.strengths=[0.5, 1.0]",
        "classic.trees=200,\n bert.epochs=2 , classic.strengths=[0.5,1.0]",
    ],
)
def test_several_pairs_are_parted_by_spaces_or_commas(params: Path, given: str) -> None:
    recipes, changed = with_overrides(params, given)
    assert recipes["classic"] == {"trees": 200, "seed": 1, "strengths": [0.5, 1.0]}
    assert recipes["bert"] == {"epochs": 2}
    assert sorted(changed) == ["bert.epochs: 2", "classic.strengths: [0.5, 1.0]", "classic.trees: 200"]


def test_a_file_holds_a_part_of_params_yaml_or_all_of_it(params: Path, tmp_path: Path) -> None:
    part, whole = tmp_path / "part.yaml", tmp_path / "whole.yaml"
    part.write_text("classic: {trees: 200}", encoding="utf-8")
    whole.write_text(WRITTEN.replace("trees: 50", "trees: 200"), encoding="utf-8")
    assert with_overrides(params, str(part)) == with_overrides(params, str(whole))
    assert with_overrides(params, str(part))[1] == ["classic.trees: 200"]


def test_nothing_given_is_the_recipes_as_they_are_written(params: Path) -> None:
    assert with_overrides(params, "") == ({"classic": {"trees": 50, "seed": 1}, "bert": {}, "reference": {}}, [])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("classic.tres=200", "PARAMS: classic.tres is no parameter, known are "),
        ("classic.trees=many", "PARAMS: classic.trees must be a whole number"),
        ("clasic.trees=200", "PARAMS: clasic cannot be tried"),
        ("evaluate.rounds=10", "PARAMS: evaluate cannot be tried: a trial keeps the data and the gate"),
        ("classic=200", "PARAMS: classic names no key: write section.key=value"),
        ("recipe.yaml", "PARAMS='recipe.yaml' is neither a file that exists nor section.key=value"),
        ("and classic.trees=200", "is neither a file that exists nor section.key=value"),
        ("classic.trees=[", "PARAMS: classic.trees cannot be read: "),
    ],
)
def test_what_cannot_be_tried_is_refused_by_its_name(params: Path, given: str, said: str) -> None:
    with pytest.raises(BadSetting) as refused:
        with_overrides(params, given)
    assert said in str(refused.value)


def test_a_file_that_changes_the_gate_or_the_data_is_refused(params: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(WRITTEN.replace("rounds: 500", "rounds: 5"), encoding="utf-8")
    with pytest.raises(BadSetting, match="evaluate cannot be tried"):
        with_overrides(params, str(other))
