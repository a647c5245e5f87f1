# ruff: noqa: ARG002 - a stand-in takes what the real one takes
"""A service of one target in memory: same interface, no process, no engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mlops_assets.deploy.history import DeploymentLog, Entry
from mlops_assets.deploy.release import Release
from mlops_assets.deploy.rollout import DeploymentRefused
from mlops_assets.deploy.service import Deployment, Live, Packaged, Target


@dataclass
class FakeService:
    """Serves what it is given; `refuse` is the reason with which every deployment fails, `said` what was asked."""

    target: Target
    log: DeploymentLog
    url: str = "http://127.0.0.1:8080"
    refuse: str = ""
    said: list[str] = field(default_factory=list)
    _live: Live | None = None

    def live(self) -> Live | None:
        return self._live

    def packaged(self, release_version: str) -> Packaged | None:
        return None

    def package(
        self, release: Release, tags: Sequence[str], report: Callable[[str], None], *, made_by: str = ""
    ) -> Packaged | None:
        self.said.append(f"package {release.version}")
        return None

    def deploy(self, release: Release, report: Callable[[str], None], *, caused_by: str = "") -> Deployment:
        self.said.append(f"deploy {release.version}")
        if self.refuse:
            raise DeploymentRefused(self.refuse)
        before = self._live
        self._live = Live(
            release.model_version, release.version, release.dataset_version, 1, "2026-01-01", self.url, self.target
        )
        at = datetime.now(UTC).isoformat()
        versions = (release.version, release.model_version, release.dataset_version)
        self.log.add(Entry(at, self.target, *versions, caused_by=caused_by, outcome="live", reason=""))
        return Deployment(*versions, self.url, changed=True, previous=before.release_version if before else None)

    def prune(self, keep: frozenset[str], report: Callable[[str], None], *, dry_run: bool = False) -> None:
        self.said.append("prune")

    def stop(self, *, caused_by: str = "") -> bool:
        self.said.append("stop")
        was, self._live = self._live is not None, None
        return was
