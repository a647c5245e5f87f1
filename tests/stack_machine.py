"""A stack of its own for a test: a clone, an .env, images from Debian's packages, and `make up` for real."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docker_engine import engine_or_skip
from tests.user_clone import PROJECT, SMALL, free_port, git, write_params

UID = 23456
APPS = ["com.valar.pintu", "com.example.two", "com.example.three"]
IMAGES = {name: f"mlops-test-{name}" for name in ("postgres", "prometheus", "alertmanager", "node-exporter", "grafana")}
RUNS = """{ runsOrError { ... on Runs { results {
  runId status jobName startTime endTime tags { key value } } } } }"""
ORCHESTRATOR = "mlops-test-orchestrator"
SECRETS = {
    "POSTGRES_PASSWORD": "9f2c41b7d80ae653",
    "GRAFANA_ADMIN_PASSWORD": "7be1930cfa52d864",
    "LOOK": "3d7f0a92b1c8e465",
    "OPERATE": "e80b5c12fd9736a4",
}

LOOK = ("ana", SECRETS["LOOK"])


def compose_or_skip() -> None:
    """Skip without compose, fail where REQUIRE_DOCKER=1 promises it."""
    engine_or_skip().close()
    found = (
        shutil.which("docker-compose")
        or not subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode
    )
    if not found and os.environ.get("REQUIRE_DOCKER") == "1":  # noqa: TID251  a promise about the tests, no setting
        pytest.fail("REQUIRE_DOCKER=1, but there is no docker-compose")
    if not found:
        pytest.skip("no docker-compose")


def build_images() -> None:
    """The images that compose.yaml takes from a registry elsewhere; cached after the first time."""
    for target, name in IMAGES.items():
        folder = PROJECT / "tests" / "images"
        _shell(["docker", "build", "--quiet", "--target", target, "--tag", name, str(folder)], folder, {})


class Stack:
    """One project of compose on a clone of this checkout's HEAD, which belongs to a user that nothing else runs as."""

    def __init__(self, folder: Path, **params: Any) -> None:
        self.root = folder / "clone"
        self.project = f"t{os.getpid()}{free_port()}"
        self.door, self.port = free_port(), free_port()
        self.runs_seen: set[str] = set()
        self.refused: Any = None
        git(folder, "clone", "-q", "--no-hardlinks", str(PROJECT), str(self.root))
        git(self.root, "remote", "remove", "origin")
        git(self.root, "checkout", "-q", "-B", "main")
        write_params(self.root, **{**SMALL, **params})
        git(self.root, "commit", "-qam", "small")
        self.environment = {
            "COMPOSE_PROJECT_NAME": self.project,
            "ORCHESTRATOR_IMAGE": ORCHESTRATOR,
            "POSTGRES_IMAGE": IMAGES["postgres"],
            "PROMETHEUS_IMAGE": IMAGES["prometheus"],
            "ALERTMANAGER_IMAGE": IMAGES["alertmanager"],
            "NODE_EXPORTER_IMAGE": IMAGES["node-exporter"],
            "GRAFANA_IMAGE": IMAGES["grafana"],
            "SERVICE_SUBNET": f"10.214.{free_port() % 250}",
            "DOOR_PORT": str(self.door),
            "PORT": str(self.port),
            "POSTGRES_USER": "pipeline",
            "POSTGRES_PASSWORD": SECRETS["POSTGRES_PASSWORD"],
            "POSTGRES_DB": "reviews",
            "GRAFANA_ADMIN_USER": "boss",
            "GRAFANA_ADMIN_PASSWORD": SECRETS["GRAFANA_ADMIN_PASSWORD"],
            "LOOK_LOGINS": f"ana:{SECRETS['LOOK']}",
            "OPERATE_LOGINS": f"oki:{SECRETS['OPERATE']}",
            "DVC_REMOTE_URL": ".dvc-remote",
            "SOURCE": "sample",
            "NOW": "2026-03-20T12:00:00+00:00",
            "DAGSTER_URL": f"https://localhost:{self.door}/dagster",
            "RUN_MEMORY": "3g",
        }
        self.write_env()
        for wheel in _wheels(folder):
            shutil.copyfile(wheel, self.root / "stack" / "wheels" / wheel.name)
        _shell(["chown", "-R", f"{UID}:{UID}", str(self.root)], folder, {})
        for parent in [folder, *folder.parents[:2]]:
            parent.chmod(parent.stat().st_mode | 0o011)  # pytest's folders are their owner's alone

    def write_env(self) -> None:
        """`.env`, as a person fills it in."""
        lines = [f"{name}={value}\n" for name, value in self.environment.items()]
        (self.root / ".env").write_text("".join(lines), encoding="utf-8")

    def make(self, target: str, **more: str) -> subprocess.CompletedProcess[str]:
        """`make up` or `make down`, in an environment that holds nothing else."""
        return subprocess.run(
            ["make", target], cwd=self.root, env=_bare(more), capture_output=True, text=True, check=False, timeout=1500
        )

    def compose(self, *arguments: str) -> str:
        """What compose answers."""
        return _shell(["stack/stack.sh", *arguments], self.root, {})

    def remove(self) -> None:
        """Everything that the engine has of it; the images stay for the next test."""
        subprocess.run(["make", "down", "SERVICE=1"], cwd=self.root, env=_bare({}), check=False, capture_output=True)
        subprocess.run(
            ["stack/stack.sh", "down", "--volumes"], cwd=self.root, env=_bare({}), check=False, capture_output=True
        )
        with engine_or_skip() as engine:
            for container in engine.containers(f"mlops.project=mlops-{self.port}"):
                container.remove(force=True)
            for image in engine.client.images.list(name="localhost:5000/app-review-sentiment"):
                if image.labels.get("mlops.run") in self.runs_seen:
                    engine.client.images.remove(image.id, force=True)
            for volume in engine.client.volumes.list(filters={"name": f"{self.project}-"}):
                volume.remove(force=True)
            for network in engine.client.networks.list(names=[f"{self.project}-"]):
                network.remove()

    def containers(self) -> list[Any]:
        """All of compose's, without those of a single command."""
        with engine_or_skip() as engine:
            found = engine.containers(f"com.docker.compose.project={self.project}")
        return [container for container in found if container.labels.get("com.docker.compose.oneoff") != "True"]

    def container(self, service: str) -> Any:
        return next(found for found in self.containers() if found.labels["com.docker.compose.service"] == service)

    def logs(self) -> str:
        """The last lines of every container."""
        found = [(container.name, container.logs(tail=15)) for container in self.containers()]
        return "\n".join(f"{name}:\n{lines.decode(errors='replace')}" for name, lines in found)

    def runs(self) -> list[dict[str, Any]]:
        """Every run in Dagster's history."""
        return self.graphql(RUNS)["runsOrError"]["results"]

    def client(self, login: str = "oki", password: str = SECRETS["OPERATE"]) -> httpx.Client:
        """A browser at the door, which believes the door's own certificate."""
        import ssl

        context = ssl.create_default_context(cafile=str(self.root / "stack" / "made" / "door" / "cert.pem"))
        auth = (login, password) if login else None
        return httpx.Client(base_url=f"https://localhost:{self.door}", verify=context, auth=auth, timeout=60)

    def graphql(
        self, query: str, variables: Mapping[str, Any] | None = None, client: httpx.Client | None = None
    ) -> Any:
        """The data of an answer, asked by the login that operates."""
        with contextlib.nullcontext(client) if client else self.client() as asking:
            answer = asking.post("/dagster/graphql", json={"query": query, "variables": dict(variables or {})})
        assert answer.status_code == 200, answer.text
        content = answer.json()
        assert "errors" not in content, content["errors"]
        return content["data"]


def eventually(ask: Callable[[], Any], what: str, timeout_s: float = 600) -> Any:
    """The first answer that is not empty; fails with `what` when none comes in time."""
    until = time.monotonic() + timeout_s
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > until:
            pytest.fail(f"within {timeout_s:g} s it did not happen that {what}")
        time.sleep(0.25)


def _wheels(folder: Path) -> list[Path]:
    """The very torch of this machine: a build for CPUs where it has one, so that no gigabytes of CUDA are fetched."""
    _shell(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder / "wheels"), "torch==2.13.0"],
        folder,
        {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))},  # noqa: TID251
    )
    return sorted((folder / "wheels").glob("*.whl"))


def _bare(more: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/root", **more}  # noqa: TID251  make, docker and compose


def _shell(command: list[str], folder: Path, more: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=_bare(more), capture_output=True, text=True, check=False, timeout=1500
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout
