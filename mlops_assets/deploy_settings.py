"""What the environment says about the deployment: target, host, registry. `settings.py` reads it."""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import SecretStr

from mlops_assets.failures import BadSetting
from mlops_assets.variables import Variables

DeployTarget = Literal["auto", "process", "docker"]
ImageVariant = Literal["cpu", "gpu"]

_HOST = r"ssh://([A-Za-z0-9_][\w.-]*@)?([A-Za-z0-9_][\w.-]*|\[[0-9A-Fa-f:]+\])(:\d{1,5})?(/[\w./-]+)?/?"
NO_HOST_IN_THE_STACK = (
    "DEPLOY_HOST is not for a team's server, whose door, dashboards and guard reach the engine of its own machine "
    "alone: take it out of .env, or deploy from a clone without make up"
)
_REGISTRY = re.compile(r"[a-z0-9][a-z0-9.-]*(:\d{1,5})?(/[a-z0-9][a-z0-9._-]*)*")


def deployment_settings(env: Variables, bert: Mapping[str, Any]) -> dict[str, Any]:
    """What the server computes on and what runs it; only an image brings ONNX Runtime's build for a GPU."""
    target: DeployTarget = env.choice("DEPLOY_TARGET", get_args(DeployTarget)) or "auto"
    variant: ImageVariant = env.choice("IMAGE_VARIANT", get_args(ImageVariant)) or "cpu"
    if variant == "gpu":
        if target == "process":
            raise BadSetting(
                "IMAGE_VARIANT=gpu needs an image, but DEPLOY_TARGET=process runs the pipeline's own ONNX Runtime, "
                "which computes on the CPU: set DEPLOY_TARGET=docker, or IMAGE_VARIANT=cpu"
            )
        if (serve := bert.get("serve", "int8")) != "fp32":
            raise BadSetting(
                f"params.yaml: bert.serve must be fp32 where IMAGE_VARIANT is gpu, got {serve!r}: set it, so that the "
                "model that is judged is the one that serves, or set IMAGE_VARIANT=cpu"
            )
        target = "docker"
    host = env.matching("DEPLOY_HOST", _HOST, "ssh://user@host, ssh://user@host:port or such with a path")
    if host:
        if target == "process":
            raise BadSetting(
                f"DEPLOY_HOST={host} has the engine of that host run the service, but DEPLOY_TARGET=process runs it "
                "here: leave one of the two out"
            )
        if env.text("SERVICE_NETWORK", ""):
            raise BadSetting(NO_HOST_IN_THE_STACK)
        target = "docker"
    return {"deploy_target": target, "deploy_host": host or "", "image_variant": variant}


def registry_settings(env: Variables) -> dict[str, Any]:
    """Where images go, with the login; on ghcr.io GITHUB_TOKEN serves where no password is given.

    Without IMAGE_REGISTRY that is this machine's registry. With DEPLOY_HOST the image then stays on the engine there.
    """
    default = "" if env.text("DEPLOY_HOST", "") else "localhost:5000"
    registry = env.text("IMAGE_REGISTRY", default).rstrip("/")
    if registry and not _REGISTRY.fullmatch(registry):
        raise BadSetting(f"IMAGE_REGISTRY must be host[:port][/path] in lower case, got {registry!r}")
    user, password = env.text("REGISTRY_USER", ""), env.text("REGISTRY_PASSWORD", "")
    if registry.partition("/")[0] == "ghcr.io" and not password:
        password = env.text("GITHUB_TOKEN", "")
        user = user or (registry.split("/")[1] if password and "/" in registry else "")
    if password and not user:
        raise BadSetting("REGISTRY_PASSWORD is set, but REGISTRY_USER is empty: set both, or neither")
    return {
        "image_registry": registry,
        "registry_user": user,
        "registry_password": SecretStr(password) if password else None,
    }
