"""Pruning keeps the release of the champion, and says so when no Docker engine answers."""

import json
from pathlib import Path

import pytest

from mlops_assets import outside
from mlops_assets.deploy.backend import Packaged
from mlops_assets.deploy.docker.backend import REPOSITORY
from mlops_assets.deploy.docker.engine import EngineDown
from mlops_assets.deploy.docker.images import ImageRecord
from mlops_assets.deploy.release import build_release
from mlops_assets.serving.log.prediction_store import open_store
from mlops_assets.settings import Settings
from mlops_assets.steps.prune import prune
from tests.fakes.tiny_model import seal_tiny_model
from tests.user_clone import PROJECT, make_clone, settings_of


def test_the_champions_release_stays_although_it_was_never_live(tmp_path: Path) -> None:
    """Built with skip_deploy it would otherwise be built again by the next tick."""
    settings = settings_of(make_clone(tmp_path / "clone"))
    version = seal_tiny_model(settings.models / "champion")
    record = {"model": "classic", "model_version": version, "dataset_version": "d" * 12}
    (settings.models / "champion.json").write_text(json.dumps(record), encoding="utf-8")
    wanted = build_release(settings.models / "champion", settings.releases)
    seal_tiny_model(tmp_path / "old", intercept=1.0)
    older = build_release(tmp_path / "old", settings.releases)
    things = outside.build(settings)
    prune(settings, things["repository"], things["service"], lambda _: None)
    assert wanted.folder.is_dir()
    assert not older.folder.exists()


def test_without_an_engine_pruning_says_so_and_forgets_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    settings = settings_of(make_clone(tmp_path / "clone"), DEPLOY_TARGET="docker")
    record = ImageRecord(settings.service_folder / "images.json")
    settings.service_folder.mkdir(parents=True)
    record.set("r" * 12, Packaged(f"{REPOSITORY}@sha256:{'0' * 64}", (), 1))
    before = record.all()
    things = outside.build(settings)
    for dry_run in (True, False):
        with pytest.raises(EngineDown, match="no Docker engine answers"):
            prune(settings, things["repository"], things["service"], lambda _: None, dry_run=dry_run)
    assert record.all() == before


def test_logged_predictions_go_after_their_days(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    settings = settings_of(make_clone(tmp_path / "clone"), PREDICTION_LOG=str(path), NOW="2026-07-01T00:00:00Z")
    things = outside.build(settings)
    assert prune(settings, things["repository"], things["service"], lambda _: None).predictions == 0
    assert not path.exists()
    log = open_store(f"sqlite:{path}")
    times = {"old": "2026-04-01T00:00:00+00:00", "new": "2026-04-03T00:00:00+00:00"}
    log.write([(name, at, "web", "positive", 1.0, "{}", 4, None, "m", "d") for name, at in times.items()])
    said: list[str] = []
    for dry_run in (True, False):
        assert prune(settings, things["repository"], things["service"], said.append, dry_run=dry_run).predictions == 1
    assert said.count("remove 1 logged predictions that are older than 90 days, with their feedback") == 2
    assert log.remove_before("2027-01-01") == 1
    log.close()


def test_the_defaults_are_those_of_params() -> None:
    from mlops_assets.params.operations import RetentionRules

    section = Settings.load({}, PROJECT).sections["versions"]["retention"]
    assert RetentionRules.from_params(section) == RetentionRules()
