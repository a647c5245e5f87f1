"""What the files under stack/kubernetes make of a cluster, checked against Kubernetes' own schema."""

import re
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import kubernetes_validate
import pytest
import yaml

from mlops_assets.definitions import build_definitions
from mlops_assets.failures import BadSetting
from tests.fakes.kubernetes_api import VERSION, Cluster
from tests.kubernetes_instance import IMAGE, STACK, instance_config, launched_job
from tests.user_clone import make_clone, settings_of

pytestmark = pytest.mark.slow

STEPS = STACK / "steps.yaml"


@pytest.mark.parametrize("name", ["storage.yaml", "model-service.yaml"])
def test_every_manifest_is_one_that_kubernetes_takes(name: str) -> None:
    for manifest in yaml.safe_load_all((STACK / name).read_text(encoding="utf-8")):
        kubernetes_validate.validate(manifest, VERSION, strict=True)
        assert manifest["metadata"]["namespace"] == "mlops"


def test_a_run_is_a_job_with_the_clone_the_secrets_and_no_rights(tmp_path: Path, monkeypatch) -> None:
    job = launched_job(tmp_path, monkeypatch, instance_config())
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert job["spec"]["activeDeadlineSeconds"] == 21600
    assert container["image"] == IMAGE
    assert container["args"][:3] == ["dagster", "api", "execute_run"]
    assert container["envFrom"] == [{"secretRef": {"name": "mlops-env"}}]
    assert {"name": "clone", "mountPath": "/srv/mlops"} in container["volumeMounts"]
    assert {"name": "clone", "persistentVolumeClaim": {"claimName": "mlops-clone"}} in pod["volumes"]
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "2Gi"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert "password" not in str(job).lower().replace("dagster_pg_password", "")


