"""A Kubernetes API server on loopback that knows Jobs: what it is sent is checked against Kubernetes' own schema.

With `volumes` it is the kubelet too: a Job's container runs as a process of this machine, with the variables that the
Job gives it and the claimed volumes where its mounts say.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

VERSION = "1.34"
"""The Kubernetes whose schema counts."""


@dataclass
class Cluster:
    """`secrets` by name; `volumes` maps a claim to the folder that stands for it; none: nothing is started."""

    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    volumes: Mapping[str, Path] | None = None
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    logs: Path = Path("/dev/null")

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        """Raises `ValidationError` where Kubernetes would refuse the Job."""
        kubernetes_validate.validate(job, VERSION, strict=True)
        name = job["metadata"]["name"]
        self.jobs[name] = job
        if self.volumes is not None:
            self.running[name] = self._start(name, job["spec"]["template"]["spec"])
        return job

    def status(self, name: str) -> dict[str, Any]:
        process = self.running.get(name)
        if process is None or process.poll() is None:
            return {"active": 1}
        return {"succeeded": 1} if process.returncode == 0 else {"failed": 1}

    def delete(self, name: str) -> None:
        if (process := self.running.get(name)) is not None:
            process.terminate()

    def _start(self, name: str, pod: dict[str, Any]) -> subprocess.Popen[bytes]:
        container = pod["containers"][0]
        claims = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
        assert self.volumes is not None
        mounts = {mount["mountPath"]: self.volumes[claims[mount["name"]]] for mount in container["volumeMounts"]}
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # noqa: TID251  as in the image
        environment = {"PATH": programs, "HOME": str(self.logs)}
        for source in container.get("envFrom", ()):
            environment |= self.secrets[source["secretRef"]["name"]]
        for variable in container["env"]:
            value = variable["value"]
            for path, folder in mounts.items():
                value = f"{folder}{value.removeprefix(path)}" if value.startswith(path) else value
            environment[variable["name"]] = value
        with (self.logs / f"{name}.log").open("wb") as log:
            return subprocess.Popen(container["args"], env=environment, stdout=log, stderr=subprocess.STDOUT)


@contextmanager
def kubernetes_api(cluster: Cluster, folder: Path) -> Iterator[Path]:
    """Serve the cluster; the kubeconfig by which clients find it."""

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self._answer(201, cluster.create(job))
            except kubernetes_validate.ValidationError as error:
                self._answer(422, {"kind": "Status", "message": f"{list(error.path)}: {error.message}"})

        def do_GET(self) -> None:
            name = self.path.split("/jobs/")[-1].split("/")[0].split("?")[0]
            if name not in cluster.jobs:
                return self._answer(404, {"kind": "Status", "message": f"no job {name}"})
            return self._answer(200, {**cluster.jobs[name], "status": cluster.status(name)})

        def do_DELETE(self) -> None:
            name = self.path.split("/jobs/")[-1].split("?")[0]
            cluster.delete(name)
            self._answer(200, {"kind": "Status", "status": "Success"})

        def log_message(self, format: str, *_args: object) -> None:  # noqa: A002  the parent's name
            """Nothing on the tests' output."""

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "mlops"}}],
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "test", "user": {}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        try:
            yield path
        finally:
            for process in cluster.running.values():
                process.kill()
                process.wait()
            server.shutdown()
