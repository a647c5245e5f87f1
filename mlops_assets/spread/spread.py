"""How a stage hands out its pieces of work, and the default: one after the other, in this process."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Spread(Protocol):
    """Calls `work` with each piece; gives the results in the order of the pieces.

    Pieces may run at the same time, on other machines, and again if a machine is lost. So `work` is a function of a
    module, it reads and writes below folders that every machine sees, it replaces files whole, and what it takes and
    gives is small: names and counts, no reviews.
    """

    def __call__(self, work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> Iterable[Result]: ...


def here(work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> Iterable[Result]:
    """One after the other, in this process."""
    return map(work, pieces)
