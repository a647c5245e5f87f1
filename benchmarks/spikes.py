"""How often negative_reviews_are_as_usual is wrong about an app whose reviews stay as they were, and how soon it tells
a spike.

python -m benchmarks.spikes [--draws N]

Days are drawn from Poisson's distribution, and from days that vary beyond it (1/k) with busier weekends, as real apps
have them: calm quarters of two apps have 0.02 and 0.036. The real reviews beside the clone are replayed day by day.
"""

import argparse
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.reviews.spikes.days import AppDays, count_days
from mlops_assets.reviews.spikes.spikes import DAYS, JUDGED_DAYS, find_spikes, version_spikes
from mlops_assets.reviews.spikes.usual import PAST_DAYS
from mlops_assets.reviews.stored import columns

REAL = Path(__file__).parents[2] / "shared" / "data"
START = date(2026, 1, 1)
QUARTER = 90
BASES = (1, 2, 4, 8, 16, 40)
VARIATIONS = {"poisson": (0.0, 0.0), "1/k 0.02, weekends +40 %": (0.02, 0.4), "1/k 0.1, weekends +60 %": (0.1, 0.6)}
"""The variance of days beyond Poisson's, and how much more there is on a weekend."""
_NEGATIVE_SHARE = 0.3
_RELEASE_DAYS = 21


def drawn(level: float, days: int, variation: tuple[float, float], rng: np.random.Generator) -> AppDays:
    """An app with `level` negative reviews a day, three in ten of all; every three weeks a version takes over."""
    beyond, weekend = variation
    means = level * np.where(np.arange(days) % 7 < 2, 1 + weekend, 1 - 0.4 * weekend)
    if beyond:
        means = means * rng.gamma(1 / beyond, beyond, days)
    negative = rng.poisson(means)
    reviews = negative + rng.poisson(means * (1 - _NEGATIVE_SHARE) / _NEGATIVE_SHARE)
    by_version: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    left, left_negative = reviews, negative
    for number in range(days // _RELEASE_DAYS, 0, -1):
        adopted = np.clip((np.arange(days) - number * _RELEASE_DAYS) / 10, 0, 0.9)
        of_version = rng.binomial(left_negative, adopted), rng.binomial(left - left_negative, adopted)
        by_version[f"1.{number}"] = (of_version[0] + of_version[1], of_version[0])
        left, left_negative = left - sum(of_version), left_negative - of_version[0]
    by_version["1.0"] = (left, left_negative)
    return AppDays("app", START, reviews, negative, by_version)


def until(counts: AppDays, days: int) -> AppDays:
    """What was known after so many days."""
    by_version = {name: (reviews[:days], bad[:days]) for name, (reviews, bad) in counts.by_version.items()}
    return AppDays(counts.app, counts.first, counts.reviews[:days], counts.negative[:days], by_version)


def told(counts: AppDays, first: int) -> set[str]:
    """The ids of the spikes that looks after each day from `first` on would tell."""
    length, ids = len(counts.reviews), set[str]()
    for day in range(first + 1, length + 1):
        known = until(counts, day)
        ids |= {spike.id for spike in version_spikes(known)}
        if day == length or not (day - first) % JUDGED_DAYS:  # each such look judges all days since the one before
            ids |= {spike.id for spike in find_spikes(known, known.day(day))[0]}
    return ids


def false_alarms(level: float, variation: tuple[float, float], quarters: int, seed: int = 0) -> float:
    """Spikes told by app and quarter where nothing changed."""
    rng = np.random.default_rng(seed)
    return sum(len(told(drawn(level, DAYS + QUARTER, variation, rng), DAYS)) for _ in range(quarters)) / quarters


def caught(
    level: float, times: float, days: int, draws: int, variation: tuple[float, float] = (0.0, 0.0), seed: int = 0
) -> float:
    """The share of draws in which a rate that is `times` as high is told after so many days."""
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(draws):
        counts, more = (drawn(level * factor, DAYS + days, variation, rng) for factor in (1, times - 1))
        negative = counts.negative + np.where(np.arange(DAYS + days) < DAYS, 0, more.negative)
        spiked = AppDays("app", START, counts.reviews + negative - counts.negative, negative, {})
        hits += any(spike.until >= spiked.day(DAYS) for spike in find_spikes(spiked, spiked.day(DAYS + days))[0])
    return hits / draws


def replayed(path: Path) -> dict[str, Any]:
    """The spikes that daily looks would have told in a file of real reviews."""
    frame = read_reviews(path).frame
    titles: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        files = {}
        for month, rows in frame.groupby(columns.month_of(frame["review_date"])):
            name = f"{rows['app_id'].iloc[0]}/{month}.parquet"
            columns.write_frame(columns.conform(rows), Path(folder) / name)
            files[name] = Path(folder) / name
        newest = frame["review_date"].max().to_pydatetime().astimezone(UTC)
        for back in range((newest - frame["review_date"].min()).days - PAST_DAYS, -1, -1):
            now = newest - timedelta(days=back)
            known = {name: path for name, path in files.items() if path.stem <= f"{now:%Y-%m}"}
            for counts in count_days(known, Path(folder) / "days.json", now, DAYS).values():
                for spike in find_spikes(counts, now.date())[0]:
                    titles.setdefault(spike.id, spike.title)
    days = (newest - frame["review_date"].min().to_pydatetime()).days
    return {"reviews": len(frame), "days": days, "told": len(titles), "spikes": sorted(titles.values())}


def run(draws: int = 100) -> dict[str, Any]:
    """Figures: false alarms by app and quarter; the share of spikes told by base, factor and days; real replays."""
    figures: dict[str, Any] = {"draws": draws, "at": datetime.now(UTC).date().isoformat()}
    figures["false_alarms_a_quarter"] = {
        name: {base: false_alarms(base, variation, draws) for base in BASES} for name, variation in VARIATIONS.items()
    }
    for name, variation in list(VARIATIONS.items())[:2]:
        figures[f"told, {name}"] = {
            f"{base} a day x{times}": {days: caught(base, times, days, 2 * draws, variation) for days in (1, 2, 3)}
            for base in BASES
            for times in (2, 3, 5)
        }
    for file in ("pintu_reviews.csv", "gojek_reviews.csv"):
        if (REAL / file).is_file():
            figures[file] = replayed(REAL / file)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100)
    print(json.dumps(run(parser.parse_args().draws), indent=1))


if __name__ == "__main__":
    main()
