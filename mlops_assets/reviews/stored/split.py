"""Which side of the data a text belongs to: its hash decides, so it can only move from gate to train, as data grows."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import pandas as pd

from mlops_assets.params.reviews import Sides
from mlops_assets.text import text_key

SIDES = ("train", "validation", "gate", "test")
VALIDATION = TEST = 7.5
"""Their percents of distinct texts, whatever the amount of data."""
LEAST_GATE, MOST_GATE = 5, 30
FEW_TEXTS, MANY_TEXTS = 500, 20_000
"""Distinct labelled texts up to which the gate side has its most percent, and from which it has its least."""


def gate_percent(texts: int) -> int:
    """The gate side's percent of so many distinct labelled texts: a power law through both ends, in whole percents so
    that texts change sides rarely.
    """
    falls = math.log(MOST_GATE / LEAST_GATE) / math.log(MANY_TEXTS / FEW_TEXTS)
    percent = MOST_GATE * (max(texts, FEW_TEXTS) / FEW_TEXTS) ** -falls
    return max(LEAST_GATE, round(percent))


@dataclass(frozen=True)
class Split:
    """Sides by hash: each stretch of the hashes from 0 to 100 has a side and an end. As text `train 73, gate 80, …`."""

    ends: tuple[tuple[str, float], ...]

    @classmethod
    def nested(cls, gate: float) -> Self:
        """The sides with this percent on the gate side. A larger gate side holds every text of a smaller one; the rest
        comes from the train side.
        """
        held_back = 100 - VALIDATION - LEAST_GATE - TEST
        ends = {
            "train": held_back - (gate - LEAST_GATE),
            "gate": held_back,
            "validation": held_back + VALIDATION,
        }
        return cls((*ends.items(), ("gate", 100 - TEST), ("test", 100)))

    @classmethod
    def explicit(cls, percents: Mapping[str, float]) -> Self:
        """The sides one after the other, each with its percent."""
        return cls(
            tuple((side, sum(percents[each] for each in SIDES[: place + 1])) for place, side in enumerate(SIDES))
        )

    @classmethod
    def of(cls, sides: Sides, texts: int, smallest_gate: int | None = None) -> Self:
        """What params.yaml says; if it leaves that to the pipeline, what suits so many distinct labelled texts.

        `smallest_gate` is the smallest percent that was ever used: a text that was on the train side stays there.
        """
        if percents := sides.percents:
            return cls.explicit(percents)
        return cls.nested(min(gate_percent(texts), smallest_gate or MOST_GATE))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The split that `str` wrote."""
        return cls(tuple((side, float(end)) for side, end in (part.split(" ") for part in text.split(", "))))

    def __str__(self) -> str:
        return ", ".join(f"{side} {end:.10g}" for side, end in self.ends)

    def lasting(self, side: str) -> str:
        """The side; `train` for the gate side too if texts move between these two as data grows."""
        movable = self == self.nested(self.percents["gate"])
        return "train" if movable and side == "gate" else side

    @property
    def percents(self) -> dict[str, float]:
        """Each side's percent of distinct texts."""
        start, percents = 0.0, {str(side): 0.0 for side in SIDES}
        for side, end in self.ends:
            percents[side] += end - start
            start = end
        return percents

    def side_of(self, text: str) -> str:
        """The side of the text; texts that are equal once normalised share it."""
        place = _place(text_key(text))
        return next((side for side, end in self.ends if place < end), self.ends[-1][0])

    def sides_of(self, texts: pd.Series) -> pd.Series:
        """The side of each text."""
        return self.sides_at(places_of(texts))

    def sides_at(self, places: pd.Series) -> pd.Series:
        """The side of each place in the order of hashes, from `places_of`."""
        names = np.array([side for side, _ in self.ends], dtype=object)
        return pd.Series(names[self._stretches(places.to_numpy(dtype=float))], index=places.index, dtype="str")

    def side_numbers(self, keys: np.ndarray) -> np.ndarray:
        """The side of each text key (n,), as its place in `SIDES`."""
        numbers = np.array([SIDES.index(side) for side, _ in self.ends], dtype=np.int8)
        return numbers[self._stretches(_place(keys))]

    def _stretches(self, places: np.ndarray) -> np.ndarray:
        return np.searchsorted(np.array([end for _, end in self.ends[:-1]]), places, side="right")


def places_of(texts: pd.Series) -> pd.Series:
    """Each text's hash as a number from 0 to 100. Equal numbers are equal texts once normalised."""
    places = {text: _place(text_key(text)) for text in texts.unique()}
    return cast("pd.Series", texts.map(places).astype("float64"))


def add_sides(frame: pd.DataFrame, split: Split | None = None) -> pd.DataFrame:
    """The rows with the side of their `review_text` in `side`; without a split, those that suit the number of texts."""
    places = places_of(frame["review_text"])
    split = split or Split.nested(gate_percent(places.nunique()))
    return frame.assign(side=split.sides_at(places))


def gate_texts(frame: pd.DataFrame, judged: Collection[Split]) -> pd.DataFrame:
    """The rows of the gate side that none of the models learned from: `judged` are the splits they were trained with.

    Without a record of the smallest gate side, as in a clone that starts anew, a model may know a text of the gate.
    """
    gate = frame[frame["side"] == "gate"]
    places = places_of(gate["review_text"])
    unknown = np.ones(len(gate), dtype=bool)
    for split in judged:
        unknown &= split.sides_at(places).isin(["gate", "test"]).to_numpy(dtype=bool)
    return gate[unknown].reset_index(drop=True)


def held_out_of_all(frame: pd.DataFrame, judged: Collection[Split]) -> pd.DataFrame:
    """The rows that are held out and on the train side of no model; `judged` are the splits they were trained with."""
    held_out = frame[frame["side"] != "train"]
    places = places_of(held_out["review_text"])
    unknown = np.ones(len(held_out), dtype=bool)
    for split in judged:
        unknown &= (split.sides_at(places) != "train").to_numpy(dtype=bool)
    return held_out[unknown].reset_index(drop=True)


def _place(keys: Any) -> Any:
    """Where the first 13 of the 15 hex digits of a text's key (or of an array of them) stand between 0 and 100."""
    return (keys >> 8) / 16**13 * 100
