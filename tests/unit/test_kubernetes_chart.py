"""The values of stack/kubernetes/values.yaml, rendered by Helm's own engine.

With DAGSTER_CHART, the folder that `helm pull dagster --repo https://dagster-io.github.io/helm --untar` makes,
Dagster's own chart is rendered too. A small chart that uses the values in the same way is always rendered.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import helm_python
import kubernetes_validate
import pytest
import yaml

from tests.fakes.kubernetes_api import VERSION
from tests.kubernetes_instance import IMAGE, STACK, instance_config, launched_job
from tests.repository import ROOT

pytestmark = pytest.mark.slow

SMALL_CHART = {
    "Chart.yaml": "{apiVersion: v2, name: dagster, version: 0.0.1}",
    "values.yaml": """
dagsterWebserver:
  service: {port: 80}
  readinessProbe: {httpGet: {path: /server_info, port: 80}}
dagsterDaemon:
  sensors: {useThreads: true, numWorkers: 4}
  schedules: {useThreads: true, numWorkers: 4}
  volumes: []
  volumeMounts: []
""",
    "templates/dagster.yaml": """
{{- range $name := list "dagsterWebserver" "dagsterDaemon" }}
{{- with index $.Values $name }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ $name | lower }}, namespace: {{ $.Release.Namespace }}}
spec:
  selector: {matchLabels: {deployment: {{ $name }}}}
  template:
    metadata: {labels: {deployment: {{ $name }}}}
    spec:
      securityContext: {{ toYaml .podSecurityContext | nindent 8 }}
      volumes: {{ toYaml .volumes | nindent 8 }}
      containers:
        - name: dagster
          image: "{{ .image.repository }}:{{ .image.tag }}"
          {{- with .service }}
          ports:
            - {name: http, containerPort: {{ .port }}}
          {{- end }}
          {{- with .readinessProbe }}
          readinessProbe: {{ toYaml . | nindent 12 }}
          {{- end }}
          securityContext: {{ toYaml .securityContext | nindent 12 }}
          volumeMounts: {{ toYaml .volumeMounts | nindent 12 }}
          resources: {{ toYaml .resources | nindent 12 }}
{{- end }}
{{- end }}
""",
    "templates/instance.yaml": """
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-dagster-instance, namespace: {{ .Release.Namespace }}}
data:
  dagster.yaml: |
    {{- with .Values.runLauncher.config.k8sRunLauncher }}
    run_launcher:
      module: dagster_k8s
      class: K8sRunLauncher
      config:
        load_incluster_config: {{ .loadInclusterConfig }}
        job_namespace: {{ $.Release.Namespace }}
        image_pull_policy: {{ .imagePullPolicy }}
        service_account_name: {{ $.Release.Name }}-dagster
        dagster_home: {{ $.Values.global.dagsterHome }}
        instance_config_map: {{ $.Release.Name }}-dagster-instance
        postgres_password_secret: {{ $.Values.global.postgresqlSecretName }}
        env_secrets: {{ range .envSecrets }}
          - {{ .name }}
          {{- end }}
        volumes: {{ toYaml .volumes | nindent 10 }}
        volume_mounts: {{ toYaml .volumeMounts | nindent 10 }}
        fail_pod_on_run_failure: {{ .failPodOnRunFailure }}
        run_k8s_config:
          container_config: {{ toYaml .runK8sConfig.containerConfig | nindent 12 }}
          pod_spec_config: {{ toYaml .runK8sConfig.podSpecConfig | nindent 12 }}
          job_spec_config: {{ toYaml .runK8sConfig.jobSpecConfig | nindent 12 }}
    {{- end }}
    {{- range $name := list "sensors" "schedules" }}
    {{- with index $.Values.dagsterDaemon $name }}
    {{- if .useThreads }}
    {{ $name }}: {use_threads: true, num_workers: {{ .numWorkers }}}
    {{- end }}
    {{- end }}
    {{- end }}
    {{- toYaml .Values.additionalInstanceConfig | nindent 4 }}
