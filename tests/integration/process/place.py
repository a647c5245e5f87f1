"""What the tests of the process target share: its environment, its processes, whether a port answers."""

import os

import httpx

from mlops_assets.deploy.process.backend import ProcessBackend
from tests.docker_engine import port_of

ENVIRONMENT = {"PATH": os.environ["PATH"]}  # noqa: TID251 - the test starts programs, settings do not


def processes(service):
    return list(ProcessBackend(service.folder, port_of(service)).processes())


def answers_live(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/live", timeout=60).status_code == 200
    except httpx.TransportError:
        return False
