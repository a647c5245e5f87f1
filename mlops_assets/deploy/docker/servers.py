"""Containers behind the gateway: one slot is live, the other takes the next release."""

import contextlib
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_assets.deploy.docker import gateway_config
from mlops_assets.deploy.docker.container_logs import last_lines
from mlops_assets.deploy.docker.engine import SERVER_PORT, DockerEngine, port_of, why_not_started
from mlops_assets.deploy.docker.gateway import HaproxyGateway
from mlops_assets.deploy.docker.gateway_config import SLOTS, Slot
from mlops_assets.deploy.docker.memory import death_of, memory_limit
from mlops_assets.deploy.kept_logs import MOST_LINES, keep_log
from mlops_assets.deploy.release import Release
from mlops_assets.deploy.server_settings import ServerSettings
from mlops_assets.deploy.service_client import Reply, ServiceClient
from mlops_assets.deploy.traffic import Traffic
from mlops_assets.failures import PermanentFailure
from mlops_assets.serving.overview_file import LAST_SUCCESS, OVERVIEW

_SHOWN = "/shown"
"""The path of the folder `shown` inside a container."""
ALIAS = "model-service"
"""The name by which whatever serves is found on the network: who scrapes it asks there."""
_SETTINGS = "mlops.settings"
"""The label with the digests of the settings that a container was started with."""
_STOP_S = 20
_LOG_LINES = 30


class NeverStarted(PermanentFailure):
    """The engine does not run the container."""


@dataclass(frozen=True)
class ServerContainer:
    """One container in one slot; `host` and `port` are its own, past the gateway, `settings` are digests."""

    id: str
    name: str
    slot: Slot
    host: str
    port: int
    image: str
    since: str
    settings: Mapping[str, str]


