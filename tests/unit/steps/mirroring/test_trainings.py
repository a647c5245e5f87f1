"""What MLflow is to have of the models that are here, before anybody asks it."""

import shutil
import sys
from pathlib import Path

import pytest

from mlops_assets.deploy.history import DeploymentLog, Entry
from mlops_assets.params.operations import MirrorRules
from mlops_assets.settings import Settings
from mlops_assets.steps.mirroring.mirrors import Mirrors
from mlops_assets.steps.mirroring.trainings import TrainingsInMlflow
from mlops_assets.training.metrics import Metrics
from tests.fakes.tiny_model import learnt_from, seal_tiny_model
from tests.user_clone import make_clone, settings_of


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(make_clone(tmp_path / "clone"), MLFLOW_TRACKING_URI=str(tmp_path / "mlflow"))


def train(settings: Settings, app: str) -> str:
    folder = settings.models / "classic"
    shutil.rmtree(folder, ignore_errors=True)
    version = seal_tiny_model(folder, metrics=learnt_from(app))
    Metrics.of({"model_version": version, "test": {"n": 3}}).write(settings.models / "metrics.json")
    return version


def followed(settings: Settings) -> TrainingsInMlflow:
    return TrainingsInMlflow(settings, "unused", settings.instance_folder / "mirrors" / "mlflow", MirrorRules)


def test_a_training_is_kept_until_mlflow_has_it_although_another_replaces_it(settings: Settings) -> None:
    trainings, first = followed(settings), train(settings, "first.app")
    trainings.keep({})
    second = train(settings, "second.app")
    assert trainings.marks().keys() == {first, second}
    kept = settings.instance_folder / "mirrors" / "mlflow" / first
    assert first in (kept / "card.md").read_text(encoding="utf-8")
    assert (kept / "model" / "manifest.json").is_file()
    trainings.keep({second: "1"})
    assert not (kept.parent / second).exists(), "MLflow has it already"


def test_a_model_whose_figures_are_not_there_yet_is_no_training(settings: Settings) -> None:
    train(settings, "some.app")
    (settings.models / "metrics.json").unlink()
    assert followed(settings).marks() == {}


def test_the_model_that_went_live_last_is_the_champion_also_after_it_was_stopped(settings: Settings) -> None:
    log = DeploymentLog(settings.service_folder / "deployments.sqlite")
    for model, outcome in (("one", "live"), ("two", "live"), ("three", "refused"), ("two", "stopped")):
        log.add(Entry("2026-03-01", "process", f"r-{model}", model, "d1", "run1", outcome, ""))
    assert followed(settings).marks() == {"champion": "two"}


def test_without_mlflow_installed_the_next_step_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    train(settings, "some.app")
    (line,) = Mirrors.of(settings).catch_up(lambda _: None)
    assert "MLflow lacks 1 of 1 trainings and aliases" in line
    assert "mlflow-skinny is not installed: pip install -r locks/mlflow.txt" in line