""",
    "templates/migrate.yaml": """
{{- if .Values.migrate.enabled }}
apiVersion: batch/v1
kind: Job
metadata: {name: {{ .Release.Name }}-dagster-webserver-instance-migrate, namespace: {{ .Release.Namespace }}}
spec:
  template:
    spec:
      restartPolicy: Never
      volumes: {{ toYaml .Values.dagsterWebserver.volumes | nindent 8 }}
      containers:
        - name: migrate
          image: "{{ .Values.dagsterWebserver.image.repository }}:{{ .Values.dagsterWebserver.image.tag }}"
          command: [dagster, instance, migrate]
          volumeMounts: {{ toYaml .Values.dagsterWebserver.volumeMounts | nindent 12 }}
{{- end }}
""",
    "templates/service.yaml": """
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}-dagster-webserver, namespace: {{ .Release.Namespace }}}
spec:
  selector: {deployment: dagsterWebserver}
  ports:
    - {name: http, port: {{ .Values.dagsterWebserver.service.port }}}
""",
    "templates/account.yaml": """
apiVersion: v1
kind: ServiceAccount
metadata: {name: {{ .Release.Name }}-dagster, namespace: {{ .Release.Namespace }}}
""",
    "templates/code.yaml": """
{{- range index .Values "dagster-user-deployments" "deployments" }}
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .name }}, namespace: {{ $.Release.Namespace }}}
spec:
  selector: {matchLabels: {deployment: {{ .name }}}}
  template:
    metadata: {labels: {deployment: {{ .name }}}}
    spec:
      securityContext: {{ toYaml .podSecurityContext | nindent 8 }}
      volumes: {{ toYaml .volumes | nindent 8 }}
      containers:
        - name: code
          image: "{{ .image.repository }}:{{ .image.tag }}"
          {{- if .dagsterApiGrpcArgs }}
          args: {{ concat (list "dagster" "api" "grpc" "-p" (toString .port)) .dagsterApiGrpcArgs | toJson }}
          {{- else }}
          args: {{ concat (list "dagster" "code-server" "start" "-p" (toString .port)) .codeServerArgs | toJson }}
          {{- end }}
          securityContext: {{ toYaml .securityContext | nindent 12 }}
          volumeMounts: {{ toYaml .volumeMounts | nindent 12 }}
          resources: {{ toYaml .resources | nindent 12 }}
{{- end }}
""",
}
MADE_BEFORE = {
    ("Secret", "mlops-env"),
    ("Secret", "dagster-postgresql-secret"),
    ("PersistentVolumeClaim", "mlops-clone"),
}
"""What docs/scaling.md has a user make before `helm install`."""
STORAGE_OF_THE_CHART = {"scheduler", "schedule_storage", "run_storage", "event_log_storage"}
MORE_BY_THE_CHART = {
    "run_coordinator": {"config"},  # runs that are due are launched in four threads
    "retention": {"auto_materialize"},  # no asset here has a condition
}
NAMED_AFTER_THE_RELEASE = ("service_account_name", "instance_config_map")


@pytest.fixture(params=["small", "dagster"])
def chart(request, tmp_path: Path) -> Path:
    if request.param == "dagster":
        given = os.environ.get("DAGSTER_CHART")  # noqa: TID251  a chart for the tests, no setting
        if not given:
            pytest.skip("Dagster's own chart is not rendered: DAGSTER_CHART names no folder of it")
        return Path(given)
    folder = tmp_path / "chart"
    (folder / "templates").mkdir(parents=True)
    for name, content in SMALL_CHART.items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def test_every_manifest_of_the_chart_is_one_that_kubernetes_takes(chart: Path) -> None:
    manifests = rendered(chart, values())
    assert {"ConfigMap", "Deployment"} <= {manifest["kind"] for manifest in manifests}
    refuse_what_kubernetes_would(manifests)


def test_the_charts_code_location_runs_our_image_on_the_clone_and_without_rights(chart: Path) -> None:
    (pod,) = (
        manifest["spec"]["template"]["spec"]
        for manifest in rendered(chart, values())
        if manifest["kind"] == "Deployment" and "mlops-assets" in manifest["metadata"]["name"]
    )
    (container,) = pod["containers"]
    assert container["image"] == IMAGE
    assert container["args"][:3] == ["dagster", "code-server", "start"]
    assert container["args"][-2:] == ["-m", "mlops_assets.definitions"]
    assert {"name": "clone", "mountPath": "/srv/mlops"} in container["volumeMounts"]
    assert {"name": "clone", "persistentVolumeClaim": {"claimName": "mlops-clone"}} in pod["volumes"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert pod["securityContext"]["runAsNonRoot"] is True


def test_an_upgrade_to_another_image_changes_no_job(chart: Path) -> None:
    """Kubernetes refuses another pod in a Job that exists, and with it the whole `helm upgrade`."""
    upgraded = values()
    upgraded["dagsterWebserver"]["image"] = {"repository": "registry.example.com/mlops/orchestrator", "tag": "0.2.0"}
    assert jobs(rendered(chart, upgraded)) == jobs(rendered(chart, values()))


def test_the_job_of_an_upgrade_migrates_with_the_new_image(chart: Path) -> None:
    upgraded = values() | {"migrate": {"enabled": True}}
    ((name, job),) = jobs(rendered(chart, upgraded)).items()
    assert f"job/{name}" in (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    (container,) = job["template"]["spec"]["containers"]
    assert [*container["command"], *container.get("args", ())] == ["dagster", "instance", "migrate"]
    assert container["image"] == IMAGE


def test_every_pod_has_the_volume_on_which_runs_leave_their_logs(chart: Path) -> None:
    for pod in pods(rendered(chart, values())):
        (container,) = pod["containers"]
        assert {"name": "clone", "mountPath": "/srv/mlops"} in container["volumeMounts"], container
        assert {"name": "clone", "persistentVolumeClaim": {"claimName": "mlops-clone"}} in pod["volumes"]


def test_no_pod_has_the_files_of_the_clone_changed_at_its_start(chart: Path, tmp_path: Path, monkeypatch) -> None:
    """Else Kubernetes sets group and mode of every file, and DVC hashes its cache again: it trusts mode 0444 only."""
    manifests = rendered(chart, values())
    job = launched_job(tmp_path, monkeypatch, instance_config())
    for pod in [*pods(manifests), job["spec"]["template"]["spec"]]:
        assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"


def test_new_code_is_reported_to_the_webserver_of_the_chart(chart: Path) -> None:
    services = {
        (manifest["metadata"]["name"], port["port"])
        for manifest in rendered(chart, values())
        if manifest["kind"] == "Service"
        for port in manifest["spec"]["ports"]
    }
    (deployment,) = values()["dagster-user-deployments"]["deployments"]
    webserver = urlsplit(deployment["env"]["DAGSTER_RELOAD_URL"])
    assert (webserver.hostname, webserver.port) in services


def test_a_probe_asks_a_port_that_its_container_listens_on(chart: Path) -> None:
    """The chart's webserver is asked at port 80, whatever port it is given, unless the probe is told as well."""
    asked = [
        (container["name"], probe["httpGet"]["port"], ports(container))
        for pod in pods(rendered(chart, values()))
        for container in pod["containers"]
        for key, probe in container.items()
        if key.endswith("Probe") and "httpGet" in probe
    ]
    assert asked
    for container_name, port, listens_on in asked:
        assert port in listens_on, container_name


