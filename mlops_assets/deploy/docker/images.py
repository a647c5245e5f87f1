"""Images of releases: built, pushed, proven by digest, tagged, recorded, pruned."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mlops_assets.deploy.backend import Packaged, Report
from mlops_assets.deploy.docker.container_logs import last_lines
from mlops_assets.deploy.docker.engine import SERVER_PORT, DockerEngine, Login, PullFailed, port_of, why_not_started
from mlops_assets.deploy.docker.machine import Machine
from mlops_assets.deploy.docker.memory import death_of, memory_limit
from mlops_assets.deploy.release import Release
from mlops_assets.deploy.rollout import try_out
from mlops_assets.deploy.service_client import Reply, ServiceClient
from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replace_file

_BUILDER = "mlops.builder"
"""The label of an image that names the project. Not `mlops.project`: every container inherits its image's labels."""
_LOG_LINES = 30


class ImageRecord:
    """Which image holds which release: a JSON file that a rollback goes by. Its writer holds the service's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, release_version: str) -> Packaged | None:
        """The release's image."""
        return self.all().get(release_version)

    def all(self) -> dict[str, Packaged]:
        """Every image by its release."""
        if not self._path.is_file():
            return {}
        content = json.loads(self._path.read_text(encoding="utf-8"))
        return {version: Packaged(**{**row, "tags": tuple(row["tags"])}) for version, row in content.items()}

    def set(self, release_version: str, image: Packaged) -> None:
        """Record the release's image; other images lose the tags that it takes."""
        others = {
            version: replace(other, tags=tuple(tag for tag in other.tags if tag not in image.tags))
            for version, other in self.all().items()
            if version != release_version
        }
        self._write({**others, release_version: image})

    def drop(self, release_version: str) -> None:
        """Forget the release's image."""
        self._write({version: image for version, image in self.all().items() if version != release_version})

    def _write(self, images: dict[str, Packaged]) -> None:
        replace_file(self._path, json.dumps({version: asdict(image) for version, image in images.items()}, indent=1))


@dataclass(frozen=True, eq=False)
class Images:
    """The images of one project. A trial's server runs with `environment` on `network` and is asked with `key`."""

    engine: DockerEngine
    record: ImageRecord
    repository: str
    project: str
    login: Login | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    network: str = ""

    def package(self, release: Release, tags: Sequence[str], report: Report, *, made_by: str) -> Packaged:
        """Build the release's image, push it, prove the pushed one by digest, then give it `tags`.

        Only a proven image gets a tag by which others find it. If the image was proven before, it gets the tags that it
        lacks; if it is lost here and in the registry, it is built again.
        """
        known = self._at_hand(release, report)
        if known is not None:
            report(f"image {known.reference} of release {release.version} is proven and pushed")
            return self._with_tags(release, known, tags, report)
        labels = {_BUILDER: self.project, "mlops.run": made_by}
        name = self.engine.build(release, self.repository, report, labels=labels)
        image = self.engine.push(name, (), report, login=self.login)
        self.prove(image.reference, release, report)
        if tags:
            image = self.engine.push(name, tags, report, login=self.login)
        self.record.set(release.version, image)
        return image

    def prove(self, reference: str, release: Release, report: Report, *, timeout_s: float = 60.0) -> None:
        """Start that very image alone and ask it its golden sentences.

        It runs on `network` if this process is on it, else on the engine's own network with a port on loopback. Raises
        `DeploymentRefused` with the container's log if the image does not answer as its release says.
        """
        engine = self.engine
        try:
            container = engine.create(
                reference,
                f"{self.project}-trial-{uuid.uuid4().hex[:6]}",
                gpus=release.wants_gpu,
                environment=dict(self.environment),
                labels={"mlops.project": self.project, "mlops.role": "trial", "mlops.release": release.version},
                host={
                    "mem_limit": memory_limit(release, self.environment),
                    **({"port_bindings": {}, "network_mode": self.network} if self.network else {}),
                },
            )
            try:
                container.start()
                took_s = try_out(
                    release, container, _Trial(self.key, self.network, engine.machine), timeout_s=timeout_s
                )
                report(f"{reference} answers its {len(release.golden())} golden sentences in {took_s:.3f} s")
            finally:
                container.remove(force=True)
        except engine.errors.APIError as error:
            raise PermanentFailure(f"the image {reference} cannot be started: {why_not_started(error)}") from error

    def prune(self, keep: frozenset[str], report: Report, *, ending: set[str], dry_run: bool) -> None:
        """Remove images of releases that are not in `keep`, and builds that others replaced; the registry keeps both.

        An image that a container needs stays, unless the container is one of `ending`.
        """
        for image, version in self._unneeded(keep).items():
            if self.engine.users(image) - ending:
                continue
            report(f"remove image {image} of release {version}")
            known = self.record.get(version)
            if not dry_run and self.engine.remove_image(image) and known is not None and known.reference == image:
                self.record.drop(version)

    def _at_hand(self, release: Release, report: Report) -> Packaged | None:
        known = self.record.get(release.version)
        if known is None:
            return None
        try:
            self.engine.fetch(known.reference, login=self.login)
        except PullFailed as error:
            report(f"{error}; it is made anew from {release.folder}")
            return None
        return known

    def _with_tags(self, release: Release, image: Packaged, tags: Sequence[str], report: Report) -> Packaged:
        lacking = [tag for tag in tags if tag not in image.tags]
        if not lacking:
            return image
        name = f"{self.repository}:{release.version}"
        self.engine.name_image(image.reference, name)
        pushed = self.engine.push(name, lacking, report, login=self.login)
        tagged = replace(pushed, tags=tuple(dict.fromkeys((*image.tags, *pushed.tags))))
        self.record.set(release.version, tagged)
        return tagged

    def _unneeded(self, keep: frozenset[str]) -> dict[str, str]:
        """By image the release: those on record that are not in `keep`, and builds that are not those on record.

        A build on no record, whose push failed, stays with its release: the next try begins with it.
        """
        known = self.record.all()
        found = {image.reference: version for version, image in known.items() if version not in keep}
        for image in self.engine.images(f"{_BUILDER}={self.project}"):
            version, names = image.labels["mlops.release"], {image.id, *(image.attrs.get("RepoDigests") or ())}
            replaced = version in known and known[version].reference not in names
            if (version not in keep or replaced) and names.isdisjoint(found):
                found[image.id] = version
        return found


class _Trial:
    """Implements `Running` for one container on the engine's own network."""

    def __init__(self, key: str, network: str, machine: Machine) -> None:
        self._key, self._network, self._machine = key, network, machine

    def running(self, instance: Any) -> bool:
        instance.reload()
        return instance.status == "running"

    def ask(self, instance: Any, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        host, port = "127.0.0.1", port_of(instance)
        if self._network:
            host, port = instance.attrs["NetworkSettings"]["Networks"][self._network]["IPAddress"], SERVER_PORT
        return ServiceClient(host, port, key=self._key, connect=self._machine.connect).ask(method, path, body)

    def log(self, instance: Any) -> str:
        instance.reload()
        return f"{last_lines(instance, _LOG_LINES)}{death_of(instance)}".strip()
