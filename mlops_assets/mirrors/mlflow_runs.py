"""Trainings as runs of an MLflow experiment, each with a version of a registered model; the live one is `champion`."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.failures import BadSetting
from mlops_assets.mirrors.mirror import ItemRefused, MirrorAway, without_secrets
from mlops_assets.settings import calm_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = MODEL = "app-review-sentiment"
CHAMPION = "champion"
DATABASE, ARTIFACTS = "mlflow.db", "artifacts"
"""In the folder that MLFLOW_TRACKING_URI names. MLflow 3 refuses folders of files without a database."""
_VERSION = "model_version"
_LOGGERS = ("mlflow", "alembic")
"""Both report at INFO how they made their tables."""


@dataclass(frozen=True)
class Training:
    """What MLflow shows of one training: figures and parameters by name, the card as Markdown, the sealed model."""

    version: str
    kind: str
    model: Path
    card: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


class MlflowRuns:
    """The experiment and the registered model, while they are open.

    Every call raises `MirrorAway` or `ItemRefused`, without the login of the address.
    """

    def __init__(self, client: "MlflowClient", experiment: str, uri: str) -> None:
        self._client, self._experiment, self._uri = client, experiment, uri

    def token(self, follower: str) -> str | None:
        """The sign that the follower's last pass left."""
        with _failures_of(self._uri):
            return self._client.get_experiment(self._experiment).tags.get(f"mirror.{follower}")

    def set_token(self, follower: str, token: str) -> None:
        """Leave a sign: a tag of the experiment."""
        with _failures_of(self._uri):
            self._client.set_experiment_tag(self._experiment, f"mirror.{follower}", token)

    def log(self, training: Training) -> None:
        """Make a run and a model version of the training, or finish those that a killed pass began."""
        from mlflow.entities import Metric, Param, RunTag

        with _failures_of(self._uri):
            run = self._run_of(training.version)
            if run is None:
                tags = {_VERSION: training.version, **training.tags}
                name = f"{training.kind} {training.version}"
                run = self._client.create_run(self._experiment, tags=tags, run_name=name)
            run_id = run.info.run_id
            if run.info.status != "FINISHED":
                now = int(time.time() * 1000)
                self._client.log_batch(
                    run_id,
                    metrics=[Metric(name, value, now, 0) for name, value in training.metrics.items()],
                    params=[Param(name, value) for name, value in training.params.items()],
                    tags=[RunTag(name, value) for name, value in training.tags.items()],
                )
                self._client.log_text(run_id, training.card, "card.md")
                self._client.log_artifacts(run_id, str(training.model), "model")
                self._client.set_terminated(run_id, "FINISHED")
            if not self._client.search_model_versions(f"run_id = '{run_id}'"):
                self._register(run, training)

    def point_champion(self, version: str) -> None:
        """Give the alias `champion` to the version of this model."""
        with _failures_of(self._uri):
            run = self._run_of(version)
            found = self._client.search_model_versions(f"run_id = '{run.info.run_id}'") if run else []
            if not found:
                raise ItemRefused(f"model {version} is live and has no version in MLflow: make mirror brings it first")
            self._client.set_registered_model_alias(MODEL, CHAMPION, found[0].version)

    def _run_of(self, version: str) -> "Run | None":
        found = self._client.search_runs([self._experiment], f"tags.{_VERSION} = '{version}'", max_results=1)
        return found[0] if found else None

    def _register(self, run: "Run", training: Training) -> None:
        if not self._client.search_registered_models(f"name = '{MODEL}'"):
            self._client.create_registered_model(MODEL)
        self._client.create_model_version(
            MODEL,
            source=f"{run.info.artifact_uri}/model",
            run_id=run.info.run_id,
            tags={_VERSION: training.version, "kind": training.kind},
        )


@contextmanager
def open_runs(uri: str, *, timeout_s: float) -> Iterator[MlflowRuns]:
    """The experiment of a server, or of a folder, which is made."""
    calm_mlflow(timeout_s)
    try:
        from mlflow import MlflowClient
    except ImportError:
        raise BadSetting(
            "MLFLOW_TRACKING_URI is set, but mlflow-skinny is not installed: pip install -r locks/mlflow.txt, or leave "
            "it empty"
        ) from None
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    with _failures_of(uri):
        folder = None if "://" in uri else Path(uri)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        store = f"sqlite:///{folder / DATABASE}" if folder else uri
        client = MlflowClient(tracking_uri=store, registry_uri=store)
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None and found.lifecycle_stage != "active":
            raise MirrorAway(
                f"the experiment {EXPERIMENT} was deleted in MLflow: restore it there, mlflow experiments restore "
                f"--experiment-id {found.experiment_id}"
            )
        location = (folder / ARTIFACTS).absolute().as_uri() if folder else None
        experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT, location)
    yield MlflowRuns(client, experiment, uri)


@contextmanager
def _failures_of(uri: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        yield
    except MlflowException as error:
        message = without_secrets(error.message, uri)
        if error.error_code in {"INVALID_PARAMETER_VALUE", "BAD_REQUEST"}:
            raise ItemRefused(f"MLflow refused it: {message}") from None
        raise MirrorAway(message) from None
    except (RequestException, OSError) as error:
        raise MirrorAway(without_secrets(str(error), uri) or type(error).__name__) from None