def test_a_job_that_kubernetes_would_refuse_is_no_run(tmp_path: Path, monkeypatch) -> None:
    """The checks that the other tests rest on can fail."""
    job = launched_job(tmp_path, monkeypatch, instance_config())
    job["spec"]["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="'resource' was unexpected"):
        Cluster().create(job)
    config = instance_config()
    config["run_launcher"]["config"]["run_k8s_config"]["pod_spec_config"]["node_select"] = {}
    with pytest.raises(Exception, match="node_select"):
        launched_job(tmp_path, monkeypatch, config)


def test_the_chart_gets_the_rules_of_dagster_yaml() -> None:
    values = yaml.safe_load((STACK / "values.yaml").read_text(encoding="utf-8"))
    ours = instance_config()
    embedded = yaml.safe_load((STACK.parents[1] / "dagster.yaml").read_text(encoding="utf-8"))
    assert _snake(values["concurrency"]["runs"]) == ours["concurrency"]["runs"]
    assert _snake(values["concurrency"]["pools"]) == ours["concurrency"]["pools"]
    assert values["additionalInstanceConfig"] == {key: ours[key] for key in ("run_monitoring", "run_retries", "nux")}
    assert values["retention"]["sensor"]["purgeAfterDays"] == ours["retention"]["sensor"]["purge_after_days"]
    assert values["computeLogManager"]["config"]["customComputeLogManager"] == ours["compute_logs"]
    assert ours["retention"] == embedded["retention"]
    assert ours["run_retries"] == embedded["run_retries"]
    writes = embedded["concurrency"]["runs"]["tag_concurrency_limits"]
    assert ours["concurrency"]["runs"]["tag_concurrency_limits"] == writes


KNOWN = {
    "": (
        "global postgresql generatePostgresqlPasswordSecret generateCeleryConfigSecret rabbitmq redis flower "
        "dagsterWebserver dagsterDaemon dagster-user-deployments computeLogManager runLauncher "
        "concurrency retention migrate telemetry "
        "additionalInstanceConfig"
    ),
    "global": "postgresqlSecretName dagsterHome",
    "postgresql": "enabled postgresqlScheme postgresqlHost postgresqlUsername postgresqlDatabase",
    "dagsterWebserver": (
        "replicaCount image service readinessProbe podSecurityContext securityContext volumes volumeMounts resources"
    ),
    "dagsterDaemon": (
        "enabled image podSecurityContext securityContext volumes volumeMounts resources sensors schedules "
        "runMonitoring runRetries"
    ),
    "dagster-user-deployments": "enabled enableSubchart deployments",
    "dagster-user-deployments.deployments": (
        "name image port codeServerArgs includeConfigInLaunchedRuns env envSecrets volumes volumeMounts "
        "podSecurityContext securityContext resources"
    ),
    "computeLogManager": "type config",
    "computeLogManager.config": "customComputeLogManager",
    "computeLogManager.config.customComputeLogManager": "module class config",
    "runLauncher": "type config",
    "runLauncher.config": "k8sRunLauncher",
    "runLauncher.config.k8sRunLauncher": (
        "imagePullPolicy loadInclusterConfig envSecrets failPodOnRunFailure volumes volumeMounts runK8sConfig"
    ),
    "runLauncher.config.k8sRunLauncher.runK8sConfig": "containerConfig podSpecConfig jobSpecConfig",
    "concurrency": "enabled runs pools",
    "concurrency.runs": "maxConcurrentRuns tagConcurrencyLimits",
    "concurrency.pools": "defaultLimit",
    "retention": "enabled schedule sensor",
}
"""Keys of the chart's value models, in dagster-io/dagster under helm/dagster/schema/schema/charts: `DagsterHelmValues`
(dagster/values.py), and in dagster/subschema `Global`, `PostgreSQL`, `Webserver`, `Daemon`, `ComputeLogManager`,
`RunLauncher`, `K8sRunLauncherConfig`, `RunK8sConfig`, `Concurrency` and `Retention`;
`UserDeployment` of dagster_user_deployments."""


def test_every_value_is_one_that_the_chart_knows() -> None:
    values = yaml.safe_load((STACK / "values.yaml").read_text(encoding="utf-8"))
    for place, known in KNOWN.items():
        node: Any = values
        for part in place.split(".") if place else ():
            node = node[part]
        for one in node if isinstance(node, list) else [node]:
            assert set(one) <= set(known.split()), place


def test_what_each_step_asks_for_makes_a_job_that_kubernetes_takes() -> None:
    from dagster_k8s.job import DagsterK8sJobConfig, UserDefinedDagsterK8sConfig, construct_dagster_k8s_job

    config = yaml.safe_load(STEPS.read_text(encoding="utf-8"))
    asked = {"any other": config["step_k8s_config"], **config["per_step_k8s_config"]}
    gpus = {}
    for step, of_step in asked.items():
        job = construct_dagster_k8s_job(
            job_config=DagsterK8sJobConfig(job_image=IMAGE, dagster_home="/opt/dagster/dagster_home"),
            args=["dagster", "api", "execute_step"],
            job_name="dagster-step-1",
            user_defined_k8s_config=UserDefinedDagsterK8sConfig.from_dict(of_step),
        )
        plain = _plain(job)
        kubernetes_validate.validate(plain, VERSION, strict=True)
        resources = plain["spec"]["template"]["spec"]["containers"][0]["resources"]
        assert set(resources) == {"requests", "limits"}, step
        gpus[step] = resources["limits"].get("nvidia.com/gpu")
    assert {step for step, count in gpus.items() if count} == {"bert_model"}


def test_with_step_pods_every_job_of_the_pipeline_has_a_pod_for_each_step(tmp_path: Path) -> None:
    clone = make_clone(tmp_path / "clone")
    isolated = build_definitions(settings_of(clone, STEP_PODS=str(STEPS)))
    embedded = build_definitions(settings_of(clone))
    for name in ("pipeline", "refresh_models", "promote"):
        assert isolated.resolve_job_def(name).executor_def.name == "k8s"
        assert embedded.resolve_job_def(name).executor_def is dg.in_process_executor


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("per_step_k8s_config: {bert_modle: {}}", "'bert_modle' is no step, known are bert_model, "),
        ("max_concurent: 2", 'unexpected config entry "max_concurent"'),
        ("- bert_model", "must be a mapping"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_file_of_step_pods_that_means_nothing_is_refused(tmp_path: Path, content: str, said: str) -> None:
    bad = tmp_path / "steps.yaml"
    bad.write_text(content, encoding="utf-8")
    with pytest.raises(BadSetting, match=re.escape(said)) as refused:
        build_definitions(settings_of(make_clone(tmp_path / "clone"), STEP_PODS=str(bad)))
    assert str(bad) in str(refused.value)


def test_without_dagster_k8s_the_next_step_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "dagster_k8s", None)
    clone = make_clone(tmp_path / "clone")
    with pytest.raises(BadSetting, match=r"STEP_PODS is set to .* pip install -r locks/kubernetes\.txt"):
        build_definitions(settings_of(clone, STEP_PODS=str(STEPS)))


def _snake(part: Any) -> Any:
    if isinstance(part, list):
        return [_snake(one) for one in part]
    if isinstance(part, dict):
        return {
            re.sub(r"(?<=[a-z])([A-Z])", lambda m: f"_{m[1].lower()}", key): _snake(one) for key, one in part.items()
        }
    return part


def _plain(job: Any) -> dict[str, Any]:
    from kubernetes.client import ApiClient

    return ApiClient().sanitize_for_serialization(job)
