"""The Docker SDK's client of a machine's engine, and what it says if the engine does not answer."""

import socket
from typing import Any

from mlops_assets.deploy.docker.machine import EngineDown, Machine

_SOCKET = "unix:///var/run/docker.sock"


def open_client(machine: Machine) -> Any:
    """A client of the engine; raises `EngineDown`, and so do its requests if the connection breaks."""
    import docker
    import docker.errors
    import docker.utils

    address = machine.engine()
    try:
        if not address:
            _knock(docker.utils.kwargs_from_env().get("base_url") or _SOCKET)
        client = docker.DockerClient(address, timeout=120) if address else docker.from_env(timeout=120)
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        raise EngineDown(_no_engine(machine, error)) from error
    _name_what_broke(client.api, machine)
    return client


def _no_engine(machine: Machine, error: Exception) -> str:
    if not machine.name:
        return f"no Docker engine answers ({error}): start it, or set DEPLOY_TARGET=process"
    return (
        f"{machine.name} (DEPLOY_HOST) is reached, but no Docker engine answers there ({error}): start it, let the "
        "login use its socket (group docker; DEPLOY_HOST=ssh://user@host/path/docker.sock names another one), and let "
        "sshd forward (AllowTcpForwarding, AllowStreamLocalForwarding)"
    )


def _name_what_broke(api: Any, machine: Machine) -> None:
    """Have the client say at which request the engine, or the way to it, was gone; the next one goes a new way."""
    import requests.exceptions

    send = api.send

    def sending(request: Any, **options: Any) -> Any:
        machine.again()
        try:
            return send(request, **options)
        except requests.exceptions.ConnectionError as error:
            engine = f"the engine of {machine.name}" if machine.name else "the Docker engine"
            path = request.path_url.partition("?")[0]
            raise EngineDown(f"{engine} broke off at {request.method} {path}: {error}") from error

    api.send = sending


def _knock(address: str) -> None:
    """Raise `OSError` if nobody listens at a socket file: docker's own attempt would leave its socket open."""
    _, found, path = address.partition("unix://")
    if found:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            probe.connect(path)
