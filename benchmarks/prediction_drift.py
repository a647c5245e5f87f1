"""How often predictions_have_not_drifted warns of real reviews that a classic model never saw, and what it catches.

python -m benchmarks.prediction_drift [--draws N] [--folder FOLDER]

A model is fitted on the first half of each set. The others follow: in the order of time, in ten ticks, and as draws of
the answers to held-out reviews. The sets are real reviews beside the clone; without them, the sample's.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.params.models import ClassicRecipe
from mlops_assets.params.reviews import DriftOptions
from mlops_assets.reviews.drift.drift import recent
from mlops_assets.reviews.drift.prediction_drift import measure_predictions
from mlops_assets.reviews.drift.tests import mix_distance, mix_p
from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.reviews.sources import sample
from mlops_assets.reviews.stored.label import add_labels
from mlops_assets.reviews.stored.split import add_sides
from mlops_assets.training.classic import train as classic

FOLDER = Path(__file__).parents[2] / "shared" / "data"
NAMES = ("negative", "positive")
TICKS = 10
SIZES = (50, 200, 500)
FIRST, LATER = pd.Timestamp("2026-01-01", tz="UTC"), pd.Timestamp("2026-01-02", tz="UTC")
OPTIONS = DriftOptions()

Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


def sets_of(folder: Path) -> dict[str, pd.DataFrame]:
    """Reviews with their sides in order of time, by name."""
    found: dict[str, pd.DataFrame] = {}
    for path in sorted(folder.glob("*_reviews.csv")):
        frame = read_reviews(path).frame
        found[path.stem] = frame[frame["review_text"].notna() & frame["rating"].between(1, 5)]
    if (folder / "smsa_train.csv").is_file():
        found["smsa_train"] = _sentences(folder / "smsa_train.csv")
    if not found:
        months = [f"{year}-{month:02d}" for year in (2026, 2027) for month in range(1, 13)]
        found["sample"] = pd.concat([sample.generate(month) for month in months], ignore_index=True)
    wanted = ["review_id", "review_date", "review_text", "rating"]
    ordered = {name: rows[wanted].sort_values(["review_date", "review_id"]) for name, rows in found.items()}
    return {name: add_sides(rows.reset_index(drop=True).assign(app_id=name)) for name, rows in ordered.items()}


def _sentences(path: Path) -> pd.DataFrame:
    """Sentences that people labelled, as reviews in the order of the file, which says nothing about time."""
    rows = pd.read_csv(path, keep_default_na=False)
    return pd.DataFrame(
        {
            "review_id": [f"s{number}" for number in range(len(rows))],
            "review_date": pd.date_range("2025-01-01", periods=len(rows), freq="h", tz="UTC"),
            "review_text": rows["text"],
            "rating": rows["label"].map({"negative": 1, "neutral": 3, "positive": 5}),
        }
    )


def answered(rows: pd.DataFrame, known: int) -> pd.DataFrame:
    """All rows with the answers of a model of the first `known` ones, as predictions are stored."""
    first = add_labels(rows.head(known), "binary")
    first = first.assign(review_text=first["review_text"].astype(object))
    train, validation = (first[first["side"] == side] for side in ("train", "validation"))
    vote = classic.fit(train, validation, NAMES, ClassicRecipe(), lambda _: None)
    texts = rows["review_text"].unique().tolist()
    of_text = dict(zip(texts, vote.probabilities(texts), strict=True))
    given = np.stack([of_text[text] for text in rows["review_text"]])
    return rows.drop(columns="review_text").assign(
        sentiment=np.array(NAMES, dtype=object)[given.argmax(axis=1)],
        confidence=given.max(axis=1),
        first_scored=[FIRST if place < known else LATER for place in range(len(rows))],
    )


def first_run_warns(frame: pd.DataFrame) -> bool:
    return measure_predictions(frame.assign(first_scored=FIRST), OPTIONS).drifted


def in_order(frame: pd.DataFrame) -> dict[str, int]:
    """As the reviews come in: ticks that were judged, warnings, and both where the stars of the same reviews stayed.

    Where their stars moved by five points beyond chance, people feel otherwise, and a warning is right.
    """
    known = int((frame["first_scored"] == FIRST).sum())
    counts = {"judged": 0, "warned": 0, "judged_while_stars_stayed": 0, "warned_while_stars_stayed": 0}
    for end in np.linspace(known, len(frame), TICKS + 1)[1:]:
        come = frame.head(int(end))
        report = measure_predictions(come, OPTIONS)
        if report.features:
            stayed = not _stars_moved(come)
            counts["judged"] += 1
            counts["warned"] += report.drifted
            counts["judged_while_stars_stayed"] += stayed
            counts["warned_while_stars_stayed"] += stayed and report.drifted
    return counts


def _stars_moved(come: pd.DataFrame) -> bool:
    held_out = come[(come["side"] != "train") & (come["rating"] != 3)]
    first = held_out["first_scored"] == FIRST
    before, now = (
        np.array([(rows["rating"] < 3).sum(), (rows["rating"] > 3).sum()])
        for rows in (held_out[first], recent(held_out[~first], OPTIONS))
    )
    return mix_p(before, now) <= OPTIONS.alpha and mix_distance(before, now) >= OPTIONS.floor_mix


def share_warned(frame: pd.DataFrame, now: int, draws: int, change: Change | None = None, seed: int = 0) -> float:
    """The share of draws from the answers to held-out reviews that warn; `change` is what happened to the new ones."""
    rng = np.random.default_rng(seed)
    held_out = frame[frame["side"] != "train"]
    before = int((held_out["first_scored"] == FIRST).sum())
    warned = 0
    for _ in range(draws):
        first, later = (held_out.iloc[rng.integers(0, len(held_out), count)] for count in (before, now))
        later = later if change is None else change(later, rng)
        drawn = pd.concat([first.assign(first_scored=FIRST), later.assign(first_scored=LATER)], ignore_index=True)
        warned += measure_predictions(drawn, OPTIONS).drifted
    return warned / draws


def less_positive(points: float) -> Change:
    """As many positive answers become draws of the negative ones as move the mix by so much."""

    def change(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        positive = np.flatnonzero(rows["sentiment"] == "positive")
        negative = np.flatnonzero(rows["sentiment"] == "negative")
        hit = rng.choice(positive, min(len(positive), round(points * len(rows))), replace=False)
        places = np.arange(len(rows))
        places[hit] = rng.choice(negative, len(hit))
        return rows.iloc[places]

    return change


def unsure(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The log-odds of every answer halved."""
    del rng
    odds = np.log(rows["confidence"].clip(upper=1 - 1e-9) / (1 - rows["confidence"].clip(upper=1 - 1e-9)))
    return rows.assign(confidence=1 / (1 + np.exp(-odds / 2)))


def run(draws: int = 200, folder: Path = FOLDER) -> dict[str, Any]:
    """Figures by set: warnings on the first run and as reviews come, and shares of draws by number of new reviews."""
    figures: dict[str, Any] = {"draws": draws}
    for name, rows in sets_of(folder).items():
        frame = answered(rows, len(rows) // 2)
        figures[name] = {
            "first_run_warns": first_run_warns(answered(rows, len(rows))),
            "in_order": in_order(frame),
            "false_alarms": {count: share_warned(frame, count, draws) for count in SIZES},
            "caught_20_points": {count: share_warned(frame, count, draws, less_positive(0.2)) for count in SIZES},
            "caught_unsure": {count: share_warned(frame, count, draws, unsure) for count in SIZES},
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    asked = parser.parse_args()
    print(json.dumps(run(asked.draws, asked.folder), indent=1))


if __name__ == "__main__":
    main()