def test_the_charts_instance_has_the_rules_of_dagster_yaml_and_no_others(chart: Path) -> None:
    theirs, ours = of_the_chart(rendered(chart, values())), instance_config()
    assert set(theirs) - set(ours) <= STORAGE_OF_THE_CHART
    for name in (set(theirs) & set(ours)) - {"run_launcher"}:
        differs = {key for key, value in theirs[name].items() if ours[name].get(key) != value}
        assert differs <= MORE_BY_THE_CHART.get(name, set()), name


def test_the_charts_launcher_makes_the_same_job_as_dagster_yaml(chart: Path, tmp_path: Path, monkeypatch) -> None:
    launcher = of_the_chart(rendered(chart, values()))["run_launcher"]
    config = instance_config()
    config["run_launcher"]["config"] |= {name: launcher["config"][name] for name in NAMED_AFTER_THE_RELEASE}
    ours = launched_job(tmp_path, monkeypatch, config)
    theirs = launched_job(tmp_path, monkeypatch, instance_config() | {"run_launcher": launcher})
    assert _comparable(theirs) == _comparable(ours)


def test_what_the_pods_name_is_made_by_the_chart_or_before_it(chart: Path, tmp_path: Path, monkeypatch) -> None:
    manifests = rendered(chart, values())
    launcher = of_the_chart(manifests)["run_launcher"]
    job = launched_job(tmp_path, monkeypatch, instance_config() | {"run_launcher": launcher})
    named = {one for pod in [*pods(manifests), job["spec"]["template"]["spec"]] for one in references(pod)}
    made = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
    assert named - made == MADE_BEFORE


