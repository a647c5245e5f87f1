"""A deployment that SIGKILL ends at a chosen point: no handler runs, nothing is put in order.

python -m tests.integration.killed_deployment TARGET POINT STATE PORT RELEASE
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_assets.deploy.docker.backend import DockerBackend
from mlops_assets.deploy.docker.engine import DockerEngine
from mlops_assets.deploy.docker.gateway import HaproxyGateway
from mlops_assets.deploy.docker.servers import DockerServers
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.release import read_release
from mlops_assets.deploy.service import Service
from mlops_assets.params.operations import Watching


def kill_at(point: str, known: dict[str, type]) -> None:
    """End this process `before` or `after` the first call of a method, such as `after HaproxyGateway.switch`."""
    when, _, called = point.partition(" ")
    class_name, _, method = called.partition(".")
    owner = known[class_name]
    original: Callable[..., Any] = getattr(owner, method)

    def killed(*arguments: Any, **options: Any) -> None:
        if when == "after":
            original(*arguments, **options)
        sys.stdout.write(f"killed {point}\n")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, method, killed)


def main(target: str, point: str, state: str, port: str, release: str) -> None:
    from docker.models.containers import Container

    classes = (ProcessBackend, DockerServers, DockerEngine, HaproxyGateway, Container)
    kill_at(point, {owner.__name__: owner for owner in classes})
    if target == "process":
        backend = ProcessBackend(Path(state), int(port), environment={"PATH": "/usr/bin:/bin"})
    else:
        backend = DockerBackend(Path(state), int(port))
    steps = (50, 100) if point.endswith(".share") else (100,)
    Service(backend, watching=Watching(steps=steps, watch_s=0.3)).deploy(read_release(Path(release)), print)


if __name__ == "__main__":
    main(*sys.argv[1:])
