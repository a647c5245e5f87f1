"""The training of BERT as a task of the Ray cluster at RAY_ADDRESS."""

from dataclasses import dataclass

import dagster as dg

from mlops_assets.outside import repository
from mlops_assets.params.operations import RayOptions
from mlops_assets.settings import Settings, wait_passively
from mlops_assets.spread.ray_cluster import RayCluster
from mlops_assets.steps.train import train
from mlops_assets.training.kinds import BERT


@dataclass(frozen=True)
class _Training:
    """What the task is told: `settings` are the run's, as JSON and without secrets."""

    settings: str
    run_id: str
    force: bool


def train_on_ray(context: dg.AssetExecutionContext, settings: Settings, *, force: bool) -> None:
    """Train on a node that has what `ray` in params.yaml asks for; the model and its metrics are then in `models/`.

    If the node is lost, Ray starts the task on another one, and it goes on from the checkpoint.
    """
    asked = settings.section(RayOptions)
    cluster = RayCluster(
        str(settings.ray_address), context.log.info, cpus=asked.training_cpus, gpus=asked.training_gpus
    )
    cluster(_train, [_Training(settings.json_without_secrets(), context.run.run_id, force)])


def _train(training: _Training) -> None:
    wait_passively()
    settings = Settings.model_validate_json(training.settings)
    # Ray brings these lines to the run's standard output.
    train(BERT, settings, repository(settings), run_id=training.run_id, force=training.force, report=_say)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  a task has no other way to the run
