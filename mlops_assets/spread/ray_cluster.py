"""The tasks of a Ray cluster as a `Spread`. Ray chooses the node of a task, and another one if that node is lost.

`ray` is imported only if RAY_ADDRESS is set.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from mlops_assets.failures import BadSetting, TransientFailure
from mlops_assets.spread.spread import Piece, Result, Spread, here

_TRIES = 3
_HEAD_FAILED = "Initialization failure from server"
"""Ray's words if the head answered, but could not start the connection's process: 1 in 20 on a busy head (2.60.0)."""
_LOOK_AFTER_S = 15.0
"""If no task ends for so long, the log says whether one waits for a node."""


def spread_at(address: str | None, report: Callable[[str], None]) -> Spread:
    """The tasks of the cluster at `address`; without one, this process."""
    return RayCluster(address, report) if address else here


def refuse_without_ray(address: str | None) -> None:
    """Raise `BadSetting` if there is an address, but Ray is not installed."""
    if address and find_spec("ray") is None:
        raise BadSetting(
            f"RAY_ADDRESS is set to {address!r}, but ray is not installed: "
            "pip install --require-hashes --no-deps -r locks/ray.txt, or leave RAY_ADDRESS empty"
        )


@dataclass(frozen=True)
class RayCluster:
    """Each piece is a task that needs so many cores and GPUs of one node. `report` gets a line if no node has them."""

    address: str
    report: Callable[[str], None]
    cpus: int = 1
    gpus: int = 0

    def __call__(self, work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> Iterable[Result]:
        """All results; the first piece that fails ends the others.

        Raises what the work raises, and `TransientFailure` if the cluster is away or a task lost its node too often.
        """
        if not pieces:
            return []
        with _connected(self.address) as ray:
            task = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus)(_call)
            tasks = [task.remote(work, piece) for piece in pieces]
            waiting, told = tasks, ""
            while waiting:
                ready, waiting = ray.wait(waiting, timeout=_LOOK_AFTER_S)
                _results(ray, ready)  # raises at once what a task raised
                if not ready and (shortage := self._shortage(ray)) != told:
                    self.report(shortage or "a node for the waiting tasks is there")
                    told = shortage
            return _results(ray, tasks)

    def _shortage(self, ray: Any) -> str:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if any(node.get("CPU", 0) >= self.cpus and node.get("GPU", 0) >= self.gpus for node in nodes):
            return ""
        cores, gpus = (sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU"))
        return (
            f"waits for a Ray node with {self.cpus} cores and {self.gpus} GPUs: "
            f"the cluster has {len(nodes)} nodes with {cores:g} cores and {gpus:g} GPUs in all"
        )


def _call(work: Callable[[Piece], Result], piece: Piece) -> Result:
    return work(piece)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """The module `ray`, connected to the head's client server."""
    import ray

    try:
        with _connection(ray, address):
            yield ray
    except ConnectionError as error:
        raise TransientFailure(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({error}): start it (docs/scaling.md), "
            "or leave RAY_ADDRESS empty; a later run goes on from what was written"
        ) from error


def _connection(ray: Any, address: str) -> Any:
    for tries_left in reversed(range(_TRIES)):
        try:
            return ray.init(address, logging_level=logging.WARNING)
        except ConnectionError as error:
            if not tries_left or _HEAD_FAILED not in str(error):
                raise
    raise AssertionError


def _results(ray: Any, tasks: Sequence[Any]) -> list[Any]:
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(tasks)
    except RayTaskError as error:
        raise (error.cause or error) from error
    except RayError as error:
        raise TransientFailure(f"Ray lost a task with each node that tried it: {error}".replace("\n", " ")) from error
