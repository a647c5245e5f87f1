"""The whole pipeline with a pod for each step: processes that share a folder and a PostgreSQL and nothing else."""

import json
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.assets.partitions import range_tags
from tests.fakes.kubernetes_api import Cluster, kubernetes_api
from tests.integration.postgres_server import running_postgres
from tests.kubernetes_instance import STACK, instance_config, launch, write_instance
from tests.user_clone import make_clone, settings_of

pytestmark = pytest.mark.long


def test_each_step_works_in_a_pod_of_its_own_and_the_run_succeeds(tmp_path: Path, monkeypatch) -> None:
    clone = make_clone(tmp_path / "clone")
    stack = clone / "stack" / "kubernetes"
    stack.mkdir(parents=True)
    (stack / "steps.yaml").write_bytes((STACK / "steps.yaml").read_bytes())
    home = tmp_path / "home"
    with running_postgres() as postgres:
        variables = {
            **postgres.environment,
            "POSTGRES_PASSWORD": "not asked for on loopback",
            "POSTGRES_DB": "postgres",
            "SKIP_DEPLOY": "1",
            "DEPLOY_TARGET": "process",
            "NOW": "2026-03-20T00:00:00Z",
            "OMP_NUM_THREADS": "1",
        }
        for name, value in {**variables, "PIPELINE_ROOT": str(clone)}.items():
            monkeypatch.setenv(name, value)
        config = instance_config()
        config["storage"]["postgres"]["postgres_db"]["port"] = postgres.port
        config["compute_logs"]["config"]["base_dir"] = str(clone / ".dagster" / "storage")
        cluster = Cluster(secrets={"mlops-env": variables}, volumes={"mlops-clone": clone}, logs=tmp_path)
        with kubernetes_api(cluster, tmp_path) as kubeconfig:
            write_instance(home, kubeconfig, config)
            with dg.DagsterInstance.from_config(str(home)) as instance:
                settings = settings_of(clone, NOW=variables["NOW"])
                tags = range_tags(settings, ["sample.app"], "2026-01", "2026-02")
                run_id = launch(instance, "pipeline", tags)
                (worker,) = cluster.running.values()
                worker.wait(timeout=1500)
                logs = {path.name: path.read_text(encoding="utf-8")[-2000:] for path in tmp_path.glob("*.log")}
                run = instance.get_run_by_id(run_id)
                assert run is not None
                assert run.status is dg.DagsterRunStatus.SUCCESS, logs
                steps = {stat.step_key: stat.status.value for stat in instance.get_run_step_stats(run_id)}
    worked = {key for key, status in steps.items() if status == "SUCCESS"}
    pods = {job["metadata"]["labels"].get("dagster/op"): job for job in cluster.jobs.values()}
    assert {"raw_reviews", "versioned_dataset", "bert_model", "classic_model", "champion_model"} <= worked
    assert worked <= set(pods)
    limits = {step: _limits(job) for step, job in pods.items() if step}
    assert [step for step, of_step in limits.items() if "nvidia.com/gpu" in of_step] == ["bert_model"]
    assert limits["champion_model"] == {"cpu": "2", "memory": "3Gi"}
    assert all(_claims(job) == ["mlops-clone"] for job in pods.values())
    metrics = json.loads((clone / "models" / "bert_metrics.json").read_text(encoding="utf-8"))
    assert metrics["test"]["n"] > 0


def _limits(job: dict) -> dict[str, str]:
    return job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]


def _claims(job: dict) -> list[str]:
    volumes = job["spec"]["template"]["spec"]["volumes"]
    return [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]