class DockerServers:
    """Implements `Servers` with one container in each slot."""

    def __init__(
        self,
        engine: DockerEngine,
        gateway: HaproxyGateway,
        project: str,
        settings: ServerSettings,
        *,
        image: str = "",
        key: str = "",
        shown: Path,
        inside: bool = False,
    ) -> None:
        """`shown` is the folder that the containers may read; `inside` says that this process is on their network."""
        self._shown, self._inside = engine.machine.folder(project, shown), inside
        self._engine, self._gateway, self._project = engine, gateway, project
        self._settings, self._image, self._key = settings, image, key

    def sweep(self) -> None:
        self._gateway.ensure()
        for container in self.strays():
            slot = container.labels.get("mlops.slot")
            if container.status == "running" and slot in SLOTS and slot != self._gateway.live():
                # Who deployed may have been killed in the switch, and requests may be under way there.
                self.stop(self._described(container))
            else:
                self.remove(container)

    def strays(self) -> list[Any]:
        """The containers of servers and trials, without the live one."""
        live = self.current()
        return [
            container
            for container in self._engine.containers(f"mlops.project={self._project}")
            if container.labels.get("mlops.role") in {"server", "trial"} and (live is None or container.id != live.id)
        ]

    def current(self) -> ServerContainer | None:
        container = self.live_container()
        return self._described(container) if container is not None and container.status == "running" else None

    def as_set(self, instance: ServerContainer) -> bool:
        return instance.slot == self._gateway.live() and not self._settings.differing(instance.settings)

    def public(self) -> ServiceClient:
        return self._gateway.public()

    def start(self, release: Release) -> ServerContainer:
        live = self._gateway.live()
        slot = gateway_config.other(live) if live is not None and self.current() is not None else SLOTS[0]
        # The engine would make a missing folder root's own, and nobody else could write there.
        self._shown.open_to_all()
        api = self._engine.client.api
        name = f"{self._project}-{release.version}-{uuid.uuid4().hex[:4]}"
        network = api.create_networking_config(
            {
                self._gateway.network: api.create_endpoint_config(
                    ipv4_address=self._gateway.address(slot), aliases=[ALIAS]
                )
            }
        )
        try:
            # Its own loopback port, past the gateway: the deployer asks it before anybody else can.
            container = self._engine.create(
                self._image,
                name,
                gpus=release.wants_gpu,
                environment={
                    **self._settings.environment,
                    "LAST_SUCCESS_FILE": f"{_SHOWN}/{LAST_SUCCESS}",
                    "OVERVIEW_FILE": f"{_SHOWN}/{OVERVIEW}",
                    "SPOOL_FILE": "/tmp/spool.sqlite",  # noqa: S108  # inside the container, its only writable place
                    "BEHIND_GATEWAY": "1",
                },
                labels={
                    "mlops.project": self._project,
                    "mlops.role": "server",
                    "mlops.slot": slot,
                    "mlops.release": release.version,
                    _SETTINGS: json.dumps(self._settings.digests()),
                },
                networking_config=network,
                host={
                    "mem_limit": memory_limit(release, self._settings.environment),
                    "restart_policy": gateway_config.RESTART,
                    "network_mode": self._gateway.network,
                    "binds": {self._shown.path: {"bind": _SHOWN, "mode": "ro"}},
                    **({"port_bindings": {}} if self._inside else {}),
                },
            )
            container.start()
        except self._engine.errors.APIError as error:
            with contextlib.suppress(self._engine.errors.NotFound):
                self._engine.client.containers.get(name).remove(force=True)
            raise NeverStarted(f"container {name} does not start: {why_not_started(error)}") from error
        return self._described(container)

    def running(self, instance: ServerContainer) -> bool:
        try:
            container = self._engine.client.containers.get(instance.id)
        except self._engine.errors.NotFound:
            return False
        # A restart in the meantime is a death, although the engine hides it.
        return container.status == "running" and container.attrs["RestartCount"] == 0

    def ask(self, instance: ServerContainer, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        return self._client(instance).ask(method, path, body)

    def traffic(self, instance: ServerContainer) -> Traffic:
        return self._client(instance).traffic()

    def share(self, new: ServerContainer, percent: int) -> None:
        self._gateway.share(new.slot, percent)

    def canary(self) -> str:
        """The release that has a share of the requests beside the live one, and its share; empty without one."""
        live, percent = self._gateway.live(), self._gateway.shared_percent()
        if live is None or not percent:
            return ""
        for container in self.strays():
            if container.labels.get("mlops.slot") == gateway_config.other(live) and container.status == "running":
                return f"release {container.labels['mlops.release']} has {percent} % of the requests"
        return ""

    def past_the_gateway(self, instance: ServerContainer) -> ServiceClient:
        """Asks the instance itself, as a client without a key does."""
        return ServiceClient(instance.host, instance.port, timeout_s=5, connect=self._engine.machine.connect)

    def switch(self, new: ServerContainer, old: ServerContainer | None) -> None:
        del old
        self._engine.machine.again(prove=True)  # it may be the way back from a break
        self._gateway.switch(new.slot)

    def stop(self, instance: ServerContainer) -> None:
        """The gateway sends nothing there any more; what is under way ends, then the container goes."""
        if self._gateway.live() != instance.slot:
            self._drained(instance.slot)
            self._gateway.release(instance.slot)
        with contextlib.suppress(self._engine.errors.NotFound):
            container = self._engine.client.containers.get(instance.id)
            container.stop(timeout=_STOP_S)
            self.remove(container)

    def remove(self, container: Any) -> None:
        """Remove the container; of a server its last lines stay."""
        if container.labels.get("mlops.role") == "server":
            keep_log(self._settings.folder, container.name, last_lines(container, MOST_LINES))
        container.remove(force=True)

    def log(self, instance: ServerContainer) -> str:
        try:
            container = self._engine.client.containers.get(instance.id)
        except self._engine.errors.NotFound:
            return ""
        return f"{last_lines(container, _LOG_LINES)}{death_of(container)}".strip()

    def live_container(self) -> Any:
        """The container in the live slot, running or not; None without one."""
        slot = self._gateway.live()
        found = self._engine.containers(f"mlops.project={self._project}") if slot is not None else []
        in_slot = [container for container in found if container.labels.get("mlops.slot") == slot]
        running = [container for container in in_slot if container.status == "running"]
        return next(iter(running or in_slot), None)

    def _client(self, instance: ServerContainer) -> ServiceClient:
        return ServiceClient(instance.host, instance.port, key=self._key, connect=self._engine.machine.connect)

    def _drained(self, slot: Slot, timeout_s: float = 15.0) -> None:
        """Wait until no request of the gateway is under way in `slot`."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until and _current_requests(self._gateway.command("show stat"), slot):
            time.sleep(0.05)

    def _described(self, container: Any) -> ServerContainer:
        container.reload()
        return ServerContainer(
            id=container.id,
            name=container.name,
            slot=container.labels["mlops.slot"],
            host=self._gateway.address(container.labels["mlops.slot"]) if self._inside else "127.0.0.1",
            port=SERVER_PORT if self._inside else port_of(container),
            image=container.attrs["Config"]["Image"],
            since=container.attrs["State"]["StartedAt"],
            settings=json.loads(container.labels.get(_SETTINGS, "{}")),
        )


def _current_requests(stat: str, slot: Slot) -> int:
    """The sessions of `service/slot` in the answer to `show stat`, a CSV."""
    header, *rows = stat.lstrip("# ").splitlines()
    names = header.split(",")
    for row in rows:
        values = dict(zip(names, row.split(","), strict=False))
        if (values["pxname"], values["svname"]) == ("service", slot):
            return int(values["scur"] or 0)
    return 0
