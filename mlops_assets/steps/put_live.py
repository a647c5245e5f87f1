"""Puts the champion's release live and verifies that it answers, or has it wait for a person's approval."""

from collections.abc import Callable
from dataclasses import dataclass

from mlops_assets.deploy.approval import Decision, Waiting
from mlops_assets.deploy.history import Entry
from mlops_assets.deploy.release import Release, read_release, release_version
from mlops_assets.deploy.service import Deployment, Live, Service
from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Settings
from mlops_assets.steps.package import champion_release
from mlops_assets.steps.plan import not_to_deploy
from mlops_assets.steps.preconditions import refuse_missing_upstream
from mlops_assets.training.champion import champion_folder
from mlops_assets.versioning.git.history import GitHistory
from mlops_assets.versioning.repository import VersionRepository


class AnotherReleaseAnswers(PermanentFailure):
    """The deployment succeeded, and the public port does not answer with its release."""


@dataclass(frozen=True)
class PutLive:
    """What became of the service.

    reason: why it serves what it serves
    live: what answers; None if this run deploys nothing
    changed: False if the release served already
    waiting: the champion's release, if it waits for approval
    asked: whether this run asked for that approval
    """

    reason: str
    live: Live | None = None
    changed: bool = False
    waiting: Waiting | None = None
    asked: bool = False


def put_live(
    settings: Settings,
    service: Service,
    repository: VersionRepository,
    git_history: GitHistory,
    report: Callable[[str], None],
    *,
    skip: bool,
    run_id: str,
) -> PutLive:
    """Deploy the champion's release unless this run must not. If a person rolled back from it or has not approved it,
    what served before serves on, and is brought back if it does not answer.
    """
    if why := not_to_deploy(settings, git_history, skip=skip):
        report(f"{why}: the running service stays as it is")
        return PutLive(why)
    refuse_missing_upstream("deployed_image", settings, repository)
    release = champion_release(settings)
    asked = service.park(release, report, caused_by=f"run {run_id}")
    hold, waiting = service.held_back(release.version), service.approval.waiting(release.version)
    if hold:
        report(hold.reason)
        if not hold.release_version:
            return PutLive(hold.reason, waiting=waiting, asked=asked)
        release = read_release(settings.releases / hold.release_version)
    done, live = _deploy_and_ask(service, release, report, caused_by=f"run {run_id}")
    answers = f"model {live.model_version} answers at {live.url}"
    reason = f"{answers}; {hold.reason}" if hold else answers
    return PutLive(reason, live, changed=done.changed, waiting=waiting, asked=asked)


def decide(
    settings: Settings, service: Service, decision: Decision, release: str, *, by: str, how: str, comment: str = ""
) -> Entry:
    """Put a person's approval or rejection of a waiting release on record; raises `NotDecided`. Deploys nothing."""
    wanted = champions_release_version(settings)
    return service.approval.decide(decision, release, wanted=wanted, by=by, how=how, comment=comment)


def champions_release_version(settings: Settings) -> str:
    """The name of the champion's release, which may not be built yet; empty without a champion."""
    champion = champion_folder(settings.models)
    return release_version(champion, lock=settings.serving_lock) if champion else ""


def deploy_approved(
    settings: Settings, service: Service, approved: Entry, report: Callable[[str], None], *, caused_by: str
) -> PutLive:
    """Put a release live that a person approved."""
    release = read_release(settings.releases / approved.release_version)
    done, live = _deploy_and_ask(service, release, report, caused_by=caused_by)
    return PutLive(f"model {live.model_version} answers at {live.url}", live, changed=done.changed)


def _deploy_and_ask(
    service: Service, release: Release, report: Callable[[str], None], *, caused_by: str
) -> tuple[Deployment, Live]:
    """Deploy, then ask on the public port; raises `AnotherReleaseAnswers`."""
    done = service.deploy(release, report, caused_by=caused_by)
    live = service.live()
    if live is None or live.release_version != release.version:
        answer = live.release_version if live else "nothing"
        raise AnotherReleaseAnswers(
            f"release {release.version} was deployed, but {service.url} answers {answer}: see its log"
        )
    return done, live
