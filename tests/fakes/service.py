# ruff: noqa: ARG002 - a stand-in takes what the real one takes
"""A backend in memory, behind the real `Service`: no process, no engine."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_assets.deploy.backend import Packaged, Part, PublicServer, Report, Target
from mlops_assets.deploy.release import Release
from mlops_assets.deploy.service import Service
from mlops_assets.deploy.service_client import NoAnswer, Reply, ServiceClient
from mlops_assets.deploy.traffic import PathTraffic, Traffic
from mlops_assets.params.operations import Watching

UNWATCHED = Watching(watch_s=0)


def silent(_line: str) -> None:
    """Where the lines of a deployment go that no test reads."""


def fake_service(folder: Path) -> Service:
    """The real service on one backend in memory; its state is in `folder`."""
    return Service(FakeBackend(folder), watching=UNWATCHED)


@dataclass
class Server:
    """One instance; `behaviour` names what is wrong with it."""

    release: Release
    behaviour: str = ""
    name: str = "the first"
    alive: bool = True
    asked_since_switch: int = 0
    probes: int = 0
    refused: int = 0
    answered: int = 0
    failed: int = 0
    settings: str = ""


class _Client(ServiceClient):
    """Asks a server of the fake backend."""

    def __init__(self, backend: "FakeBackend", server: Server) -> None:
        super().__init__("127.0.0.1", 8080)
        self._backend, self._server = backend, server

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        return self._backend.ask(self._server, method, path, body)


@dataclass
class FakeBackend:
    """Implements `Backend` and `Servers`; `behaviour` is that of each new server."""

    folder: Path = Path()
    target: Target = "process"
    serving: Server | None = None
    behaviour: str = ""
    wrong: str = ""
    """The version of a release whose servers answer wrongly."""
    asks: int = 0
    """Requests of clients between two looks at the counts of the live server."""
    answers: bool = True
    """Whether a deployment can go here."""
    leads_to: Server | None = None
    """What the public port leads to, if that is another one than serves."""
    settings: str = ""
    """The present settings of a server."""
    died: str = ""
    """What happened to the live server."""
    said: list[str] = field(default_factory=list)
    """What the service asked of it; several backends may share one list."""
    steps: list[str] = field(default_factory=list)
    """What the rollout asked of it."""
    stopped: list[Server] = field(default_factory=list)
    canary: Server | None = None
    """The server that has `percent` of the requests beside the live one."""
    percent: int = 0
    url = "http://127.0.0.1:8080"

    def usable(self) -> bool:
        return self.answers

    def was_used(self) -> bool:
        return True

    def live(self) -> PublicServer | None:
        if self.serving is None:
            return None
        other = "" if self.as_set(self.serving) else "API_KEYS"
        canary = f"release {self.canary.release.version} has {self.percent} % of the requests" if self.canary else ""
        return PublicServer(self.public(), "2026-01-01", 1, other_settings=other, canary=canary)

    def trouble(self) -> str:
        return self.died

    def read_log(self, part: Part, lines: int, *, follow: bool) -> Iterator[str]:
        yield from () if part == "gateway" or self.serving is None else ("last line of the log\n",)

    def packaged(self, release_version: str) -> Packaged | None:
        return None

    def package(self, release: Release, tags: Sequence[str], report: Report, *, made_by: str) -> Packaged | None:
        self.said.append(f"{self.target} packages {release.version}")
        return None

    @contextmanager
    def servers(self, image: Packaged | None) -> "Iterator[FakeBackend]":
        yield self

    def prune(self, keep: frozenset[str], report: Report, *, dry_run: bool) -> None:
        self.said.append(f"{self.target} prunes")

    def end(self) -> bool:
        self.said.append(f"{self.target} ends")
        was, self.serving = self.serving is not None, None
        return was

    def sweep(self) -> None:
        self.steps.append("sweep")
        self.canary, self.percent = None, 0

    def current(self) -> Server | None:
        return self.serving

    def public(self) -> ServiceClient:
        assert self.serving
        return _Client(self, self.serving if self.leads_to is None else self.leads_to)

    def as_set(self, instance: Server) -> bool:
        return instance.settings == self.settings

    def start(self, release: Release) -> Server:
        self.steps.append("start")
        self.said.append(f"{self.target} starts {release.version}")
        behaviour = "wrong answers" if release.version == self.wrong else self.behaviour
        return Server(release, behaviour, f"server-{len(self.steps)}", settings=self.settings)

    def running(self, instance: Server) -> bool:
        if instance.behaviour == "dies when live" and self.share_of(instance):
            instance.alive = False
        return instance.alive and instance.behaviour != "dies at once"

    def ask(self, instance: Server, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        if not instance.alive:
            raise NoAnswer("gone")
        release = instance.release
        if path == "/ready":
            status = {"never ready": "loading", "broken": "broken"}.get(instance.behaviour, "ready")
            return Reply(200 if status == "ready" else 503, {"status": status, "reason": f"it is {status}"}, 0.0)
        if path == "/model/info":
            return Reply(401 if instance.settings else 200, {}, 0.0)
        if path == "/health":
            version = "000000000000" if instance.behaviour == "wrong version" else release.model_version
            body = {
                "model_version": version,
                "dataset_version": release.dataset_version,
                "release_version": release.version,
            }
            return Reply(200, body, 0.0)
        wrong = instance.behaviour == "wrong answers" or (
            instance.behaviour == "wrong when live" and self.share_of(instance) > 0
        )
        if self.share_of(instance) and (
            instance.behaviour == "refuses when live"
            or (instance.behaviour == "refuses once" and instance.refused == 0)
        ):
            instance.refused += 1
            return Reply(429, {}, 0.01)
        results = [
            {"probabilities": {str(n): (1 - p if wrong else p) for n, p in enumerate(golden.probabilities)}}
            for golden in release.golden()
        ]
        return Reply(200, {"results": results}, self.seconds(instance))

    def seconds(self, instance: Server) -> float:
        instance.probes += 1
        instance.asked_since_switch += self.share_of(instance) > 0
        slow = {
            "slow": True,
            "slow when live": self.share_of(instance) > 0,
            "slow at first": instance.probes == 1,
            "slow at times": instance.asked_since_switch % 3 == 1,
        }
        return 9.0 if slow.get(instance.behaviour) else 0.1

    def traffic(self, instance: Server) -> Traffic:
        if share := self.share_of(instance):
            asks = self.asks * share // 100
            failing = {
                "errors when live": 3,
                "fails at a tenth": asks // 10,
                "fails at a twentieth": asks // 20,
                "fails once": int(not instance.failed),
            }.get(instance.behaviour, 0)
            instance.failed += failing
            instance.answered += asks - min(failing, asks)
        slow = instance.answered // 5 if instance.behaviour == "slow for clients" else 0
        buckets = ((0.1, instance.answered - slow), (1.0, slow), (10.0, 0))
        probed = PathTraffic(instance.probes, 0, ((0.1, instance.probes), (1.0, 0), (10.0, 0)))
        return Traffic({"/predict": PathTraffic(instance.answered, instance.failed, buckets), "/predict/batch": probed})

    def share_of(self, instance: Server) -> int:
        """The percentage of the requests that it has."""
        if instance is self.canary:
            return self.percent
        return 100 - self.percent if instance is self.serving else 0

    def share(self, new: Server, percent: int) -> None:
        self.steps.append(f"share {percent}")
        self.canary, self.percent = new, percent

    def switch(self, new: Server, old: Server | None) -> None:
        self.steps.append("switch")
        self.serving, self.canary, self.percent = new, None, 0

    def stop(self, instance: Server) -> None:
        self.steps.append("stop")
        instance.alive = False
        self.stopped.append(instance)
        self.serving = None if self.serving is instance else self.serving

    def log(self, instance: Server) -> str:
        return "last line of the log"
