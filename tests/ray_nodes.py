"""A Ray cluster of two nodes, as processes of this machine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import pytest

from tests.user_clone import free_port

_PATIENCE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # 15 by default: behind all other processes of this machine
    "RAY_raylet_start_wait_time_s": "60",
    "RAY_agent_register_timeout_ms": "300000",
}


_TRIES = 3
Started = TypeVar("Started")


def _started(start: Callable[[], Started]) -> Started:
    """A raylet gives its agents fifteen seconds to start, which no option changes and a busy machine exceeds."""
    for _ in range(_TRIES - 1):
        with suppress(Exception):  # Ray raises nothing more special
            return start()
    return start()


class Nodes:
    """The head, whose client server is at `address`, and a second node; each with some cores."""

    def __init__(self, cores: int, second: int) -> None:
        from ray.cluster_utils import Cluster

        client = free_port()
        head = self._node(cores) | {"ray_client_server_port": client, "include_dashboard": False}
        self.cluster = _started(lambda: Cluster(initialize_head=True, head_node_args=head))
        assert self.cluster.head_node is not None
        self.address = f"ray://{self.cluster.head_node.node_ip_address}:{client}"
        self.add(second)

    def add(self, cores: int) -> None:
        self.second = _started(lambda: self.cluster.add_node(**self._node(cores)))

    def _node(self, cores: int) -> dict[str, Any]:
        return {"num_cpus": cores, "object_store_memory": 80 * 2**20}

    def kill_second(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)


@contextmanager
def two_nodes(cores: int = 1, second: int = 1) -> Iterator[Nodes]:
    pytest.importorskip("ray", reason="needs Ray: pip install --require-hashes --no-deps -r locks/ray.txt")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in _PATIENCE.items():
            environment.setenv(name, value)
        nodes = Nodes(cores, second)
        try:
            yield nodes
        finally:
            nodes.cluster.shutdown()
