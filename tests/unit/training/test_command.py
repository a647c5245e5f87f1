"""`python -m mlops_assets.training`: the whole way without Dagster."""

import json
from pathlib import Path

import pytest

from mlops_assets import artifact
from mlops_assets.cli.train import main
from mlops_assets.serving.models.model import load
from mlops_assets.settings import Settings
from tests.unit.training.invented import invented
from tests.user_clone import make_clone, settings_of


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    invented(400).drop(columns=["label", "side"]).to_csv(path, index=False)
    return path


def test_it_leaves_a_sealed_model_its_metrics_card_mistakes_and_pictures(reviews, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["classic", "--out", str(out), "--reviews", str(reviews)]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["model_version"] == artifact.model_version(out / "model")
    assert load(out / "model").probabilities(["bagus"]).shape == (1, 2)
    assert {path.name for path in out.iterdir()} == {
        "model", "metrics.json", "card.md", "mistakes.csv",
        "confusion_matrix.png", "reliability.png", "learning_curve.png",
    }  # fmt: skip
    told = capsys.readouterr()
    assert f"classic {metrics['model_version']}" in told.out
    assert "reviews to train on" in told.err


def test_a_folder_with_something_in_it_is_refused_in_one_line(reviews, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    assert main(["classic", "--out", str(tmp_path / "out"), "--reviews", str(reviews)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"training failed: {tmp_path / 'out'} is not empty: name another folder"
    ]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_without_a_file_and_without_collected_reviews_the_next_step_is_said(tmp_path, monkeypatch, capsys):
    empty = settings_of(make_clone(tmp_path / "clone"))
    monkeypatch.setattr(Settings, "load", lambda: empty)
    assert main(["classic", "--out", str(tmp_path / "out")]) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert told.endswith("holds no reviews: name a file with --reviews, or collect with make run")


def test_a_missing_file_is_refused_in_one_line(tmp_path, capsys):
    assert main(["classic", "--out", str(tmp_path / "out"), "--reviews", str(tmp_path / "none.csv")]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "none.csv" in told[0]
    assert not (tmp_path / "out").exists()
