"""How much memory a container of the model may use, and what is known of one that died."""

from collections.abc import Mapping
from typing import Any

from mlops_assets.deploy.release import Release
from mlops_assets.serving.options import MEMORY

_SERVER = 1 << 30
"""The server without its model: measured 0.3 GiB, and full of what it accepts (bodies, queue, spool) 0.7 GiB more."""
_COPIES = 3
"""While it loads a model, the runtime holds the file, its own form of it and what it computes in between."""
_GPU_HOST = 4 << 30  # CUDA's libraries and pinned memory


def memory_limit(release: Release, environment: Mapping[str, str]) -> str | int:
    """SERVICE_MEMORY as the engine reads it, else bytes by the model's size."""
    files = sum(path.stat().st_size for path in release.model.rglob("*") if path.is_file())
    return environment.get(MEMORY) or _SERVER + _COPIES * files + (_GPU_HOST if release.wants_gpu else 0)


def death_of(container: Any) -> str:
    """How the container died and came back, or ended; empty if it has run since it was started."""
    state, restarts = container.attrs["State"], container.attrs["RestartCount"]
    if state["OOMKilled"]:
        limit = container.attrs["HostConfig"]["Memory"]
        return (
            f"container {container.name} used more than its {limit >> 20:,} MiB of memory and was killed"
            f"{f', restarted {restarts} times' if restarts else ''}: set {MEMORY} to more"
        )
    if restarts:
        return f"container {container.name} died and was restarted {restarts} times: make logs shows its last lines"
    return ""
