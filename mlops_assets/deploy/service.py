"""The service whatever runs it: what the targets promise, which one is asked, and the way back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from mlops_assets.deploy.history import DeploymentLog, Entry, Outcome
from mlops_assets.deploy.release import Release, read_release
from mlops_assets.deploy.rollback import KEPT, choose
from mlops_assets.failures import Failure
from mlops_assets.settings import DeployTarget

Target = Literal["process", "docker"]
Report = Callable[[str], None]

ROLLBACK = "rollback"
"""What `caused_by` of a deployment begins with where a person went back."""


@dataclass(frozen=True)
class Live:
    """What answers on the public port, by its own word; `since` is ISO time in UTC, `pid` 0 in a container.

    moved_from: the folder that it was started in, if that has been moved since
    """

    model_version: str
    release_version: str
    dataset_version: str
    pid: int
    since: str
    url: str
    target: Target = "process"
    moved_from: str = ""


@dataclass(frozen=True)
class Deployment:
    """What a deployment did; `changed` is False where the release served already."""

    release_version: str
    model_version: str
    dataset_version: str
    url: str
    changed: bool
    previous: str | None


@dataclass(frozen=True)
class Packaged:
    """A pushed image; `reference` names it by digest and so never means another one."""

    reference: str
    tags: tuple[str, ...]
    size_bytes: int


class Service(Protocol):
    """One public port and what answers on it."""

    @property
    def log(self) -> DeploymentLog:
        """What was live when."""
        ...

    @property
    def target(self) -> Target:
        """Where a deployment goes."""
        ...

    @property
    def url(self) -> str:
        """Where people and programs ask."""
        ...

    def live(self) -> Live | None:
        """What serves, asked on the public port; None where nothing of ours does."""
        ...

    def packaged(self, release_version: str) -> Packaged | None:
        """The release's image where it is proven and pushed; None where there is none."""
        ...

    def package(self, release: Release, tags: Sequence[str], report: Report, *, made_by: str = "") -> Packaged | None:
        """Make what a deployment of the release needs beyond its folder; None where that is nothing."""
        ...

    def deploy(self, release: Release, report: Report, *, caused_by: str = "") -> Deployment:
        """Put `release` live; raises `DeploymentRefused` or `RolledBack` with the old one serving as before."""
        ...

    def prune(self, keep: frozenset[str], report: Report, *, dry_run: bool = False) -> None:
        """Say what will go, then remove it: all but what serves and what was packaged of releases in `keep`."""
        ...

    def stop(self, *, caused_by: str = "") -> bool:
        """End the service; whether there was one."""
        ...


