"""How often positive_share_is_steady stops reviews that nobody tore or turned, and how often it stops others.

python -m benchmarks.sudden_change [--draws N] [--reviews FILE]

Draws of single labels and of whole days, and the reviews in the order in which they came: labels of a day resemble each
other, so only the first has nothing to find.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.reviews.quality.sudden_change import ALPHA, DAYS, Change, labelled_days
from mlops_assets.reviews.sources import sample

GOJEK = Path(__file__).parents[2] / "shared" / "data" / "gojek_reviews.csv"
SIZES = ((100, 100), (500, 100), (500, 500), (2_000, 100), (2_000, 200), (5_000, 100), (5_000, 500), (5_000, 1_000))
"""Labelled reviews of the 90 days before, and that arrived."""
OF_SPOILT = ((100, 100), (2_000, 200), (5_000, 1_000))

Spoil = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def labels_of(path: Path | None) -> pd.DataFrame:
    """`positive` and `day` of a file's labelled reviews in order of time, or of three months of the sample's."""
    if path is None:
        frame = pd.concat([sample.generate(f"2026-{month:02d}") for month in (1, 2, 3)], ignore_index=True)
    else:
        frame = read_reviews(path).frame
    usable = frame[frame["rating"].between(1, 5)]
    return labelled_days(usable.sort_values(["review_date", "review_id"]), "binary")


def single_labels(rows: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Labels drawn one by one, on as many days as such a number of reviews takes."""
    by_day = max(1, round(float(rows.groupby("day").size().mean())))
    return pd.DataFrame({"positive": rng.choice(rows["positive"], count), "day": np.arange(count) // by_day})


def whole_days(rows: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Days drawn whole, until there are as many reviews."""
    labels, starts = rows["positive"].to_numpy(), np.flatnonzero(np.diff(rows["day"].to_numpy()).astype(bool)) + 1
    days = np.split(labels, starts)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < count:
        parts.append(days[rng.integers(len(days))])
    number = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return pd.DataFrame({"positive": np.concatenate(parts)[:count], "day": number[:count]})


def stopped(before: pd.DataFrame, now: pd.DataFrame) -> bool:
    return Change("app", pd.Timestamp(0), before, now, None).is_sudden(ALPHA)


def share_stopped(
    rows: pd.DataFrame,
    sizes: tuple[int, int],
    draws: int,
    draw: Callable[[pd.DataFrame, int, np.random.Generator], pd.DataFrame] = single_labels,
    spoil: Spoil | None = None,
    seed: int = 0,
) -> float:
    """The share of draws that are stopped; `spoil` turns the labels that arrived into what a torn feed gives."""
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(draws):
        before, now = draw(rows, sizes[0], rng), draw(rows, sizes[1], rng)
        if spoil is not None:
            now = now.assign(positive=spoil(now["positive"].to_numpy(), rng))
        hits += stopped(before, now)
    return hits / draws


def in_order(rows: pd.DataFrame, count: int) -> tuple[int, int]:
    """How many batches of `count` are stopped against the 90 days before each, of how many, in the order they came."""
    hits = batches = 0
    for start in range(500, len(rows) - count + 1, count):
        newest = rows["day"].iloc[start - 1]
        before = rows.iloc[:start]
        before = before[before["day"] >= newest - np.timedelta64(DAYS, "D")]
        batches += 1
        hits += stopped(before, rows.iloc[start : start + count])
    return hits, batches


def turned(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del rng
    return ~labels


def without(positive: bool) -> Spoil:  # noqa: FBT001  names the class
    return lambda labels, _: np.full(len(labels), not positive)


def moved(points: float) -> Spoil:
    """Labels turned at random until the share has moved by so much, on average."""

    def spoil(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        share = labels.mean()
        from_part = (1 - share) if points > 0 else share
        hit = (labels != (points > 0)) & (rng.random(len(labels)) < min(1.0, abs(points) / max(from_part, 1e-9)))
        return labels ^ hit

    return spoil


SPOILT: dict[str, Spoil] = {
    "turned": turned,
    "no negative": without(positive=False),
    "no positive": without(positive=True),
    **{f"{points:+.2f}": moved(points) for points in (0.2, 0.3, -0.2, -0.3)},
}


def run(draws: int = 400, path: Path | None = GOJEK) -> dict[str, Any]:
    """Figures: the share stopped by size where nothing changed (labels, days, order), and where the feed is spoilt."""
    rows = labels_of(path if path is not None and path.is_file() else None)
    figures: dict[str, Any] = {"labelled": len(rows), "days": int(rows["day"].nunique()), "draws": draws}
    figures["single_labels"] = {f"{a}/{b}": share_stopped(rows, (a, b), draws) for a, b in SIZES}
    figures["whole_days"] = {f"{a}/{b}": share_stopped(rows, (a, b), draws, whole_days) for a, b in SIZES}
    figures["in_order"] = {count: "{} of {}".format(*in_order(rows, count)) for count in (100, 200, 500, 1_000)}
    for key, draw in (("caught", single_labels), ("caught_of_whole_days", whole_days)):
        figures[key] = {
            name: {f"{a}/{b}": share_stopped(rows, (a, b), max(1, draws // 4), draw, spoil) for a, b in OF_SPOILT}
            for name, spoil in SPOILT.items()
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--reviews", type=Path, default=GOJEK)
    asked = parser.parse_args()
    print(json.dumps(run(asked.draws, asked.reviews), indent=1))


if __name__ == "__main__":
    main()
