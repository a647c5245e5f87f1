"""The Docker engine in memory: images by name, nothing built, nothing run."""

# ruff: noqa: ARG002 - a stand-in takes what the real one takes

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops_assets.deploy.release import Release
from mlops_assets.resources.docker_engine import BuildFailed, Image, Login, PushFailed


@dataclass
class FakeDockerEngine:
    """`fail` is `build` or `push` for an engine that cannot."""

    fail: str = ""
    built: list[str] = field(default_factory=list)
    pushed: list[str] = field(default_factory=list)

    def __enter__(self) -> "FakeDockerEngine":
        return self

    def __exit__(self, *_exception: object) -> None:
        return

    def build(
        self,
        release: Release,
        repository: str,
        report: Callable[[str], None],
        *,
        labels: Mapping[str, str] | None = None,
        **_options: Any,
    ) -> str:
        if self.fail == "build":
            raise BuildFailed(f"the image of release {release.version} was not built: no space left")
        name = f"{repository}:{release.version}"
        self.built.append(name)
        report(f"built {name}")
        return name

    def push(
        self, name: str, tags: Sequence[str], report: Callable[[str], None], *, login: Login | None = None
    ) -> Image:
        if self.fail == "push":
            raise PushFailed(f"{name} was not pushed: the registry is down")
        repository, _, own = name.rpartition(":")
        self.pushed.extend(f"{repository}:{tag}" for tag in (own, *tags))
        return Image(f"{repository}@sha256:{own:0>64}", own, (own, *tags), 1)

    def has_image(self, reference: str) -> bool:
        return any(reference.partition("@")[0] == name.rpartition(":")[0] for name in self.built)
