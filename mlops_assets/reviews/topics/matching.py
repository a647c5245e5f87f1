"""Which new topic is which old one: an id stays while its topic's meaning stays, and is never given twice."""

from collections.abc import Sequence

import numpy as np


def ids_of(
    sentiment: str,
    count: int,
    *,
    cosines: np.ndarray | None,
    before: Sequence[str],
    given: int,
    same_meaning: float,
) -> tuple[tuple[str, ...], int]:
    """The ids of `count` new topics, and how many ids were ever given.

    Old and new topics are paired so that the sum of their `cosines` (new, before) is largest. A pair that reaches
    `same_meaning` is the same topic. Every other new topic has a new number.
    """
    from scipy.optimize import linear_sum_assignment

    kept = dict[int, str]()
    if cosines is not None:
        for new, old in zip(*linear_sum_assignment(cosines, maximize=True), strict=True):
            if cosines[new, old] >= same_meaning:
                kept[int(new)] = before[int(old)]
    ids = list[str]()
    for topic in range(count):
        if topic not in kept:
            given += 1
        ids.append(kept.get(topic, f"{sentiment}-{given}"))
    return tuple(ids), given
