"""Puts the champion's release live and verifies that it answers."""

from collections.abc import Callable
from dataclasses import dataclass

from mlops_assets.deploy.release import read_release
from mlops_assets.deploy.service import Live, Service
from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Settings
from mlops_assets.steps.package import champion_release
from mlops_assets.steps.plan import not_to_deploy
from mlops_assets.steps.preconditions import refuse_missing_upstream
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
    """

    reason: str
    live: Live | None = None
    changed: bool = False


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
    """Deploy the champion's release unless this run must not. If a person rolled back from it, what was rolled back to
    serves on, and is brought back if it does not answer.
    """
    if why := not_to_deploy(settings, git_history, skip=skip):
        report(f"{why}: the running service stays as it is")
        return PutLive(why)
    refuse_missing_upstream("deployed_image", settings, repository)
    release = champion_release(settings)
    hold = service.held_back(release.version)
    if hold:
        report(hold.reason)
        release = read_release(settings.releases / hold.release_version)
    done = service.deploy(release, report, caused_by=f"run {run_id}")
    live = service.live()
    if live is None or live.release_version != release.version:
        answer = live.release_version if live else "nothing"
        raise AnotherReleaseAnswers(
            f"release {release.version} was deployed, but {service.url} answers {answer}: see its log"
        )
    answers = f"model {live.model_version} answers at {live.url}"
    return PutLive(f"{answers}; {hold.reason}" if hold else answers, live, changed=done.changed)
