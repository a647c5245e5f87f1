"""What a container asks of the engine: all GPUs where its release wants one, none otherwise."""

# ruff: noqa: ARG002 - a stand-in takes what the real one takes

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest
from docker.api.client import APIClient

from mlops_assets.deploy.docker.engine import DockerEngine
from mlops_assets.deploy.docker.images import ImageRecord, Images
from mlops_assets.deploy.docker.servers import DockerServers, NeverStarted
from mlops_assets.deploy.release import Release, build_release
from mlops_assets.deploy.rollout import DeploymentRefused
from mlops_assets.deploy.server_settings import ServerSettings
from mlops_assets.failures import PermanentFailure
from tests.fakes.tiny_model import seal_tiny_model
from tests.repository import ROOT

NO_GPU = 'could not select device driver "" with capabilities: [[gpu]]'
ALL = [{"Driver": "", "Count": -1, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}]


class Wire(APIClient):
    """Docker's own client, whose requests for containers are kept; each of them then fails to start with `NO_GPU`."""

    def __init__(self) -> None:
        super().__init__(version="1.41")
        self.asked: list[dict[str, Any]] = []

    def create_container_from_config(self, config: dict[str, Any], name: str | None = None, platform: Any = None):
        self.asked.append(config["HostConfig"])
        return {"Id": name}


class Container:
    status = "created"

    def start(self) -> None:
        raise docker.errors.APIError("500", explanation=NO_GPU)

    def remove(self, *, force: bool) -> None:
        return


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch):
    engine = DockerEngine.__new__(DockerEngine)
    engine.errors = docker.errors
    containers = SimpleNamespace(get=lambda _id: Container(), list=lambda **_: [])
    wire = Wire()
    engine.client = SimpleNamespace(api=wire, containers=containers)
    yield engine
    wire.close()


def released(folder: Path, lock: str) -> Release:
    seal_tiny_model(folder / "model")
    return build_release(folder / "model", folder / "releases", lock=ROOT / "locks" / lock)


def try_out(engine: DockerEngine, release: Release, folder: Path) -> None:
    Images(engine, ImageRecord(folder / "images.json"), "repository", "p").prove("image", release, lambda _: None)


def deploy(engine: DockerEngine, release: Release, folder: Path) -> None:
    gateway = SimpleNamespace(live=lambda: None, network="n", address=lambda _slot: "10.0.0.2")
    settings = ServerSettings(folder, {})
    DockerServers(engine, gateway, "p", settings, image="image", shown=folder / "shown").start(release)  # type: ignore[arg-type]  # stand-ins


@pytest.mark.parametrize("started", [try_out, deploy])
@pytest.mark.parametrize(("lock", "devices"), [("serving.txt", None), ("serving-gpu.txt", ALL)])
def test_trial_and_deployment_ask_for_what_the_release_wants(
    engine, tmp_path: Path, started: Any, lock: str, devices: list[dict[str, Any]] | None
) -> None:
    with pytest.raises(PermanentFailure):
        started(engine, released(tmp_path, lock), tmp_path)
    (host,) = engine.client.api.asked
    assert host.get("DeviceRequests") == devices


@pytest.mark.parametrize("started", [try_out, deploy])
def test_an_engine_without_gpus_is_told_with_the_next_step(engine, tmp_path: Path, started: Any) -> None:
    said = r"wants a GPU and the engine gives none \(could not select.*Container Toolkit.*IMAGE_VARIANT=cpu"
    with pytest.raises(PermanentFailure, match=said) as caught:
        started(engine, released(tmp_path, "serving-gpu.txt"), tmp_path)
    assert not isinstance(caught.value, DeploymentRefused)
    assert isinstance(caught.value, NeverStarted) == (started is deploy)


def test_a_release_without_a_lock_wants_no_gpu(tmp_path: Path) -> None:
    seal_tiny_model(tmp_path / "model")
    assert not build_release(tmp_path / "model", tmp_path / "releases").wants_gpu
