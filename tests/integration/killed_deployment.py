"""A deployment that SIGKILL ends at a chosen point: no handler runs, nothing is put in order.

python -m tests.integration.killed_deployment TARGET POINT STATE PORT PROJECT RELEASE IMAGE
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_assets.deploy.release import read_release


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


def main(target: str, point: str, state: str, port: str, project: str, release: str, image: str) -> None:
    wanted = read_release(Path(release))
    if target == "process":
        from mlops_assets.deploy.process.backend import ProcessBackend
        from mlops_assets.deploy.process.service import ProcessService

        kill_at(point, {"ProcessBackend": ProcessBackend})
        environment = {"PATH": "/usr/bin:/bin"}
        ProcessService(Path(state), int(port), environment=environment).deploy(wanted, print, watch_s=0.3)
        return
    from docker.models.containers import Container

    from mlops_assets.deploy.docker.backend import DockerBackend
    from mlops_assets.deploy.docker.engine import DockerEngine
    from mlops_assets.deploy.docker.gateway import HaproxyGateway
    from mlops_assets.deploy.docker.service import DockerService

    classes = (DockerBackend, DockerEngine, HaproxyGateway, Container)
    kill_at(point, {one.__name__: one for one in classes})
    DockerService(Path(state), int(port), project=project).deploy(wanted, print, image=image, watch_s=0.3)


if __name__ == "__main__":
    main(*sys.argv[1:])
