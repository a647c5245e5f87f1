# ruff: noqa: ARG002 - a stand-in takes what the real one takes
"""The process target in memory: same interface, no process."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mlops_assets.deploy.release import Release
from mlops_assets.deploy.service import Deployment, Live
from mlops_assets.failures import PermanentFailure


@dataclass
class FakeProcessService:
    """Serves what it is given; `refuse` is the reason with which every deployment fails."""

    url: str = "http://127.0.0.1:8080"
    refuse: str = ""
    target: str = "process"
    deployed: list[Release] = field(default_factory=list)
    _live: Live | None = None

    def live(self) -> Live | None:
        return self._live

    def deploy(
        self,
        release: Release,
        report: Callable[[str], None],
        *,
        timeout_s: float = 60.0,
        watch_s: float = 2.0,
        caused_by: str = "",
    ) -> Deployment:
        if self.refuse:
            raise PermanentFailure(self.refuse)
        before = self._live
        changed = before is None or before.release_version != release.version
        if changed:
            self.deployed.append(release)
            self._live = Live(
                model_version=release.model_version,
                release_version=release.version,
                dataset_version=release.dataset_version,
                pid=1,
                since="2026-01-01T00:00:00+00:00",
                url=self.url,
            )
        report(f"release {release.version} is live")
        return Deployment(
            release.version,
            release.model_version,
            release.dataset_version,
            self.url,
            changed=changed,
            previous=before.release_version if before else None,
        )

    def stop(self, *, caused_by: str = "") -> bool:
        was, self._live = self._live is not None, None
        return was
