"""The Docker engine: builds an image from a release, pushes it, runs containers. Nothing here decides."""

import io
import re
import socket
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_assets.deploy.backend import Packaged, Report
from mlops_assets.deploy.docker.engine_client import open_client
from mlops_assets.deploy.docker.machine import HERE, EngineDown, Machine
from mlops_assets.deploy.release import REQUIREMENTS, Release
from mlops_assets.failures import OutsideFailure, PermanentFailure
from mlops_assets.serving.options import is_loopback

SERVER_PORT = 8080
"""On which the image's server listens."""
_DOCKERFILE = Path(__file__).parents[3] / "Dockerfile"
BOUNDED_LOG = {"type": "json-file", "config": {"max-size": "10m", "max-file": "3"}}  # strangers cause lines in it
_ALL_GPUS = {"Count": -1, "Capabilities": [["gpu"]]}  # what `--gpus all` asks for


class BuildFailed(PermanentFailure):
    """The image was not built; the message holds the step's last lines."""


class PullFailed(OutsideFailure):
    """The image is neither here nor in its registry."""


class PushFailed(OutsideFailure):
    """The registry did not take the image; no tag there names it."""


class _Refused(Exception):
    """What the registry replied."""


@dataclass(frozen=True)
class Login:
    """A login to a registry; empty if it needs none."""

    user: str = ""
    password: str = ""


def engine_answers(machine: Machine = HERE) -> bool:
    """Whether there is an engine that this process may use."""
    try:
        DockerEngine(machine).close()
    except EngineDown:
        return False
    return True


def registry_answers(registry: str) -> bool:
    """Whether something listens at a registry on this machine; True for a registry elsewhere."""
    host, _, port = registry.partition("/")[0].partition(":")
    if not is_loopback(host):
        return True
    try:
        socket.create_connection((host, int(port or 443)), timeout=2).close()
    except OSError:
        return False
    return True


class DockerEngine:
    """A connection to the machine's engine; close it. Its requests raise `EngineDown` if the connection breaks."""

    machine: Machine = HERE

    def __init__(self, machine: Machine = HERE) -> None:
        import docker.errors

        self.machine = machine
        self.errors: Any = docker.errors
        self.client = open_client(machine)

    def __enter__(self) -> "DockerEngine":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections."""
        self.client.close()

    def build(
        self,
        release: Release,
        repository: str,
        report: Report,
        *,
        labels: Mapping[str, str] | None = None,
        dockerfile: Path = _DOCKERFILE,
    ) -> str:
        """The image `repository:<release version>`; what is unchanged comes from the cache.

        Raises `BuildFailed` with the last lines. The context is the release alone: no other file can get into a layer.
        """
        if not (release.folder / REQUIREMENTS).is_file():
            raise BuildFailed(
                f"release {release.version} names no dependencies: restore locks/ (make lock) and run again"
            )
        own = {
            "mlops.release": release.version,
            "mlops.model": release.model_version,
            "mlops.dataset": release.dataset_version,
            "mlops.server": release.server_version,
        }
        name = f"{repository}:{release.version}"
        report(f"building image {name}")
        last: list[str] = []
        try:
            lines = self.client.api.build(
                fileobj=_context(release, dockerfile),
                custom_context=True,
                tag=name,
                buildargs={"RELEASE_VERSION": release.version},
                labels={**own, **(labels or {})},
                rm=True,
                forcerm=True,
                decode=True,
            )
            for line in _lines(lines, BuildFailed):
                last = [*last[-20:], line]
        except BuildFailed as error:
            raise BuildFailed(
                "\n".join([f"the image of release {release.version} was not built: {error}", *last])
            ) from error
        except self.errors.DockerException as error:
            raise BuildFailed(f"the image of release {release.version} was not built: {error}") from error
        return name

    def push(self, name: str, tags: Sequence[str], report: Report, *, login: Login | None = None) -> Packaged:
        """Push `name` and then, when the registry has it, each further tag; raises `PushFailed`.

        A name without a registry is not pushed: the image stays on the engine, and its id names it.
        """
        repository, _, own = name.rpartition(":")
        auth = _auth(login)
        image = self.client.images.get(name)
        if "/" not in repository:
            for tag in tags:
                image.tag(repository, tag)
            return Packaged(image.id, (own, *tags), int(image.attrs["Size"]))
        digest = ""
        for tag in (own, *tags):
            image.tag(repository, tag)
            try:
                stream = self.client.api.push(repository, tag, stream=True, decode=True, auth_config=auth)
                for line in _pushed(stream):
                    if line.startswith("sha256:"):
                        digest = line
                report(f"pushed {repository}:{tag}")
            except (_Refused, self.errors.DockerException) as error:
                raise PushFailed(f"{repository}:{tag} was not pushed: {error}") from error
        if not digest:
            raise PushFailed(f"{name} was not pushed: the engine named no digest; run again")
        return Packaged(f"{repository}@{digest}", (own, *tags), int(image.attrs["Size"]))

    def has_image(self, reference: str) -> bool:
        """Whether the image lies here, so that no registry is needed."""
        try:
            self.client.images.get(reference)
        except self.errors.ImageNotFound:
            return False
        return True

    def fetch(self, reference: str, *, login: Login | None = None) -> None:
        """Pull the image unless it is here already; raises `PullFailed`."""
        if self.has_image(reference):
            return
        try:
            self.client.api.pull(reference, auth_config=_auth(login))
        except self.errors.DockerException as error:
            raise PullFailed(f"{reference} is neither here nor does its registry give it: {error}") from error
        if not self.has_image(reference):  # Only its output says that a pull broke off half-way.
            raise PullFailed(f"{reference} is not here although its registry gave it: deploy again")

    def name_image(self, reference: str, name: str) -> None:
        """Let `name`, a repository with a tag, mean the image."""
        repository, _, tag = name.rpartition(":")
        self.client.images.get(reference).tag(repository, tag)

    def images(self, label: str) -> list[Any]:
        """All images with the label, named or not."""
        return self.client.images.list(filters={"label": label})

    def environment(self, reference: str) -> dict[str, str]:
        """The variables that the image sets."""
        pairs = self.client.images.get(reference).attrs["Config"]["Env"]
        return dict(pair.split("=", 1) for pair in pairs)

    def read_files(self, reference: str, path: str, matching: str) -> dict[str, str]:
        """The image's texts under `path` whose name, which begins with the last part of `path`, matches the pattern."""
        container = self.client.containers.create(reference)
        try:
            with tempfile.TemporaryFile() as archive:
                archive.writelines(container.get_archive(path)[0])
                archive.seek(0)
                with tarfile.open(fileobj=archive) as tar:
                    files = [entry for entry in tar if entry.isfile() and re.fullmatch(matching, entry.name)]
                    found = {entry.name: tar.extractfile(entry) for entry in files}
                    return {name: file.read().decode(errors="replace") for name, file in found.items() if file}
        finally:
            container.remove()

    def users(self, reference: str) -> set[str]:
        """The ids of the containers, running or not, that need the image."""
        try:
            image = self.client.images.get(reference)
        except self.errors.ImageNotFound:
            return set()
        return {row["Id"] for row in self.client.api.containers(all=True, filters={"ancestor": image.id})}

    def remove_image(self, reference: str) -> bool:
        """Remove the image with all its names and the layers that are its alone; whether it is gone.

        An image that a container needs keeps its names too: the engine would remove all of them but the last.
        """
        if self.users(reference):
            return False
        try:
            self.client.images.remove(self.client.images.get(reference).id, force=True)
        except self.errors.ImageNotFound:
            return True
        except self.errors.APIError:
            return False
        return True

    def create(self, image: str, name: str, *, gpus: bool = False, **options: Any) -> Any:
        """A container that may do nothing but answer: read-only, without capabilities, its port on loopback alone.

        With `gpus` it sees all of the machine's. `options` are those of `create_container`, `host` those of
        `create_host_config` beside ours.
        """
        host: dict[str, Any] = {
            "port_bindings": {SERVER_PORT: ("127.0.0.1", None)},
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "tmpfs": {"/tmp": "size=64m"},  # noqa: S108  # inside the container, its only writable place
            "pids_limit": 256,
            "log_config": BOUNDED_LOG,
            **({"device_requests": [_ALL_GPUS]} if gpus else {}),
            **options.pop("host", {}),
        }
        created = self.client.api.create_container(
            image,
            name=name,
            ports=[SERVER_PORT],
            stop_signal="SIGTERM",
            host_config=self.client.api.create_host_config(**host),
            **options,
        )
        return self.client.containers.get(created["Id"])

    def containers(self, label: str) -> list[Any]:
        """All containers with the label, running or not."""
        return self.client.containers.list(all=True, filters={"label": label})


