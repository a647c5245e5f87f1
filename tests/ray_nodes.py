"""A Ray cluster of two nodes, as processes of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.user_clone import free_port

_PATIENCE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "60",
    "RAY_agent_register_timeout_ms": "300000",
}


class Nodes:
    """The head, whose client server is at `address`, and a second node; each with some cores."""

    def __init__(self, cores: int, second: int) -> None:
        from ray.cluster_utils import Cluster

        client = free_port()
        head = self._node(cores) | {"ray_client_server_port": client, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        assert self.cluster.head_node is not None
        self.address = f"ray://{self.cluster.head_node.node_ip_address}:{client}"
        self.add(second)

    def add(self, cores: int) -> None:
        self.second = self.cluster.add_node(**self._node(cores))

    def _node(self, cores: int) -> dict[str, Any]:
        return {"num_cpus": cores, "object_store_memory": 80 * 2**20}

    def kill_second(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)


@contextmanager
def two_nodes(cores: int = 1, second: int = 1) -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in _PATIENCE.items():
            environment.setenv(name, value)
        nodes = Nodes(cores, second)
        try:
            yield nodes
        finally:
            nodes.cluster.shutdown()
