"""The smoke test of a pushed image: the very one, by digest, started alone and asked its golden sentences."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from mlops_assets.deploy.docker.engine import SERVER_PORT, DockerEngine, port_of, why_not_started
from mlops_assets.deploy.release import Release
from mlops_assets.deploy.rollout import Reply, try_out
from mlops_assets.deploy.service_client import ServiceClient
from mlops_assets.failures import PermanentFailure

_LOG_LINES = 30


class _Trial:
    """Implements `deploy.rollout.Running` for one container on the engine's own network."""

    def __init__(self, key: str, network: str) -> None:
        self._key, self._network = key, network

    def running(self, instance: Any) -> bool:
        instance.reload()
        return instance.status == "running"

    def ask(self, instance: Any, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        host, port = "127.0.0.1", port_of(instance)
        if self._network:
            host, port = instance.attrs["NetworkSettings"]["Networks"][self._network]["IPAddress"], SERVER_PORT
        return ServiceClient(host, port, key=self._key).ask(method, path, body)

    def log(self, instance: Any) -> str:
        return instance.logs(tail=_LOG_LINES).decode("utf-8", "replace").strip()


def prove_image(  # noqa: PLR0913  # all that decides where and how it is asked
    engine: DockerEngine,
    reference: str,
    release: Release,
    report: Callable[[str], None],
    *,
    project: str,
    environment: Mapping[str, str],
    key: str = "",
    network: str = "",
    timeout_s: float = 60.0,
) -> None:
    """Started on `network`, where this process is on it, else on the engine's own with a port on loopback.

    Raises `DeploymentRefused` with the container's log where the image does not answer as its release says.
    """
    name = f"{project}-trial-{uuid.uuid4().hex[:6]}"
    try:
        container = engine.create(
            reference,
            name,
            gpus=release.wants_gpu,
            environment=dict(environment),
            labels={"mlops.project": project, "mlops.role": "trial", "mlops.release": release.version},
            host={"port_bindings": {}, "network_mode": network} if network else {},
        )
    except engine.errors.APIError as error:
        raise PermanentFailure(f"the image {reference} cannot be started: {why_not_started(error)}") from error
    try:
        container.start()
        took_s = try_out(release, container, _Trial(key, network), timeout_s=timeout_s)
        report(f"{reference} answers its {len(release.golden())} golden sentences in {took_s:.3f} s")
    except engine.errors.APIError as error:
        raise PermanentFailure(f"the image {reference} cannot be started: {why_not_started(error)}") from error
    finally:
        container.remove(force=True)
