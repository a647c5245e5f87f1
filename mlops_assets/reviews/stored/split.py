"""Which side of the data a text belongs to: decided by the text alone, so it never changes as data grows."""

from collections.abc import Mapping
from typing import cast

import pandas as pd

from mlops_assets.params.reviews import Sides
from mlops_assets.text import text_digest

SIDES = ("train", "validation", "gate", "test")
PERCENTS: Mapping[str, float] = {"train": 80, "validation": 7.5, "gate": 5, "test": 7.5}


def side_of(text: str, percents: Mapping[str, float] = PERCENTS) -> str:
    """The side of the text; texts that are equal once normalised share it."""
    percent = int(text_digest(text)[:13], 16) / 16**13 * 100
    border = 0.0
    for side in SIDES:
        border += percents[side]
        if percent < border:
            return side
    return SIDES[-1]


def add_sides(frame: pd.DataFrame, percents: Mapping[str, float] = PERCENTS) -> pd.DataFrame:
    """The rows with the side of their `review_text` in `side`."""
    return frame.assign(side=sides_of(frame["review_text"], percents))


def sides_of(texts: pd.Series, percents: Mapping[str, float] = PERCENTS) -> pd.Series:
    """The side of each text. `percents` are of distinct texts."""
    Sides.from_params(percents)
    sides = {text: side_of(text, percents) for text in texts.unique()}
    return cast("pd.Series", texts.map(sides).astype("str"))
