"""The instance of stack/kubernetes/dagster.yaml, as a pod of the cluster has it, with the API server of a test."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository

from tests.fakes.kubernetes_api import Cluster, kubernetes_api
from tests.repository import ROOT
from tests.user_clone import make_clone

STACK = ROOT / "stack" / "kubernetes"
IMAGE = "registry.example.com/mlops/orchestrator:0.1.0"
_OF_THE_CLUSTER = {"storage", "compute_logs"}


def instance_config() -> dict[str, Any]:
    """The file as it is shipped."""
    return yaml.safe_load((STACK / "dagster.yaml").read_text(encoding="utf-8"))


def write_instance(home: Path, kubeconfig: Path, config: dict[str, Any]) -> None:
    """`config` as the instance in `home`; it asks the API server of `kubeconfig` instead of the pod's own cluster."""
    home.mkdir(exist_ok=True)
    config["run_launcher"]["config"] |= {
        "load_incluster_config": False,
        "kubeconfig_file": str(kubeconfig),
        "dagster_home": str(home),
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def launch(instance: dg.DagsterInstance, job_name: str, tags: dict[str, str]) -> str:
    """Start a run of the job as the daemon does; its id."""
    from dagster._core.launcher import LaunchRunContext

    repository = ReconstructableRepository.for_module("mlops_assets.definitions", "defs", container_image=IMAGE)
    job = ReconstructableJob(repository=repository, job_name=job_name)
    run = instance.create_run_for_job(
        job.get_definition(), tags=tags, job_code_origin=job.get_python_origin(), status=dg.DagsterRunStatus.STARTING
    )
    instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    return run.run_id


def launched_job(folder: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]) -> dict[str, Any]:
    """The Job that a launched run is; its history in SQLite instead of PostgreSQL, its definitions a small clone's."""
    clone = folder / "clone"
    if not clone.exists():
        make_clone(clone)
    home = folder / "home"
    monkeypatch.setenv("PIPELINE_ROOT", str(clone))
    cluster = Cluster()
    with kubernetes_api(cluster, folder) as kubeconfig:
        write_instance(home, kubeconfig, {name: part for name, part in config.items() if name not in _OF_THE_CLUSTER})
        with dg.DagsterInstance.from_config(str(home)) as instance:
            launch(instance, "rollback", {})
    (job,) = cluster.jobs.values()
    return job
