"""The gateway: an HAProxy container that holds the public port and outlives every deployment."""

import json
import random
import socket
import time
from pathlib import Path
from typing import Any

from mlops_assets.deploy.backend import host_to_ask
from mlops_assets.deploy.docker import gateway_config
from mlops_assets.deploy.docker.engine import BOUNDED_LOG, DockerEngine
from mlops_assets.deploy.docker.gateway_config import SLOTS, Slot
from mlops_assets.deploy.service_client import ServiceClient
from mlops_assets.failures import OutsideFailure, PermanentFailure

IMAGE = "haproxy:lts"
_READY_S = 15.0
_LIVE = "live.json"
_LAST = "show version"
_HOSTS = {"gateway": 2, "blue": 10, "green": 11}


def project_on(port: int) -> str:
    """The name of what the service on `port` has on an engine."""
    return f"mlops-{port}"


def gateway_name(project: str) -> str:
    """Of a project's gateway: its container, and its address for who shares its network."""
    return f"{project}-gateway"


class GatewayDown(OutsideFailure):
    """The gateway does not start or does not obey."""


class HaproxyGateway:
    """Network, container and state of one project's gateway. `folder` is shared with the container."""

    def __init__(
        self,
        engine: DockerEngine,
        project: str,
        folder: Path,
        host: str,
        port: int,
        *,
        certificate: Path | None = None,
        network: str = "",
        image: str = IMAGE,
    ) -> None:
        """`network` names an existing network, which stays; without it the gateway makes its own."""
        self._engine, self._project = engine, project
        self._folder = engine.machine.folder(project, folder)
        self._host, self._port, self._certificate = host, port, certificate
        self._certificate_name = gateway_config.CERTIFICATE if certificate else ""
        self._image = image
        self.network, self._shares_network = network or project, bool(network)

    @property
    def name(self) -> str:
        """The container's name."""
        return gateway_name(self._project)

    def live(self) -> Slot | None:
        """The slot that has the public port, as the last finished switch left it."""
        return self._record().get("slot")

    def shared_percent(self) -> int:
        """The percentage of the requests that the other slot has; 0 unless a deployment goes by steps."""
        return self._record().get("shared_percent", 0)

    def address(self, slot: str) -> str:
        """The fixed address of a slot: a container that restarts is found where it was."""
        return f"{self._prefix()}.{_HOSTS[slot]}"

    def ensure(self) -> None:
        """Network and container are there, the admin socket answers and the live slot is in service."""
        renewed = self._take_certificate()
        self._ensure_network()
        container = self._container()
        if container is not None:
            self._refuse_foreign(container)
        if container is not None and not (self._publishes_right(container) and self._obeys(container)):
            container.remove(force=True)
            container = None
        self._write(self.live())  # a deployment that ended in mid-switch may have left it ahead of the record
        if container is None:
            self._run()
        elif container.status != "running":
            container.start()
        self._wait()
        if renewed:
            self._renew()
        live = self.live()
        for slot in SLOTS:
            self.command(gateway_config.enable(slot) if slot == live else gateway_config.disable(slot))
        if live is not None and self.shared_percent():
            self._note(live)

    def public(self) -> ServiceClient:
        """Asks the public port. It is published on the machine; on a shared network the container is asked itself."""
        host, port = host_to_ask(self._host), self._port
        if self._shares_network:
            host, port = self.name, gateway_config.PORT
        return ServiceClient(
            host, port, timeout_s=5, certificate=self._certificate, connect=self._engine.machine.connect
        )

    def switch(self, new: Slot) -> None:
        """`new` answers first, so that somebody always does; the record changes between the two."""
        self.command(gateway_config.enable(new))
        self._write(new)
        self.command(gateway_config.drain(gateway_config.other(new)))

    def share(self, new: Slot, percent: int) -> None:
        """`new` gets this percentage of the requests, the live slot the rest. A restart of the gateway ends it."""
        live = gateway_config.other(new)
        self._note(live, percent)
        self.command(gateway_config.weigh(live, 100 - percent))
        self.command(gateway_config.weigh(new, percent))
        self.command(gateway_config.enable(new))

    def release(self, slot: Slot) -> None:
        """Nothing goes to `slot` any more, and the gateway lets go of its connections there."""
        self.command(gateway_config.disable(slot))

    def command(self, line: str) -> str:
        """One command of the runtime API; raises `GatewayDown`."""
        changes = line.startswith("set server ")
        # An answer that breaks off looks like the empty one of success, so another one must follow it.
        answer = self._answer(f"{line};{_LAST}" if changes else line)
        if not changes:
            return answer
        if not answer:
            raise GatewayDown(f"the gateway {self.name} does not obey {line!r}: no answer")
        if refusal := answer.rpartition("\n")[0].strip():
            raise GatewayDown(f"the gateway {self.name} refuses {line!r}: {refusal}")
        return ""

    def _answer(self, line: str) -> str:
        try:
            with self._folder.connect(gateway_config.SOCKET, 5) as connection:
                return self._said(connection, line)
        except OSError as error:
            raise GatewayDown(f"the gateway {self.name} does not obey {line!r}: {error}") from error

    def _said(self, connection: socket.socket, line: str) -> str:
        connection.sendall(line.encode() + b"\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode().strip()

    def remove(self) -> None:
        """Container and network go; the public port is free."""
        container = self._container()
        if container is not None:
            container.remove(force=True)
        self._folder.remove(_LIVE)
        if self._shares_network:
            return
        for network in self._engine.client.networks.list(names=[self.network]):
            if network.name == self.network:
                network.remove()

    def _container(self) -> Any:
        try:
            return self._engine.client.containers.get(self.name)
        except self._engine.errors.NotFound:
            return None

    def _publishes_right(self, container: Any) -> bool:
        bindings = container.attrs["HostConfig"].get("PortBindings") or {}
        wanted = [{"HostIp": self._host, "HostPort": str(self._port)}]
        current = container.labels.get("mlops.configuration") == gateway_config.digest(self._certificate_name)
        reaches = self.network in container.attrs["NetworkSettings"]["Networks"]
        returns = container.attrs["HostConfig"]["RestartPolicy"]["Name"] == gateway_config.RESTART["Name"]
        current = current and container.attrs["Config"]["User"] == self._folder.owner
        return current and reaches and returns and bindings.get(f"{gateway_config.PORT}/tcp") == wanted

    def _refuse_foreign(self, container: Any) -> None:
        """A stack's gateway reaches no server that is started from outside of the stack: each request would get 503."""
        networks = list(container.attrs["NetworkSettings"]["Networks"])
        if not self._shares_network and self.network not in networks:
            raise PermanentFailure(
                f"the gateway {self.name} is on the network {', '.join(networks)} of a team's server: start that again "
                "(make up), so that this happens inside, or end the service first (make down SERVICE=1)"
            )

    def _take_certificate(self) -> bool:
        """Copy the certificate to the gateway's folder; whether it differs from the last certificate there."""
        if self._certificate is None:
            self._folder.remove(gateway_config.CERTIFICATE)
            return False
        pem = self._certificate.read_text(encoding="ascii")
        gateway_config.require_pem(pem, str(self._certificate))
        known = self._folder.read(gateway_config.CERTIFICATE)
        if known == pem:
            return False
        self._folder.write(gateway_config.CERTIFICATE, pem, mode=0o600)
        return known is not None

    def _renew(self) -> None:
        """Hand the running gateway its new certificate: connections stay, new ones see it."""
        path = f"{gateway_config.FOLDER}/{gateway_config.CERTIFICATE}"
        pem_text = self._folder.read(gateway_config.CERTIFICATE) or ""
        pem = "\n".join(line for line in pem_text.splitlines() if line.strip())
        reply = self.command(f"set ssl cert {path} <<\n{pem}\n")
        reply += self.command(f"commit ssl cert {path}")
        if "Success" not in reply:
            raise PermanentFailure(f"the gateway {self.name} does not take the certificate: {reply}")

    def _obeys(self, container: Any) -> bool:
        """False if it runs and its folder was deleted: then it must be made again."""
        if container.status != "running":
            return True
        until = time.monotonic() + _READY_S / 5
        while time.monotonic() < until:
            try:
                self.command("show info")
            except GatewayDown:
                time.sleep(0.1)
            else:
                return True
        return False

    def _ensure_network(self) -> None:
        docker_types: Any = __import__("docker").types
        if any(network.name == self.network for network in self._engine.client.networks.list(names=[self.network])):
            return
        if self._shares_network:
            raise PermanentFailure(f"there is no network {self.network}, which SERVICE_NETWORK names: make up makes it")
        # Fixed addresses need a subnet of our own choice; if it is taken, the next is tried.
        numbers = random.Random(self._project).sample(range(256), 16)  # noqa: S311  # spreads, protects nothing
        for number in numbers:
            pool = docker_types.IPAMPool(subnet=f"10.213.{number}.0/24")
            try:
                self._engine.client.networks.create(
                    self.network,
                    ipam=docker_types.IPAMConfig(pool_configs=[pool]),
                    labels={"mlops.project": self._project},
                )
            except self._engine.errors.APIError as error:
                if "overlap" not in str(error):
                    raise GatewayDown(f"network {self.network} cannot be created: {error}") from error
            else:
                return
        raise PermanentFailure("no subnet 10.213.x.0/24 of 16 is free: remove unused ones with docker network prune")

    def _prefix(self) -> str:
        (network,) = (
            found for found in self._engine.client.networks.list(names=[self.network]) if found.name == self.network
        )
        return network.attrs["IPAM"]["Config"][0]["Subnet"].rpartition(".")[0]

    def _write(self, live: Slot | None) -> None:
        addresses: dict[Slot, str] = {slot: self.address(slot) for slot in SLOTS}
        text = gateway_config.configuration(addresses, live, certificate=self._certificate_name)
        self._folder.write("haproxy.cfg", text)
        if live is not None:
            self._note(live)

    def _note(self, live: Slot, shared_percent: int = 0) -> None:
        shared = {"shared_percent": shared_percent} if shared_percent else {}
        self._folder.write(_LIVE, json.dumps({"slot": live, **shared}))

    def _record(self) -> dict[str, Any]:
        return json.loads(self._folder.read(_LIVE) or "{}")

    def _run(self) -> None:
        client = self._engine.client
        try:
            container = client.containers.create(
                self._image,
                command=["haproxy", "-W", "-f", f"{gateway_config.FOLDER}/haproxy.cfg"],
                name=self.name,
                user=self._folder.owner,  # whose the admin socket is
                ports={f"{gateway_config.PORT}/tcp": (self._host, self._port)},
                volumes={self._folder.path: {"bind": gateway_config.FOLDER, "mode": "rw"}},
                labels={
                    "mlops.project": self._project,
                    "mlops.role": "gateway",
                    "mlops.configuration": gateway_config.digest(self._certificate_name),
                },
                restart_policy=gateway_config.RESTART,
                log_config=BOUNDED_LOG,
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                network=self.network,
            )
            container.start()
        except self._engine.errors.APIError as error:
            stale = self._container()
            if stale is not None:
                stale.remove(force=True)
            raise GatewayDown(f"the gateway cannot take {self._host}:{self._port}: {error.explanation}") from error

    def _wait(self) -> None:
        until = time.monotonic() + _READY_S
        while True:
            try:
                self.command("show info")
            except GatewayDown:
                if time.monotonic() > until:
                    container = self._container()
                    log = container.logs(tail=20).decode(errors="replace") if container is not None else ""
                    raise GatewayDown(f"the gateway {self.name} does not start:\n{log}") from None
                time.sleep(0.05)
            else:
                return
