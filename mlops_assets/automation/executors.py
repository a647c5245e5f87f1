"""Where the steps of a run work: in the run's own process, or each in a Kubernetes pod of its own."""

from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from mlops_assets.failures import BadSetting


def step_executor(step_pods: Path | None, steps: Collection[str]) -> dg.ExecutorDefinition:
    """One process for all steps, unless the file `step_pods` (STEP_PODS) says what each of `steps` asks of a cluster.

    A process each costs seconds, and the heavy ones use every core anyway. On a cluster one step alone needs a GPU.
    """
    if step_pods is None:
        return dg.in_process_executor
    try:
        executor: Any = import_module("dagster_k8s").k8s_job_executor
    except ImportError as error:
        raise BadSetting(
            f"STEP_PODS is set to {str(step_pods)!r}, but dagster-k8s is not installed: "
            "pip install -r locks/kubernetes.txt, or leave STEP_PODS empty"
        ) from error
    try:
        config: Any = yaml.safe_load(step_pods.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise BadSetting(f"STEP_PODS: {step_pods} cannot be read: {error}".replace("\n", " ")) from error
    if not isinstance(config, dict):
        raise BadSetting(
            f"STEP_PODS: {step_pods} must be a mapping such as stack/kubernetes/steps.yaml, got {config!r}"
        )
    unknown = sorted(set(config.get("per_step_k8s_config") or ()) - set(steps))
    if unknown:
        raise BadSetting(f"STEP_PODS: {step_pods}: {unknown[0]!r} is no step, known are {', '.join(sorted(steps))}")
    configured = executor.configured(config, name="k8s")
    checked = configured.apply_config_mapping({"config": {}})
    if not checked.success:
        raise BadSetting(f"STEP_PODS: {step_pods}: {checked.errors[0].message}")
    return configured
