"""When a model is due, when a decision between models is, and what is said of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_assets import artifact
from mlops_assets.artifact import TrainedWith
from mlops_assets.training.champion import Decision, candidates, champion_due, champion_folder, write_decision
from mlops_assets.training.due import training_due

WITH = TrainedWith(dataset_version="d" * 12, label_rule="binary", recipe="r1", code="c1")


def seal(folder: Path, trained_with: TrainedWith = WITH, weights: str = "w") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights").write_text(weights, encoding="utf-8")
    return artifact.seal(
        folder,
        kind="classic",
        labels=("negative", "positive"),
        text_version=1,
        trained_with=trained_with,
        metrics={},
        golden=(),
    )


def model(models: Path, name: str = "classic", metrics: str = "metrics.json") -> str:
    version = seal(models / name, weights=name)
    (models / metrics).write_text(json.dumps({"model_version": version}), encoding="utf-8")
    return version


def test_an_equal_training_is_not_due(tmp_path: Path) -> None:
    model(tmp_path)
    assert not training_due(tmp_path / "classic", tmp_path / "metrics.json", WITH, force=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset_version": "e" * 12}, "the validated data changed"),
        ({"label_rule": "ternary"}, "the label rule changed"),
        ({"recipe": "r2"}, "the recipe changed"),
        ({"code": "c2"}, "the training code changed"),
    ],
)
def test_each_change_of_what_it_was_trained_with_makes_it_due(tmp_path: Path, change: dict, said: str) -> None:
    model(tmp_path)
    due = training_due(tmp_path / "classic", tmp_path / "metrics.json", replace(WITH, **change), force=False)
    assert due
    assert said in due.reason


def test_force_a_missing_model_missing_scores_and_damage_make_it_due(tmp_path: Path) -> None:
    folder, metrics = tmp_path / "classic", tmp_path / "metrics.json"
    assert training_due(folder, metrics, WITH, force=False).reason == "there is no model yet"
    model(tmp_path)
    assert training_due(folder, metrics, WITH, force=True).reason == "force_retrain is set"
    metrics.unlink()
    assert "is not of this model" in training_due(folder, metrics, WITH, force=False).reason
    (folder / "weights").write_text("other", encoding="utf-8")
    assert "damaged" in training_due(folder, metrics, WITH, force=False).reason


def test_a_model_without_its_own_scores_is_no_candidate(tmp_path: Path) -> None:
    version = model(tmp_path)
    assert candidates(tmp_path) == {"classic": version}
    (tmp_path / "metrics.json").write_text(json.dumps({"model_version": "another"}), encoding="utf-8")
    assert candidates(tmp_path) == {}


def test_a_decision_is_due_until_it_stands_committed_and_again_with_new_candidates(tmp_path: Path) -> None:
    version = model(tmp_path)
    assert champion_due(tmp_path)
    seal(tmp_path / "champion", weights="classic")
    decision = Decision(version, model="classic", candidates={"classic": version}, reason="first")
    write_decision(tmp_path, decision)
    assert "not committed" in champion_due(tmp_path).reason
    write_decision(tmp_path, replace(decision, commit="abc"))
    assert not champion_due(tmp_path)
    assert champion_folder(tmp_path) == tmp_path / "champion"
    model(tmp_path, "bert", "bert_metrics.json")
    assert "the candidates changed" in champion_due(tmp_path).reason
