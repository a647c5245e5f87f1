"""MLflow has each training as a run with its model, and the live model as `champion`: in a folder and over HTTP."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient

from mlops_assets.deploy.history import DeploymentLog, Entry
from mlops_assets.mirrors.mlflow_runs import CHAMPION, MODEL
from mlops_assets.settings import Settings
from mlops_assets.steps.mirroring.mirrors import Mirrors
from tests.fakes.tiny_model import learnt_from, seal_tiny_model
from tests.long.mongo_server import own_environment
from tests.user_clone import free_port, make_clone, settings_of

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),  # MLflow 3.17 with SQLAlchemy 2.1
]
SERVER = f"mlflow=={version('mlflow-skinny')}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server. MLflow whole wants another pyarrow than the project, so it has an environment of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    python = own_environment(folder / "environment", sys.executable, SERVER)
    url = f"http://127.0.0.1:{free_port()}"
    stored = ("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files"))
    process = subprocess.Popen(
        [
            python,
            "-m",
            "mlflow",
            "server",
            "--workers",
            "1",
            "--host",
            "127.0.0.1",
            "--port",
            url.rpartition(":")[2],
            *stored,
        ],
        env={
            "PATH": str(Path(python).parent),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "HOME": str(folder),
        },
        cwd=folder,
        start_new_session=True,
    )
    try:
        while not _answers(url):
            assert process.poll() is None, "the server ended"
            time.sleep(0.2)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its workers are processes of their own
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return make_clone(tmp_path / "clone", mirrors={"timeout_s": 120})


def train(settings: Settings, kind: str, apps: str) -> str:
    """A training as the pipeline leaves it: the sealed model and its figures; `apps` makes it another one."""
    folder, names = settings.models / kind, {"classic": "metrics.json", "bert": "bert_metrics.json"}
    shutil.rmtree(folder, ignore_errors=True)
    sealed = seal_tiny_model(folder, metrics=learnt_from(apps))
    figures = {"n": 40, "accuracy": 0.9, "accuracy_interval": [0.8, 0.95]}
    record = {"model_version": sealed, "run_id": "run1", "test": figures}
    (settings.models / names[kind]).write_text(json.dumps(record), encoding="utf-8")
    return sealed


def put_live(settings: Settings, model: str) -> None:
    log = DeploymentLog(settings.service_folder / "deployments.sqlite")
    log.add(Entry("2026-03-01T00:00:00", "process", f"r{model}", model, "d1", "run1", "live", ""))


def catch_up(settings: Settings) -> list[str]:
    return Mirrors.of(settings).catch_up(lambda _: None)


def client_of(uri: str) -> MlflowClient:
    store = uri if "://" in uri else f"sqlite:///{uri}/mlflow.db"
    return MlflowClient(tracking_uri=store, registry_uri=store)


def runs_of(client: MlflowClient) -> dict[str, list[str]]:
    """The status of each training's runs, by model version."""
    experiment = client.get_experiment_by_name(MODEL)
    assert experiment is not None
    found: dict[str, list[str]] = {}
    for run in client.search_runs([experiment.experiment_id]):
        found.setdefault(run.data.tags["model_version"], []).append(run.info.status)
    return found


@pytest.mark.parametrize("where", ["folder", "server"])
def test_each_training_is_a_run_and_the_live_model_is_the_champion(
    clone: Path, tmp_path: Path, request: pytest.FixtureRequest, where: str
) -> None:
    uri = str(tmp_path / "mlflow") if where == "folder" else request.getfixturevalue("server")
    settings = settings_of(clone, MLFLOW_TRACKING_URI=uri)
    first, second = train(settings, "classic", f"{where}.first"), train(settings, "bert", f"{where}.second")
    put_live(settings, first)
    assert catch_up(settings) == []
    client = client_of(uri)
    assert {name: status for name, status in runs_of(client).items() if name in (first, second)} == {
        first: ["FINISHED"],
        second: ["FINISHED"],
    }
    live = client.get_model_version_by_alias(MODEL, CHAMPION)
    assert live.tags["model_version"] == first
    run = client.get_run(str(live.run_id))
    assert run.data.metrics == {
        "test.n": 40,
        "test.accuracy": 0.9,
        "test.accuracy.low": 0.8,
        "test.accuracy.high": 0.95,
    }
    assert run.data.params.items() >= {"kind": "classic", "dataset_version": "d" * 12}.items()
    assert run.data.tags["apps"] == f"{where}.first"
    there = Path(client.download_artifacts(run.info.run_id, "", str(_empty(tmp_path / "there"))))
    assert first in (there / "card.md").read_text(encoding="utf-8")
    assert _content(there / "model") == _content(settings.models / "classic")
    put_live(settings, second)
    assert Mirrors.of(settings).behind() == ["MLflow lacks 1 of 3 trainings and aliases"]
    assert catch_up(settings) == []
    assert client.get_model_version_by_alias(MODEL, CHAMPION).tags["model_version"] == second
    assert not list((settings.instance_folder / "mirrors" / "mlflow").iterdir())


def test_a_training_that_was_replaced_while_mlflow_was_away_is_not_lost(clone: Path, server: str) -> None:
    away = settings_of(clone, MLFLOW_TRACKING_URI=f"http://ana:s3cret-word@127.0.0.1:{free_port()}")
    first = train(away, "classic", "away.first")
    (line,) = catch_up(away)
    assert line.startswith("MLflow lacks 1 of 1 trainings and aliases, behind since")
    assert "s3cret-word" not in line + (away.instance_folder / "mirrors" / "mlflow.json").read_text(encoding="utf-8")
    second = train(away, "classic", "away.second")
    back = settings_of(clone, MLFLOW_TRACKING_URI=server)
    assert catch_up(back) == []
    assert runs_of(client_of(server)).keys() >= {first, second}


def test_a_run_that_a_killed_pass_began_is_finished(clone: Path, tmp_path: Path) -> None:
    uri = str(tmp_path / "mlflow")
    settings = settings_of(clone, MLFLOW_TRACKING_URI=uri)
    train(settings, "classic", "killed.first")
    assert catch_up(settings) == []
    second = train(settings, "classic", "killed.second")
    client = client_of(uri)
    experiment = client.get_experiment_by_name(MODEL)
    assert experiment is not None
    client.create_run(experiment.experiment_id, tags={"model_version": second})
    assert catch_up(settings) == []
    assert runs_of(client)[second] == ["FINISHED"]


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
