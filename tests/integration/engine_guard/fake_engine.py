"""A Docker engine that records what it is asked, the guard in front of it, and what the pipeline asks for."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import httpx

from stack.engine.guard import DOCKERFILE, server
from stack.engine.rules import Stack
from tests.stack_machine import eventually
from tests.user_clone import free_port

PROJECT, PORT, USER = "team", "8099", "23456:23456"
RUNS, GATEWAY, REPOSITORY = "team-orchestrator", "haproxy:lts", "localhost:5000/app-review-sentiment"
TMP = "/tmp"  # noqa: S108  in the container
OF_RUN, OF_SERVICE = {"mlops.stack": PROJECT}, {"mlops.project": f"mlops-{PORT}"}
DIGEST = "sha256:" + "0" * 64
KNOWN = {"a" * 64: OF_RUN, "b" * 64: OF_SERVICE, "c" * 64: {"com.docker.compose.service": "postgres"}}
NETWORKS = {"1" * 64: f"{PROJECT}-service", "2" * 64: f"{PROJECT}-boards", "3" * 64: "host"}


class FakeEngine(ThreadingUnixStreamServer):
    """Records what it is asked. It knows the containers and networks above, and answers the rest with 200."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.binds: list[str] = []
        super().__init__(str(path), _Answer)

    def changes(self) -> list[tuple[str, str]]:
        """What it was asked to change."""
        return [(method, path) for method, path, _, _ in self.asked if method != "GET"]


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeEngine

    def do_GET(self) -> None:
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        status, reply = self._reply(self.path.partition("?")[0].split("/"))
        encoded = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    do_POST = do_DELETE = do_PUT = do_GET  # noqa: N815  names of http.server

    def _reply(self, parts: list[str]) -> tuple[int, Any]:  # noqa: PLR0911  one return a path
        match parts:
            case ["", "containers", "json"]:
                return 200, [{"Id": key, "Labels": labels, "Names": ["/x"]} for key, labels in KNOWN.items()]
            case ["", "containers", key, "json"]:
                host, labels = {"Binds": self.server.binds}, KNOWN.get(key)
                config = {"Labels": {"mlops.slot": "blue", **(labels or {})}, "Image": "x"}
                state = {"Status": "running", "StartedAt": "2026-01-01"}
                found = {"Id": key, "Name": "/x", "Config": config, "HostConfig": host, "State": state}
                return (200, found) if labels else (404, {"message": "no such container"})
            case ["", "networks"]:
                pool = {"Config": [{"Subnet": "10.213.77.0/24"}]}
                return 200, [{"Id": key, "Name": name, "IPAM": pool} for key, name in NETWORKS.items()]
            case ["", "networks", key]:
                return 200, {"Id": key, "Name": NETWORKS.get(key, key)}
            case ["", "version"]:
                return 200, {"ApiVersion": "1.41"}
            case ["", "images", key, "json"]:
                labels = {"mlops.release": "x"} if "e" in key.removeprefix("sha256:") else {}
                return 200, {"Id": key, "Config": {"Labels": labels}}
        return 200, {"Id": "a" * 64}

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def guarded(stack: Stack, engine: Path, dockerfile: Path = DOCKERFILE) -> Iterator[httpx.Client]:
    """A client of the guard, as the stack's containers see it."""
    port = free_port()
    running = server(stack, str(engine), "127.0.0.1", port, dockerfile)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        eventually(lambda: running.started, "the guard listens")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        running.should_exit = True
        thread.join()


def the_stack(clone: Path, project: str = PROJECT, orchestrator: str = RUNS, port: str = PORT) -> Stack:
    for name in ("gateway", "shown"):
        (clone / ".serving" / name).mkdir(parents=True, exist_ok=True)
    return Stack(clone, project, USER, orchestrator, GATEWAY, REPOSITORY, "127.0.0.1", port)


def run(clone: Path, **host: Any) -> dict[str, Any]:
    """What Dagster's launcher sends for a run, with `host` in its HostConfig."""
    return {
        "User": USER, "Tty": False, "AttachStdin": False, "AttachStdout": False, "Env": ["A=1"], "Cmd": ["true"],
        "Image": RUNS, "Volumes": {str(clone): {}}, "NetworkDisabled": False,
        "Labels": {**OF_RUN, "dagster/run_id": "x"}, "NetworkingConfig": {f"{PROJECT}-data": None},
        "HostConfig": {
            "Memory": 8 << 30, "ReadonlyRootfs": True, "NetworkMode": f"{PROJECT}-data", "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"], "Binds": [f"{clone}:{clone}"], "PidsLimit": 1024, "AutoRemove": True,
            "Init": True, "Tmpfs": {TMP: "mode=1777", "/dagster": "mode=1777"}, **host,
        },
    }  # fmt: skip


def gateway(clone: Path) -> dict[str, Any]:
    host = {"RestartPolicy": {"Name": "always"}, "Binds": [f"{clone}/.serving/gateway:/gateway:rw"],
            "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": PORT}]},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
            "NetworkMode": f"{PROJECT}-service"}  # fmt: skip
    return {**run(clone, **host), "Image": GATEWAY, "Labels": {**OF_SERVICE, "mlops.role": "gateway"}}


def service(clone: Path) -> dict[str, Any]:
    gpus = [{"Driver": "", "Count": -1, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}]
    host = {"Binds": [f"{clone}/.serving/shown:/shown:ro"], "PortBindings": {}, "DeviceRequests": gpus,
            "NetworkMode": f"{PROJECT}-service", "Tmpfs": {TMP: "size=64m"}}  # fmt: skip
    address = {"Aliases": ["model-service"], "IPAMConfig": {"IPv4Address": "10.213.77.10"}}
    wish = {**run(clone, **host), "Image": f"{REPOSITORY}@{DIGEST}", "Labels": OF_SERVICE}
    del wish["User"]
    return {**wish, "NetworkingConfig": {"EndpointsConfig": {f"{PROJECT}-service": address}}, "StopSignal": "SIGTERM"}


def create(client: httpx.Client, body: Any, name: str = "") -> httpx.Response:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post(
        "/v1.41/containers/create", content=content, params={"name": name} if name else None,
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
