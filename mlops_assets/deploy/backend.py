"""What a deploy target promises: `Backend` packages a release and runs it, `Servers` are its server instances."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from mlops_assets.deploy.release import Release
from mlops_assets.deploy.service_client import Reply, ServiceClient
from mlops_assets.deploy.traffic import Traffic

Target = Literal["process", "docker"]
Part = Literal["service", "requests", "gateway"]
"""What has a log: the live server's messages, its requests, and what is before it."""
Report = Callable[[str], None]
Instance = TypeVar("Instance")
Instance_contra = TypeVar("Instance_contra", contravariant=True)


class Running(Protocol[Instance_contra]):
    """Instances that can be asked."""

    def running(self, instance: Instance_contra) -> bool:
        """Whether its process or container is there."""
        ...

    def ask(self, instance: Instance_contra, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """Ask the instance itself, not the public port; raises `NoAnswer`."""
        ...

    def log(self, instance: Instance_contra) -> str:
        """The last lines it wrote."""
        ...


class Servers(Running[Instance], Protocol[Instance]):
    """The server instances of one service. One deployment at a time: the caller holds the lock."""

    def sweep(self) -> None:
        """Remove what killed deployments have left; the live instance stays."""
        ...

    def current(self) -> Instance | None:
        """The instance that is live, if it runs."""
        ...

    def as_set(self, instance: Instance) -> bool:
        """Whether it has the present settings: its own, and the public port."""
        ...

    def public(self) -> ServiceClient:
        """Asks the public port, as a client does."""
        ...

    def start(self, release: Release) -> Instance:
        """A new instance beside the live one, not yet public."""
        ...

    def traffic(self, instance: Instance) -> Traffic:
        """What it answered since it started, by its own count; raises `NoAnswer`."""
        ...

    def share(self, new: Instance, percent: int) -> None:
        """Give `new` this percentage of the requests and leave the rest to the live one; `switch` ends it."""
        ...

    def switch(self, new: Instance, old: Instance | None) -> None:
        """Give the public port to `new` without losing a request; `old` stays ready to take it back."""
        ...

    def stop(self, instance: Instance) -> None:
        """Let it finish what it answers, then end it."""
        ...


@dataclass(frozen=True)
class Packaged:
    """A pushed image; `reference` names it by digest and so never means another image."""

    reference: str
    tags: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True)
class PublicServer:
    """The live instance; `client` asks it, on the public port if nothing else answers there. `pid` is 0 in a container.

    moved_from: the folder that it was started in, if that has been moved since
    other_settings: the names of the settings that have changed since it was started
    canary: the release that has a share of the requests beside it, and its share
    """

    client: ServiceClient
    since: str
    pid: int = 0
    moved_from: str = ""
    other_settings: str = ""
    canary: str = ""


class Backend(Protocol):
    """One deploy target. The caller of `package`, `servers`, `prune` and `end` holds the service's lock."""

    @property
    def target(self) -> Target: ...

    @property
    def folder(self) -> Path:
        """The service's state: lock, deployment log, what the target keeps beside them."""
        ...

    @property
    def url(self) -> str:
        """The address for people and programs."""
        ...

    def usable(self) -> bool:
        """Whether a deployment can go there: what it needs answers."""
        ...

    def was_used(self) -> bool:
        """Whether a service may run there."""
        ...

    def live(self) -> PublicServer | None:
        """The live instance, or None."""
        ...

    def trouble(self) -> str:
        """What happened to the live server since it was started; empty if nothing did."""
        ...

    def read_log(self, part: Part, lines: int, *, follow: bool) -> Iterator[str]:
        """The last lines of a log, then with `follow` those to come; nothing if there is no such log."""
        ...

    def packaged(self, release_version: str) -> Packaged | None:
        """The release's image if it was proven and pushed."""
        ...

    def package(self, release: Release, tags: Sequence[str], report: Report, *, made_by: str) -> Packaged | None:
        """Make what a deployment needs beyond the release's folder; None if it needs nothing."""
        ...

    def servers(self, image: Packaged | None) -> AbstractContextManager[Servers[Any]]:
        """The servers; new instances are started from `image`."""
        ...

    def prune(self, keep: frozenset[str], report: Report, *, dry_run: bool) -> None:
        """Say what will go, then remove it: leftovers, and what was packaged of releases that are not in `keep`."""
        ...

    def end(self) -> bool:
        """End every server; whether a live one was among them."""
        ...


def url_of(host: str, port: int, scheme: str = "http") -> str:
    """The URL of a public address."""
    host = host_to_ask(host)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def host_to_ask(host: str) -> str:
    """The host that a client on this machine asks."""
    return "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104  # an address to ask, not to bind
