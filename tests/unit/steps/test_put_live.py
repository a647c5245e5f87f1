"""The champion is packaged and put live, unless the run must not or a person rolled back from it."""

import json
import shutil
from pathlib import Path

import pytest

from mlops_assets import outside
from mlops_assets.deploy.rollout import DeploymentRefused
from mlops_assets.deploy.service import Live, Service
from mlops_assets.settings import Settings
from mlops_assets.steps.package import ReleasePackage, package
from mlops_assets.steps.plan import serving_due
from mlops_assets.steps.preconditions import UpstreamMissing
from mlops_assets.steps.put_live import AnotherReleaseAnswers, PutLive, put_live
from mlops_assets.training.due import Due
from tests.fakes.service import UNWATCHED, FakeBackend, silent
from tests.fakes.tiny_model import seal_tiny_model
from tests.user_clone import make_clone, settings_of


class Steps:
    """Both steps in a clone of their own, on a service in memory."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.backend = settings, FakeBackend(settings.service_folder)
        self.service = Service(self.backend, watching=UNWATCHED)
        things = outside.build(settings)
        self.outside = things["repository"], things["git_history"]

    def choose(self, intercept: float) -> None:
        """A champion as if it had been chosen."""
        shutil.rmtree(self.settings.models / "champion", ignore_errors=True)
        version = seal_tiny_model(self.settings.models / "champion", intercept=intercept)
        record = {"model": "classic", "model_version": version, "dataset_version": "d" * 12}
        (self.settings.models / "champion.json").write_text(json.dumps(record), encoding="utf-8")

    def package(self) -> ReleasePackage:
        return package(self.settings, self.service, *self.outside, silent, run_id="1")

    def due(self) -> Due:
        return serving_due(self.settings, self.service, None)

    def put_live(self, *, skip: bool = False) -> PutLive:
        return put_live(self.settings, self.service, *self.outside, silent, skip=skip, run_id="1")


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps(settings_of(make_clone(tmp_path / "clone")))


def test_without_a_champion_both_steps_name_what_to_materialize_first(steps: Steps) -> None:
    for step in (steps.package, steps.put_live):
        with pytest.raises(UpstreamMissing, match="needs champion_model"):
            step()


def test_the_champions_release_goes_live_once(steps: Steps) -> None:
    steps.choose(0.0)
    release = steps.package().release
    first, second = steps.put_live(), steps.put_live()
    assert first.live is not None
    assert first.live.release_version == release.version
    assert (first.changed, second.changed) == (True, False)
    assert [entry.caused_by for entry in steps.service.log.entries()] == ["run 1"]


def test_a_run_that_must_not_deploy_says_why_and_touches_nothing(steps: Steps) -> None:
    steps.choose(0.0)
    assert steps.put_live(skip=True) == PutLive("skip_deploy is set")
    assert steps.service.live() is None


def test_a_release_that_was_rolled_back_from_is_held_back(steps: Steps) -> None:
    for intercept in (0.0, 0.4):
        steps.choose(intercept)
        steps.put_live()
    steps.service.roll_back(steps.settings.releases, "", silent, asked_by="make rollback")
    before = steps.service.live()
    assert before is not None
    kept = steps.put_live()
    assert "make rollback TO=" in kept.reason
    assert (kept.live, kept.changed) == (before, False)
    assert steps.service.live() == before
    assert not steps.due()


def test_a_service_that_died_after_a_rollback_is_brought_back_to_what_was_rolled_back_to(steps: Steps) -> None:
    for intercept in (0.0, 0.4):
        steps.choose(intercept)
        steps.put_live()
    to = steps.service.roll_back(steps.settings.releases, "", silent, asked_by="make rollback").release_version
    for _ in range(2):  # it dies again, and the hold outlives the run that brought it back
        steps.backend.serving = None
        assert steps.due().reason == "the service does not answer"
        again = steps.put_live()
        assert again.live is not None
        assert (again.live.release_version, again.changed) == (to, True)
        assert f"was rolled back to {to}" in again.reason
        assert not steps.due()


def test_a_dead_service_that_cannot_be_brought_back_after_a_rollback_fails_the_run(steps: Steps) -> None:
    for intercept in (0.0, 0.4):
        steps.choose(intercept)
        steps.put_live()
    steps.service.roll_back(steps.settings.releases, "", silent, asked_by="make rollback")
    steps.backend.serving, steps.backend.behaviour = None, "broken"
    with pytest.raises(DeploymentRefused, match="nothing serves, as before"):
        steps.put_live()


def test_a_rollback_holds_although_the_service_moved_to_another_target(steps: Steps) -> None:
    for intercept in (0.0, 0.4):
        steps.choose(intercept)
        steps.put_live()
    to = steps.service.roll_back(steps.settings.releases, "", silent, asked_by="make rollback").release_version
    docker = FakeBackend(steps.backend.folder, "docker", behaviour="broken")
    steps.service = Service(docker, steps.backend, wanted="docker", watching=UNWATCHED)
    assert steps.due().reason == "target docker is wanted, process serves"
    with pytest.raises(DeploymentRefused):
        steps.put_live()
    docker.behaviour = ""
    moved = steps.put_live().live
    assert moved is not None
    assert (moved.target, moved.release_version) == ("docker", to)


def test_settings_that_changed_are_a_deployment(steps: Steps) -> None:
    steps.choose(0.0)
    steps.put_live()
    steps.backend.settings = "a key"
    assert "live with other settings than these: API_KEYS" in steps.due().reason
    assert steps.put_live().changed
    assert not steps.due()
    assert not steps.put_live().changed


def test_a_deployment_that_does_not_answer_afterwards_fails(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    steps.choose(0.0)

    def gone() -> Live | None:
        return None

    monkeypatch.setattr(steps.service, "live", gone)
    with pytest.raises(AnotherReleaseAnswers, match=r"was deployed, but .* answers nothing"):
        steps.put_live()
