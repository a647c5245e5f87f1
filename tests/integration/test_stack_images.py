"""The orchestrator's images that a rebuild leaves without a name, on a real engine."""

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from mlops_assets.deploy.docker.engine import DockerEngine
from tests.repository import ROOT

pytestmark = pytest.mark.docker

Build = Callable[..., str]


@pytest.fixture
def build(engine: DockerEngine, tmp_path: Path) -> Iterator[Build]:
    """Builds another image each time and gives its id; the images go with the test."""
    made: list[str] = []

    def build(name: str, tag: str | None = None) -> str:
        (tmp_path / "content").write_bytes(os.urandom(3_000_000))
        (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY content /\n", encoding="utf-8")
        image, _ = engine.client.images.build(path=str(tmp_path), tag=tag, rm=True, labels={"mlops.orchestrator": name})
        made.append(image.id)
        return image.id

    yield build
    for image in made:
        if engine.has_image(image):
            engine.client.images.remove(image, force=True)


def old_images(name: str, **more: str) -> str:
    environ = {"PATH": os.environ["PATH"], "HOME": "/nobody", "ORCHESTRATOR_IMAGE": name, **more}  # noqa: TID251  a process's own
    done = subprocess.run(
        [str(ROOT / "stack" / "stack.sh"), "old-images"], env=environ, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_build_that_another_replaced_is_named_with_its_size_and_goes(engine: DockerEngine, build: Build) -> None:
    name = f"mlops-test-{uuid.uuid4().hex[:8]}"
    old, needed = build(name, f"{name}:latest"), build(name, f"{name}:latest")
    present, of_another = build(name, f"{name}:latest"), build(f"{name}-another")
    container: Any = engine.client.containers.create(needed, "/nothing")
    try:
        listed = old_images(name, DRY_RUN="1")
        assert listed == f"remove image {old[:19]} of an earlier build of the stack (3MB)\n"
        assert engine.has_image(old)
        assert old_images(name) == listed
        assert [engine.has_image(image) for image in (old, needed, present, of_another)] == [False, True, True, True]
    finally:
        container.remove()
    assert needed[:19] in old_images(name)
    with pytest.raises(docker.errors.ImageNotFound):
        engine.client.images.get(needed)
    assert old_images(name) == ""
