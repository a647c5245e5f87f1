"""When a model is due, when a decision between models is, and what is said of it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops_assets import artifact
from mlops_assets.artifact import TrainedWith
from mlops_assets.params.operations import RetrainRules
from mlops_assets.training.champion import Decision, candidates, champion_due, champion_folder, write_decision
from mlops_assets.training.due import Due
from mlops_assets.training.due import training_due as due_of

WITH = TrainedWith("d" * 12, label_rule="binary", recipe="r1", code="c1", training_data="t1", reviews=1000)
TRAINED_AT = datetime(2026, 1, 10, 12, tzinfo=UTC)


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
    measured = {"model_version": version, "trained_at": TRAINED_AT.isoformat()}
    (models / metrics).write_text(json.dumps(measured), encoding="utf-8")
    return version


def training_due(
    folder: Path, metrics: Path, wanted: TrainedWith, *, force: bool = False, hours: float = 1, **rules: float
) -> Due:
    """Due `hours` after the training of `model`, under these rules."""
    now = TRAINED_AT + timedelta(hours=hours)
    return due_of(folder, metrics, wanted, RetrainRules.from_params(rules), now, force=force)


def test_an_equal_training_is_not_due(tmp_path: Path) -> None:
    model(tmp_path)
    assert not training_due(tmp_path / "classic", tmp_path / "metrics.json", WITH, force=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"training_data": "t2", "reviews": 1040}, "the training data changed (t1 -> t2): +40 labelled reviews"),
        ({"training_data": "t2", "reviews": 999}, "the training data changed (t1 -> t2): -1 labelled reviews"),
        ({"training_data": "t2"}, "the training data changed (t1 -> t2): other texts or labels"),
        ({"label_rule": "ternary"}, "the label rule changed"),
        ({"recipe": "r2"}, "the recipe changed"),
        ({"code": "c2"}, "the training code changed"),
        ({"references": "r1"}, "the reference apps or their weight changed (none -> r1)"),
    ],
)
def test_each_change_of_what_it_was_trained_with_makes_it_due(tmp_path: Path, change: dict, said: str) -> None:
    model(tmp_path)
    due = training_due(tmp_path / "classic", tmp_path / "metrics.json", replace(WITH, **change), force=False)
    assert due
    assert said in due.reason


def test_another_data_version_with_the_same_texts_labels_and_sides_is_no_reason_to_train(tmp_path: Path) -> None:
    model(tmp_path)
    due = training_due(tmp_path / "classic", tmp_path / "metrics.json", replace(WITH, dataset_version="e" * 12))
    assert not due
    assert "training data t1" in due.reason


@pytest.mark.parametrize(
    ("reviews", "rules", "hours", "due", "reason"),
    [
        (1049, {"new_reviews": 50}, 1, False, "+49 labelled reviews since the training, retrain.new_reviews is 50"),
        (1050, {"new_reviews": 50}, 1, True, "+50 labelled reviews"),
        (950, {"new_reviews": 50}, 1, True, "-50 labelled reviews"),
        (
            1000,
            {"new_reviews": 2},
            1,
            False,
            "other texts or labels since the training, retrain.new_reviews is 2",
        ),
        (1001, {"at_most_every_hours": 24}, 23.9, False, "allows the next training at 2026-01-11 12:00"),
        (1001, {"at_most_every_hours": 24}, -48, True, "+1 labelled reviews"),
        (1001, {"at_most_every_hours": 24}, 24, True, "+1 labelled reviews"),
    ],
)
def test_new_data_waits_until_it_is_enough_and_the_last_training_long_enough_ago(
    tmp_path: Path, reviews: int, rules: dict, hours: float, due: bool, reason: str
) -> None:
    model(tmp_path)
    wanted = replace(WITH, training_data="t2", reviews=reviews)
    answer = training_due(tmp_path / "classic", tmp_path / "metrics.json", wanted, hours=hours, **rules)
    assert (bool(answer), reason in answer.reason) == (due, True), answer.reason
    for change in ({"recipe": "r2"}, {"references": "r1"}):
        changed = replace(wanted, **change)
        assert training_due(tmp_path / "classic", tmp_path / "metrics.json", changed, hours=hours, **rules)


def test_a_model_of_an_older_version_which_kept_no_digest_is_due_once(tmp_path: Path) -> None:
    version = seal(tmp_path / "classic", replace(WITH, training_data="", reviews=0))
    (tmp_path / "metrics.json").write_text(json.dumps({"model_version": version}), encoding="utf-8")
    assert training_due(tmp_path / "classic", tmp_path / "metrics.json", WITH, at_most_every_hours=6)


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