@pytest.mark.parametrize("chart", ["small"], indirect=True)
def test_values_that_make_a_wrong_manifest_are_noticed(chart: Path) -> None:
    wrong = values()
    deployment = wrong["dagster-user-deployments"]["deployments"][0]
    deployment["volumes"] = [{"name": "clone", "persistentVolumeClame": {}}]
    with pytest.raises(kubernetes_validate.ValidationError, match="persistentVolumeClame"):
        refuse_what_kubernetes_would(rendered(chart, wrong))


def values() -> dict[str, Any]:
    return yaml.safe_load((STACK / "values.yaml").read_text(encoding="utf-8"))


def rendered(folder: Path, given: dict[str, Any]) -> list[dict[str, Any]]:
    """Every manifest that `helm install mlops -n mlops` would send; raises if the chart's schema refuses the values."""
    with helm_python.Chart.load(folder) as loaded:
        loaded.validate_schema(given)
        templates = loaded.render(given, name="mlops", namespace="mlops", is_install=True)
    manifests = {name: text for name, text in templates.items() if name.endswith(".yaml")}
    return [manifest for text in manifests.values() for manifest in yaml.safe_load_all(text) if manifest]


def of_the_chart(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """The instance that the chart configures."""
    (text,) = (manifest["data"]["dagster.yaml"] for manifest in manifests if "dagster.yaml" in manifest.get("data", {}))
    return yaml.safe_load(text)


def pods(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pods of the chart's Deployments and Jobs."""
    return [manifest["spec"]["template"]["spec"] for manifest in manifests if manifest["kind"] in {"Deployment", "Job"}]


def jobs(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    return {manifest["metadata"]["name"]: manifest["spec"] for manifest in manifests if manifest["kind"] == "Job"}


def ports(container: dict[str, Any]) -> set[str | int]:
    """Every name and number by which a probe may ask the container."""
    return {known for port in container.get("ports", ()) for known in (port["name"], port["containerPort"])}


def references(pod: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind and name of everything without which Kubernetes does not start the pod."""
    if "serviceAccountName" in pod:
        yield "ServiceAccount", pod["serviceAccountName"]
    for volume in pod["volumes"]:
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for container in [*pod.get("initContainers", ()), *pod["containers"]]:
        sources = [(key, source) for one in container.get("envFrom", ()) for key, source in one.items()]
        sources += [
            (key, source) for one in container.get("env", ()) for key, source in one.get("valueFrom", {}).items()
        ]
        for key, source in sources:
            if not source.get("optional"):
                yield "ConfigMap" if key.startswith("configMap") else "Secret", source["name"]


def refuse_what_kubernetes_would(manifests: list[dict[str, Any]]) -> None:
    for manifest in manifests:
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def _comparable(job: dict[str, Any]) -> dict[str, Any]:
    """The Job's pod and limits without the run's id and the chart's own way to give the password."""
    spec = job["spec"]
    container = spec["template"]["spec"]["containers"][0]
    container["args"] = container["args"][:3]
    container["env"] = [one for one in container["env"] if one["name"] != "DAGSTER_PG_PASSWORD"]
    del spec["template"]["metadata"]
    return spec
