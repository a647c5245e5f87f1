"""The champion is packaged and put live, unless the run must not or a person rolled back from it."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mlops_assets import outside
from mlops_assets.deploy.approval import NotDecided
from mlops_assets.deploy.backend import Packaged
from mlops_assets.deploy.release import read_release
from mlops_assets.deploy.rollout import DeploymentRefused
from mlops_assets.deploy.service import Live, Service
from mlops_assets.failures import BadSetting
from mlops_assets.params.operations import Watching
from mlops_assets.settings import Settings
from mlops_assets.steps.package import ReleasePackage, package
from mlops_assets.steps.plan import due_below, serving_due
from mlops_assets.steps.preconditions import UpstreamMissing
from mlops_assets.steps.put_live import AnotherReleaseAnswers, PutLive, decide, deploy_approved, put_live
from mlops_assets.training.due import Due
from tests.fakes.service import UNWATCHED, FakeBackend, silent
from tests.fakes.tiny_model import seal_tiny_model
from tests.user_clone import make_clone, settings_of

ASKING = UNWATCHED.model_copy(update={"approval": "required"})


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


def test_a_share_that_a_killed_deployment_left_is_taken_back_although_the_right_release_is_live(steps: Steps) -> None:
    for intercept in (0.4, 0.0):
        steps.choose(intercept)
        steps.put_live()
    left = read_release(steps.settings.releases / steps.service.log.entries()[1].release_version)
    steps.backend.share(steps.backend.start(left), 25)
    assert (
        steps.due().reason
        == f"release {left.version} has 25 % of the requests: a deployment is under way, or was killed"
    )
    assert not steps.put_live().changed
    assert steps.backend.share_of(steps.backend.serving) == 100
    assert not steps.due()


def test_steps_that_the_target_does_not_know_are_refused_before_a_training(steps: Steps) -> None:
    service = Service(steps.backend, wanted="process", watching=Watching(steps=(5, 100)))
    counts: Any = None  # nothing is counted before
    with pytest.raises(BadSetting, match=r"deploy\.steps must be \[100\] with target process"):
        due_below(steps.settings, service, steps.outside[1], "d" * 12, counts, force_retrain=False, skip_deploy=False)


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


@pytest.fixture
def asking(steps: Steps) -> Steps:
    """A release serves, and from now on a person must approve a new one."""
    steps.choose(0.0)
    steps.put_live()
    steps.service = Service(steps.backend, watching=ASKING)
    return steps


def test_a_new_release_is_tried_and_waits_while_the_old_one_serves(asking: Steps) -> None:
    assert not asking.due()  # what serves was live before approval was required
    before, said = asking.service.live(), list(asking.backend.said)
    asking.choose(0.4)
    assert asking.due()
    first = asking.put_live()
    assert (first.live, first.changed, first.asked) == (before, False, True)
    assert first.waiting is not None
    assert f"release {first.waiting.entry.release_version} waits for approval until" in first.reason
    assert f"process starts {first.waiting.entry.release_version}" in asking.backend.said[len(said) :]
    assert [server.release.version for server in asking.backend.stopped] == [first.waiting.entry.release_version]
    assert not asking.due()
    again = asking.put_live()
    assert (again.live, again.asked, again.waiting) == (before, False, first.waiting)
    assert [entry.outcome for entry in asking.service.log.entries()] == ["waits", "live"]


def test_what_a_person_approves_goes_live_once(asking: Steps) -> None:
    asking.choose(0.4)
    asking.put_live()
    for _ in range(2):
        approved = decide(asking.settings, asking.service, "approve", "", by="Ani", how="make approve")
        done = deploy_approved(asking.settings, asking.service, approved, silent, caused_by="approval by Ani")
        assert done.live is not None
        assert done.live.release_version == approved.release_version
    assert [entry.outcome for entry in asking.service.log.entries()] == ["live", "approved", "waits", "live"]
    assert not asking.due()
    asking.backend.settings = "a key"  # the approval holds for other settings too
    assert asking.put_live().changed


def test_a_run_and_an_approval_at_the_same_moment_deploy_once(asking: Steps) -> None:
    asking.choose(0.4)
    asking.put_live()
    approved = decide(asking.settings, asking.service, "approve", "", by="Ani", how="make approve")

    def by_hand() -> PutLive:
        return deploy_approved(asking.settings, asking.service, approved, silent, caused_by="approval by Ani")

    with ThreadPoolExecutor(2) as both:
        done = [both.submit(by_hand), both.submit(asking.put_live)]
    assert sorted(each.result().changed for each in done) == [False, True]
    assert [entry.outcome for entry in asking.service.log.entries()] == ["live", "approved", "waits", "live"]


def test_an_approved_release_whose_deployment_was_lost_is_put_live_by_the_next_run(asking: Steps) -> None:
    asking.choose(0.4)
    asking.put_live()
    approved = decide(asking.settings, asking.service, "approve", "", by="Ani", how="page")
    assert asking.due()
    done = asking.put_live()
    assert done.live is not None
    assert (done.live.release_version, done.waiting) == (approved.release_version, None)


def test_while_a_release_waits_a_service_that_died_comes_back_without_it(asking: Steps) -> None:
    before = asking.service.live()
    assert before is not None
    asking.choose(0.4)
    asking.put_live()
    asking.backend.serving = None
    assert asking.due()
    back = asking.put_live().live
    assert back is not None
    assert back.release_version == before.release_version


def test_an_image_was_tried_when_it_was_built(asking: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Packaged("registry/model@sha256:0", (), 1)
    monkeypatch.setattr(asking.backend, "package", lambda *_given, **_options: image)
    asking.choose(0.4)
    assert asking.put_live().asked
    assert asking.service.log.entries()[0].image == image.reference
    assert [line for line in asking.backend.said if "starts" in line] == asking.backend.said[-1:]


def test_a_release_that_fails_its_trial_is_refused_and_nobody_is_asked(asking: Steps) -> None:
    asking.choose(0.4)
    asking.backend.behaviour = "wrong answers"
    with pytest.raises(DeploymentRefused, match="when it was tried, it answers"):
        asking.put_live()
    assert [entry.outcome for entry in asking.service.log.entries()] == ["refused", "live"]
    assert len(asking.backend.stopped) == 1


def test_the_first_release_of_all_waits_too_and_a_rejected_one_stays_out(steps: Steps) -> None:
    steps.service = Service(steps.backend, watching=ASKING)
    steps.choose(0.0)
    first = steps.put_live()
    assert (first.live, first.asked) == (None, True)
    assert not steps.due()
    decide(steps.settings, steps.service, "reject", "", by="Ani", how="make reject", comment="no")
    assert (steps.put_live().waiting, bool(steps.due())) == (None, False)
    steps.choose(0.4)
    assert steps.put_live().asked
    steps.choose(0.0)
    with pytest.raises(NotDecided, match="does not wait"):
        decide(steps.settings, steps.service, "approve", "0" * 12, by="Ani", how="make approve")
    with pytest.raises(NotDecided, match="superseded"):
        decide(steps.settings, steps.service, "approve", "", by="Ani", how="make approve")


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