class TargetedService:
    """The service by the target that the settings ask for; a service of the other target gives way to it.

    `auto` is settled at the first question: docker where an engine answers, else process.
    """

    def __init__(
        self,
        wanted: DeployTarget,
        process: Service,
        docker: Service,
        *,
        engine_answers: Callable[[], bool],
        docker_was_used: Callable[[], bool],
    ) -> None:
        self._process, self._docker = process, docker
        self._engine_answers, self._docker_was_used = engine_answers, docker_was_used
        self._target: Target | None = None if wanted == "auto" else wanted
        self.log = process.log

    @property
    def target(self) -> Target:
        """Where a deployment goes."""
        if self._target is not None:
            return self._target
        found: Target = "docker" if self._engine_answers() else "process"
        self._target = found
        return found

    @property
    def url(self) -> str:
        """Where people and programs ask."""
        return self._chosen.url

    def live(self) -> Live | None:
        """What serves, by whichever target; its `target` says which."""
        live = self._chosen.live()
        if live is None and (other := self._other()) is not None:
            return other.live()
        return live

    def packaged(self, release_version: str) -> Packaged | None:
        """The release's image where target is docker and it is proven and pushed."""
        return self._chosen.packaged(release_version)

    def package(self, release: Release, tags: Sequence[str], report: Report, *, made_by: str = "") -> Packaged | None:
        """Build, prove and push the release's image where the target is docker."""
        return self._chosen.package(release, tags, report, made_by=made_by)

    def deploy(self, release: Release, report: Report, *, caused_by: str = "") -> Deployment:
        """Put `release` live on the target; where the other target holds the port it stops first.

        Two targets cannot hold one port, so this move, and only this one, pauses the service. Where the target refuses
        the release, what served before is put back.
        """
        other = self._other()
        before = other.live() if other is not None else None
        if other is None or before is None:
            return self._chosen.deploy(release, report, caused_by=caused_by)
        self._chosen.package(release, (), report)  # As much as possible before the pause.
        report(
            f"the service moves from target {other.target} to {self.target}: "
            f"release {before.release_version} at {before.url} stops first"
        )
        other.stop(caused_by=f"the move to target {self.target}")
        try:
            return self._chosen.deploy(release, report, caused_by=caused_by)
        except Failure:
            old = release.folder.parent / before.release_version
            if old.is_dir():
                report(f"release {before.release_version} goes back to target {other.target}")
                self._chosen.stop()
                other.deploy(read_release(old), report, caused_by=f"the move to {self.target} failed")
            raise

    def prune(self, keep: frozenset[str], report: Report, *, dry_run: bool = False) -> None:
        """Remove images of releases that are not in `keep`, also where the target was docker before."""
        self._chosen.prune(keep, report, dry_run=dry_run)
        if (other := self._other()) is not None:
            other.prune(keep, report, dry_run=dry_run)

    def stop(self, *, caused_by: str = "") -> bool:
        """End the service on either target; whether there was one."""
        other = self._other()
        stopped = self._chosen.stop(caused_by=caused_by)
        return (other.stop(caused_by=caused_by) if other is not None else False) or stopped

    @property
    def _chosen(self) -> Service:
        return self._docker if self.target == "docker" else self._process

    def _other(self) -> Service | None:
        """The other target where it may serve; the engine is asked only where it was used here."""
        if self.target == "docker":
            return self._process
        return self._docker if self._docker_was_used() and self._engine_answers() else None


def note(
    log: DeploymentLog,
    target: Target,
    release: Release,
    outcome: Outcome,
    *,
    caused_by: str,
    error: Failure | None = None,
    image: str = "",
) -> None:
    """Put a deployment on record."""
    log.add(
        Entry(
            at=_now(),
            target=target,
            release_version=release.version,
            model_version=release.model_version,
            dataset_version=release.dataset_version,
            caused_by=caused_by,
            outcome=outcome,
            reason=str(error).splitlines()[0] if error is not None else "",
            image=image,
        )
    )


def on_record(log: DeploymentLog, target: Target, release: Release) -> bool:
    """Whether the log says that `release` is live: a deployment killed after its switch has left no entry."""
    newest = log.newest()
    return newest is not None and (newest.outcome, newest.target, newest.release_version) == (
        "live",
        target,
        release.version,
    )


def note_stop(log: DeploymentLog, target: Target, *, caused_by: str) -> None:
    """Put on record that what `target` served has stopped."""
    newest = log.newest()
    if newest is not None and (newest.outcome, newest.target) == ("live", target):
        log.add(replace(newest, at=_now(), outcome="stopped", caused_by=caused_by, reason=""))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def held_back(service: Service, wanted: str) -> str | None:
    """Why `wanted` must not go live by itself: a person went back from it. None where it may."""
    lives = [entry for entry in service.log.entries() if entry.outcome == "live"]
    if not lives or not lives[0].caused_by.startswith(ROLLBACK) or lives[0].release_version == wanted:
        return None
    if wanted not in {entry.release_version for entry in lives[1:]}:
        return None
    return (
        f"release {wanted} was rolled back to {lives[0].release_version} ({lives[0].caused_by}): "
        f"it stays until there is a new one, or make rollback TO={wanted}"
    )


def roll_back(service: Service, releases: Path, to: str, report: Report, *, asked_by: str) -> Deployment:
    """An earlier release live again, from this machine alone; `to` is a release or model version, or empty."""
    live = service.live()
    entry = choose(service.log.last_live(KEPT + 1), live.release_version if live else None, to or None)
    return service.deploy(read_release(releases / entry.release_version), report, caused_by=f"{ROLLBACK} by {asked_by}")
