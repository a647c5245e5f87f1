"""How often the drift alarm fires where nothing drifted, how often it catches a shift, and what it costs.

python -m benchmarks.drift [--draws N] [--reviews FILE] [--largest N] [--plot FILE.png]

It also measures the two other alarms, which have commands of their own: prediction_drift.py (the model's answers) and
sudden_change.py (the positive share).
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import prediction_drift, sudden_change
from mlops_assets.params.reviews import DriftOptions
from mlops_assets.reviews.drift.drift import compare, measure
from mlops_assets.reviews.drift.features import Features
from mlops_assets.reviews.drift.profile import Profile
from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.reviews.sources import sample

SIZES = (50, 500, 5_000, 50_000)
REFERENCE = 5_000
OPTIONS = DriftOptions()
_LEAST_DRAWS = 200
"""Fewer say nothing about an alarm that may fire in 1 %."""


def pool_of(path: Path | None) -> Features:
    """Reviews to draw from: a file's, or three years of the sample's."""
    if path is not None:
        return Features.of(read_reviews(path).frame)
    months = [f"{year}-{month:02d}" for year in (2026, 2027, 2028) for month in range(1, 13)]
    return Features.of(pd.concat([sample.generate(month) for month in months], ignore_index=True))


def drawn(pool: Features, rng: np.random.Generator, count: int) -> Features:
    """Reviews with replacement."""
    return pool.take(rng.integers(0, len(pool), count))


def false_alarms(pool: Features, count: int, draws: int, seed: int = 0) -> float:
    """The share of draws of the same distribution in which the whole alarm fires."""
    rng = np.random.default_rng(seed)
    fired = 0
    for _ in range(draws):
        profile = Profile.of_features(drawn(pool, rng, REFERENCE))
        fired += compare(profile, drawn(pool, rng, count), "binary", OPTIONS, explain=False).drifted
    return fired / draws


def caught_shifts(pool: Features, count: int, draws: int, share: float, points: float, seed: int = 0) -> float:
    """The share of draws in which a shift of the positive share by `points` is noticed."""
    rng = np.random.default_rng(seed)
    positive, negative = np.flatnonzero(pool.ratings > 3), np.flatnonzero((pool.ratings > 0) & (pool.ratings < 3))

    def mixed(size: int, part: float) -> Features:
        hits = rng.binomial(size, part)
        return pool.take(np.concatenate([rng.choice(positive, hits), rng.choice(negative, size - hits)]))

    caught = 0
    for _ in range(draws):
        profile = Profile.of_features(mixed(REFERENCE, share))
        caught += compare(profile, mixed(count, share + points), "binary", OPTIONS, explain=False).drifted
    return caught / draws


def run(draws: int = 40, largest: int = 50_000, reviews: Path | None = None) -> dict[str, Any]:
    """Figures: alarm rate by n, power by n and shift, seconds for 5,000 against 5,000 from text to verdict."""
    pool = pool_of(reviews)
    figures: dict[str, Any] = {"draws": draws, "pool": len(pool), "false_alarms": {}, "caught": {}}
    for count in (size for size in SIZES if size <= largest):
        figures["false_alarms"][count] = false_alarms(pool, count, draws)
    for count in (50, 200, 500, 1000):
        for points in (-0.05, -0.1, -0.2):
            figures["caught"][f"{count} {points:+.2f}"] = caught_shifts(pool, count, draws, 0.8, points)
    rows = pd.DataFrame({"review_text": pool.texts, "rating": pool.ratings})
    old, new = (rows.sample(5_000, random_state=seed, replace=len(rows) < 5_000) for seed in (1, 2))
    started = time.perf_counter()
    measure(Profile.of(old), new, "binary", OPTIONS)
    figures["seconds_5000_against_5000"] = round(time.perf_counter() - started, 2)
    figures["predictions"] = prediction_drift.run(draws)
    figures["sudden_change"] = sudden_change.run(max(draws, _LEAST_DRAWS))
    return figures


def plot(figures: dict[str, Any], path: Path) -> None:
    """The two curves as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    alarms, power = figure.subplots(1, 2)
    alarms.semilogx(list(figures["false_alarms"]), list(figures["false_alarms"].values()), marker="o")
    alarms.axhline(0.07, color="black", linestyle="--", linewidth=0.8)
    alarms.set(xlabel="new reviews", ylabel="share of draws", title="alarm where nothing drifted", ylim=(0, 0.15))
    for points in ("-0.05", "-0.10", "-0.20"):
        counts = {int(key.split()[0]): value for key, value in figures["caught"].items() if key.endswith(points)}
        power.plot(list(counts), list(counts.values()), marker="o", label=f"{100 * float(points):+.0f} points positive")
    power.axhline(0.9, color="black", linestyle="--", linewidth=0.8)
    power.set(xlabel="new reviews", title=f"caught, against {REFERENCE:,} reviews", ylim=(0, 1.05))
    power.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--largest", type=int, default=50_000)
    parser.add_argument("--reviews", type=Path)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    figures = run(asked.draws, asked.largest, asked.reviews)
    print(json.dumps(figures, indent=1))
    if asked.plot:
        plot(figures, asked.plot)


if __name__ == "__main__":
    main()
