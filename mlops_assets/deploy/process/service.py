"""The deploy target `process`: the service as a local process that survives the one that deployed it."""

# ruff: noqa: ARG002 - it promises what the other target needs, and needs none of it

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from mlops_assets.deploy.history import DeploymentLog
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.release import Release
from mlops_assets.deploy.rollout import DeploymentRefused, NoAnswer, RolledBack, Watching, roll_out
from mlops_assets.deploy.service import (
    Deployment,
    Live,
    Packaged,
    Target,
    note,
    note_stop,
    on_record,
)
from mlops_assets.deploy.service_client import ServiceClient
from mlops_assets.serving.pages.told import LAST_SUCCESS, OVERVIEW, SHOWN


class ProcessService:
    """The service on `host:port`, with state, logs and the deployment log in `state_folder`."""

    target: Target = "process"

    def __init__(
        self,
        state_folder: Path,
        port: int,
        host: str = "127.0.0.1",
        *,
        environment: Mapping[str, str] | None = None,
        key: str = "",
        watching: Watching | None = None,
    ) -> None:
        """`environment` is all that the server gets to see; `key` an API key for the deployer, where keys are on."""
        self.folder, self._host, self._port = state_folder, host, port
        self._watching = watching or Watching()
        self._environment, self._key = dict(environment or {}), key
        self._environment["LAST_SUCCESS_FILE"] = str((state_folder / SHOWN / LAST_SUCCESS).absolute())
        self._environment["OVERVIEW_FILE"] = str((state_folder / SHOWN / OVERVIEW).absolute())
        self.log = DeploymentLog(state_folder / "deployments.sqlite")

    @property
    def url(self) -> str:
        """Where people and programs ask."""
        host = "127.0.0.1" if self._host == "0.0.0.0" else self._host  # noqa: S104  # an address to ask, not to bind
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    def live(self) -> Live | None:
        """What serves, asked on the public port; None where nothing of ours does."""
        backend = self._backend()
        process = backend.current()
        if process is None:
            return None
        host = "127.0.0.1" if process.public_host == "0.0.0.0" else process.public_host  # noqa: S104  # as above
        try:
            health = ServiceClient(host, process.public_port, timeout_s=5).ask("GET", "/health")
        except NoAnswer:
            return None
        if health.status != 200 or process.public_port != self._port:
            return None
        return Live(
            model_version=str(health.body["model_version"]),
            release_version=str(health.body["release_version"]),
            dataset_version=str(health.body["dataset_version"]),
            pid=process.pid,
            since=process.since,
            url=self.url,
            moved_from=backend.moved_from(process),
        )

    def deploy(
        self,
        release: Release,
        report: Callable[[str], None],
        *,
        timeout_s: float | None = None,
        watch_s: float | None = None,
        caused_by: str = "",
    ) -> Deployment:
        """Put `release` live; raises `DeploymentRefused` or `RolledBack` with the old one serving as before.

        `timeout_s` and `watch_s` stand in for those of `watching`. A second deployment waits for the first.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        backend = self._backend()
        with FileLock(self.folder / "lock"):
            try:
                before = backend.current()
                watching = self._watching.but(ready_timeout_s=timeout_s, watch_s=watch_s)
                process = roll_out(release, backend, report, watching)
            except (DeploymentRefused, RolledBack) as error:
                outcome = "rolled back" if isinstance(error, RolledBack) else "refused"
                note(self.log, self.target, release, outcome, caused_by=caused_by, error=error)
                raise
            finally:
                backend.close()
            changed = before is None or process.name != before.name
            if changed or not on_record(self.log, self.target, release):
                note(self.log, self.target, release, "live", caused_by=caused_by)
        return Deployment(
            release.version,
            release.model_version,
            release.dataset_version,
            self.url,
            changed=changed,
            previous=before.release_version if before is not None else None,
        )

    def packaged(self, release_version: str) -> Packaged | None:
        """None: the release's folder is all that a process needs."""
        return None

    def package(
        self, release: Release, tags: Sequence[str], report: Callable[[str], None], *, made_by: str = ""
    ) -> Packaged | None:
        """None: the release's folder is all that a process needs."""
        return None

    def prune(self, keep: frozenset[str], report: Callable[[str], None], *, dry_run: bool = False) -> None:
        """Nothing: the folders of ended processes go with the next deployment."""

    def stop(self, *, caused_by: str = "") -> bool:
        """End every process of this service; whether there was one."""
        if not self.folder.is_dir():
            return False
        backend = self._backend()
        with FileLock(self.folder / "lock"):
            live = backend.current()
            if live is not None:
                backend.stop(live)
            backend.sweep()
            note_stop(self.log, self.target, caused_by=caused_by)
        return live is not None

    def processes(self) -> list[int]:
        """The process ids of every server of this service, live or left over."""
        return [process.pid for process in self._backend().processes()]

    def server_log(self) -> Path | None:
        """The log file of what serves."""
        process = self._backend().current()
        return self.folder / process.name / "log" if process is not None else None

    def _backend(self) -> ProcessBackend:
        return ProcessBackend(self.folder, self._host, self._port, self._environment, self._key)
