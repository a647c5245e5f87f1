"""The service: one public port, what answers on it, and how a release gets there and back."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mlops_assets.deploy.approval import Approval
from mlops_assets.deploy.backend import Backend, Packaged, Part, Report, Servers, Target
from mlops_assets.deploy.canary import refuse_without_shares
from mlops_assets.deploy.history import (
    ALL,
    KEPT,
    ROLLBACK,
    DeploymentLog,
    Hold,
    Record,
    choose,
    hold_after_rollback,
    now,
)
from mlops_assets.deploy.release import Release, read_release
from mlops_assets.deploy.rollout import DeploymentRefused, RolledBack, roll_out, try_beside
from mlops_assets.deploy.service_client import NoAnswer
from mlops_assets.failures import Failure
from mlops_assets.params.operations import Watching
from mlops_assets.settings import DeployTarget


@dataclass(frozen=True)
class Live:
    """What answers on the public port, by its own word; `since` is ISO time in UTC, `pid` 0 in a container.

    moved_from: the folder that it was started in, if that has been moved since
    other_settings: the names of the settings that have changed since it was started
    canary: the release that has a share of the requests beside it, and its share
    """

    model_version: str
    release_version: str
    dataset_version: str
    pid: int
    since: str
    url: str
    target: Target = "process"
    moved_from: str = ""
    other_settings: str = ""
    canary: str = ""


@dataclass(frozen=True)
class Deployment:
    """What a deployment did; `changed` is False if the release served already."""

    release_version: str
    model_version: str
    dataset_version: str
    url: str
    changed: bool
    previous: str | None


class Service:
    """One public port. Its target is settled at the first question: `auto` takes the first backend that is usable.

    If another target serves, a deployment moves the service from there.
    """

    def __init__(self, *backends: Backend, wanted: DeployTarget = "auto", watching: Watching | None = None) -> None:
        """`backends` in the order of preference; they share one folder."""
        self._backends, self._watching = backends, watching or Watching()
        self._wanted: DeployTarget = wanted
        self._settled: Backend | None = None
        self.folder = backends[0].folder
        self.log = DeploymentLog(self.folder / "deployments.sqlite")
        self.approval = Approval(self.log, self._watching)

    @property
    def target(self) -> Target:
        """Where a deployment goes."""
        return self._chosen.target

    @property
    def url(self) -> str:
        """The address for people and programs."""
        return self._chosen.url

    def refuse_steps_without_shares(self) -> None:
        """Raise `BadSetting` if `deploy.steps` asks for what the target cannot do: before a run, not after training."""
        if self._watching.is_gradual:
            refuse_without_shares(self._watching, self.target, self._wanted)

    def is_deploying(self) -> bool:
        """Whether a deployment is under way; does not wait for it."""
        try:
            with self._lock().acquire(timeout=0):
                return False
        except Timeout:
            return True

    def live(self) -> Live | None:
        """What serves, asked on the public port; its `target` says where. None if nothing of ours does."""
        for backend in (self._chosen, *self._others()):
            if (live := _ask(backend)) is not None:
                return live
        return None

    def trouble(self) -> str:
        """What happened to the live server since it was started; empty if nothing did."""
        return next(filter(None, (backend.trouble() for backend in (self._chosen, *self._others()))), "")

    def read_log(self, part: Part, lines: int, *, follow: bool = False) -> Iterator[str]:
        """The last lines of a log, then with `follow` those to come."""
        for backend in (self._chosen, *self._others()):
            yield from backend.read_log(part, lines, follow=follow)

    def answers_without_key(self) -> bool:
        """Whether what serves tells a client without a key what only a client with a key may know."""
        return any(_open(backend) for backend in (self._chosen, *self._others()))

    def packaged(self, release_version: str) -> Packaged | None:
        """The release's image if it was proven and pushed."""
        return self._chosen.packaged(release_version)

    def package(self, release: Release, tags: tuple[str, ...], report: Report, *, made_by: str = "") -> Packaged | None:
        """Build, prove and push the release's image if the target runs images."""
        with self._lock():
            return self._chosen.package(release, tags, report, made_by=made_by)

    def deploy(
        self,
        release: Release,
        report: Report,
        *,
        caused_by: str = "",
        watching: Watching | None = None,
        at_once: bool = False,
    ) -> Deployment:
        """Put `release` live; raises `DeploymentRefused` or `RolledBack` with the old one serving as before.

        It goes by the steps of `deploy.steps` unless `at_once` is set or nothing or the same release serves.

        Two targets cannot hold one port, so a move between targets, and nothing else, pauses the service. If the new
        target refuses the release, what served before is put back. A second deployment waits for the first.
        """
        watching = watching or self._watching
        if at_once:
            watching = watching.at_once()
        refuse_without_shares(watching, self.target, self._wanted)
        before = next(((other, live) for other in self._others() if (live := _ask(other))), None)
        if before is None:
            return self._deploy(self._chosen, release, report, caused_by, watching)
        other, live = before
        self.package(release, (), report)  # as much as possible before the pause
        report(
            f"the service moves from target {other.target} to {self.target}: "
            f"release {live.release_version} at {live.url} stops first"
        )
        self._end(other, caused_by=f"the move to target {self.target}")
        try:
            return self._deploy(self._chosen, release, report, caused_by, watching)
        except Failure:
            old = release.folder.parent / live.release_version
            if old.is_dir():
                report(f"release {live.release_version} goes back to target {other.target}")
                self._end(self._chosen)
                self._deploy(other, read_release(old), report, f"the move to {self.target} failed", watching.at_once())
            raise

    def held_back(self, wanted: str) -> Hold | None:
        """What serves instead of release `wanted`: a person rolled back from it, or has not approved it. None if it may
        go live.
        """
        return hold_after_rollback(self.log.entries(ALL), wanted) or self.approval.hold(wanted)

    def park(self, release: Release, report: Report, *, caused_by: str) -> bool:
        """Try the release out, then have it wait for approval. False if it waits already or needs none.

        An image was proven when it was built; without one, a server of the release answers beside the one that serves.
        """
        backend = self._chosen
        with self._lock():
            if not self.approval.must_ask(release.version):
                return False
            image = backend.package(release, (), report, made_by="")
            record = Record(self.log, backend.target, release, caused_by, image.reference if image else "")
            try:
                if image is None:
                    with backend.servers(None) as servers:
                        try_beside(release, servers, timeout_s=self._watching.ready_timeout_s)
            except DeploymentRefused as error:
                record.add("refused", error)
                raise
            record.add("waits")
        return True

    def roll_back(self, releases: Path, to: str, report: Report, *, asked_by: str) -> Deployment:
        """Put an earlier release live, from this machine alone; `to` is a release or model version, or empty."""
        live = self.live()
        entry = choose(self.log.last_live(KEPT + 1), live.release_version if live else None, to or None)
        release = read_release(releases / entry.release_version)
        return self.deploy(release, report, caused_by=f"{ROLLBACK} by {asked_by}", at_once=True)

    def resume(self, releases: Path, report: Report, *, caused_by: str) -> Deployment | None:
        """Have the release that was live last serve with the present settings; None if none was live yet."""
        last = self.log.last_live(1)
        if not last:
            return None
        return self.deploy(read_release(releases / last[0].release_version), report, caused_by=caused_by, at_once=True)

    def prune(self, keep: frozenset[str], report: Report, *, dry_run: bool = False) -> None:
        """Say what will go, then remove it: all but what serves and what was packaged of releases in `keep`."""
        for backend in (self._chosen, *self._others()):
            with self._lock():
                backend.prune(keep, report, dry_run=dry_run)

    def stop(self, *, caused_by: str = "") -> bool:
        """End the service on every target; whether there was one."""
        stopped = [self._end(backend, caused_by) for backend in (self._chosen, *self._others())]
        return any(stopped)

    @property
    def _chosen(self) -> Backend:
        if self._settled is None:
            self._settled = next(filter(self._fits, self._backends), self._backends[-1])
        return self._settled

    def _fits(self, backend: Backend) -> bool:
        return backend.usable() if self._wanted == "auto" else backend.target == self._wanted

    def _others(self) -> list[Backend]:
        """The other targets that may serve; their engine is asked only if it was used here."""
        others = (known for known in self._backends if known is not self._chosen)
        return [other for other in others if other.was_used() and other.usable()]

    def _lock(self) -> FileLock:
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / "lock")

    def _deploy(
        self, backend: Backend, release: Release, report: Report, caused_by: str, watching: Watching
    ) -> Deployment:
        with self._lock():
            image = backend.package(release, (), report, made_by="")
            record = Record(self.log, backend.target, release, caused_by, image.reference if image else "")
            with backend.servers(image) as servers:
                before = servers.current()
                previous = None if before is None else _version_of(before, servers)
                try:
                    by_steps = previous not in {None, release.version}
                    instance = roll_out(
                        release,
                        servers,
                        report,
                        watching if by_steps else watching.at_once(),
                        record=record.add_step,
                    )
                except (DeploymentRefused, RolledBack) as error:
                    record.add("rolled back" if isinstance(error, RolledBack) else "refused", error)
                    raise
                changed = before is None or instance.name != before.name
                if changed or not record.is_live():
                    record.add("live")
        versions = (release.version, release.model_version, release.dataset_version)
        return Deployment(*versions, backend.url, changed=changed, previous=previous)

    def _end(self, backend: Backend, caused_by: str = "") -> bool:
        with self._lock():
            stopped = backend.end()
            newest = self.log.newest()
            if newest is not None and (newest.outcome, newest.target) == ("live", backend.target):
                self.log.add(replace(newest, at=now(), outcome="stopped", caused_by=caused_by, reason=""))
        return stopped


def _ask(backend: Backend) -> Live | None:
    public = backend.live()
    if public is None:
        return None
    try:
        health = public.client.ask("GET", "/health")
    except NoAnswer:
        return None
    if health.status != 200:
        return None
    return Live(
        model_version=str(health.body["model_version"]),
        release_version=str(health.body["release_version"]),
        dataset_version=str(health.body["dataset_version"]),
        pid=public.pid,
        since=public.since,
        url=backend.url,
        target=backend.target,
        moved_from=public.moved_from,
        other_settings=public.other_settings,
        canary=public.canary,
    )


def _open(backend: Backend) -> bool:
    public = backend.live()
    try:
        return public is not None and public.client.ask("GET", "/model/info").status == 200
    except NoAnswer:
        return False


def _version_of(instance: Any, servers: Servers[Any]) -> str | None:
    try:
        return servers.ask(instance, "GET", "/health").body.get("release_version")
    except NoAnswer:
        return None