def running_containers(label: str) -> dict[str, dict[str, str]]:
    """The names of the running containers with the label, each with all its labels."""
    with DockerEngine() as engine:
        found = engine.containers(label)
        return {container.name: container.labels for container in found if container.status == "running"}


def why_not_started(error: Any) -> str:
    """The engine's explanation of an `APIError`; if the engine has no GPU to give, also what to do."""
    reason = str(error.explanation or error)
    if "capabilities: [[gpu]]" in reason or "nvidia-container" in reason:
        return (
            f"the release wants a GPU and the engine gives none ({reason}): install the NVIDIA driver and Container "
            "Toolkit on its machine, or set IMAGE_VARIANT=cpu"
        )
    return reason


def port_of(container: Any) -> int:
    """The loopback port of a server's container; 0 while it has none."""
    bound = (container.attrs["NetworkSettings"]["Ports"] or {}).get(f"{SERVER_PORT}/tcp") or []
    return int(bound[0]["HostPort"]) if bound else 0


def _auth(login: Login | None) -> dict[str, str] | None:
    return {"username": login.user, "password": login.password} if login and login.user else None


def _context(release: Release, dockerfile: Path) -> io.BytesIO:
    """The release as a tar without times and owners."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, path in (
            ("Dockerfile", dockerfile),
            *(
                (path.relative_to(release.folder).as_posix(), path)
                for path in sorted(release.folder.rglob("*"))
                if path.is_file() and "__pycache__" not in path.parts
            ),
        ):
            content = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    target.seek(0)
    return target


def _lines(stream: Iterator[Mapping[str, Any]], failed: type[Exception]) -> Iterator[str]:
    for message in stream:
        if "error" in message:
            raise failed(str(message["error"]).strip())
        for line in str(message.get("stream", "")).splitlines():
            if line.strip():
                yield line.rstrip()


def _pushed(stream: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    for message in stream:
        if "error" in message:
            raise _Refused(f"the registry refuses: {message['error']}")
        digest = message.get("aux", {}).get("Digest")
        if digest:
            yield str(digest)
