"""Run history past its retention goes with all that it left on the disk; what an asset's page shows stays."""

import json
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets import outside
from mlops_assets.automation.housekeeping import prune, prune_runs
from mlops_assets.deploy.docker.engine import EngineDown
from mlops_assets.deploy.docker.image_record import ImageRecord
from mlops_assets.deploy.docker.service import REPOSITORY
from mlops_assets.deploy.release import build_release
from mlops_assets.deploy.service import Packaged
from mlops_assets.settings import Settings
from tests.fakes.tiny_model import seal_tiny_model
from tests.user_clone import PROJECT, make_clone, settings_of


@dg.asset
def once() -> None:
    """Materialized by the first run alone."""


@dg.op
def say() -> None:
    print("something for the compute log")  # noqa: T201  that is what is captured


@dg.job
def talk() -> None:
    say()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "params.yaml").write_text(
        "apps: [com.example.app]\nversions: {retention: {runs_days: 0}}\n", encoding="utf-8"
    )
    return Settings.load({}, tmp_path)


def test_old_runs_go_with_their_files_and_the_latest_materialization_stays(settings: Settings) -> None:
    home = settings.instance_folder
    summaries = home / "summaries"
    summaries.mkdir(parents=True)
    said: list[str] = []
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        shown = dg.materialize([once], instance=instance).run_id
        talked = [talk.execute_in_process(instance=instance).run_id for _ in range(4)]
        for run_id in (shown, *talked):
            for suffix in (".json", ".md", ".html"):
                (summaries / f"{run_id}{suffix}").touch()
        left = _runs_on_disk(home)
        assert prune_runs(instance, settings, said.append, newest=1, dry_run=True) == 3
        assert _runs_on_disk(home) == left

        assert prune_runs(instance, settings, said.append, newest=1) == 3
        assert {run.run_id for run in instance.get_runs()} == {shown, talked[-1]}
        assert _runs_on_disk(home) == {shown, talked[-1]}
        assert instance.get_latest_materialization_event(once.key).run_id == shown
        assert prune_runs(instance, settings, said.append, newest=1) == 0
    assert said[0] == "remove 3 runs that began more than 0 days ago: their events, logs and summaries"


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


def test_the_defaults_are_those_of_params(settings: Settings) -> None:
    from mlops_assets.versioning.retention_plan import RetentionRules

    section = Settings.load({}, PROJECT).sections["versions"]["retention"]
    assert RetentionRules.from_params(section) == RetentionRules()


def _runs_on_disk(home: Path) -> set[str]:
    """The runs of which any file is left."""
    names = (part.split(".")[0] for path in home.rglob("*") for part in path.relative_to(home).parts)
    return {name for name in names if len(name) == 36 and name.count("-") == 4}
