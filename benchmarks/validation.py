"""What validating a million reviews costs, against pandas reading the same Parquet file.

python -m benchmarks.validation [--rows N]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from mlops_assets.reviews.quality import quality
from mlops_assets.reviews.quality.claims import ReviewFacts, judge
from mlops_assets.reviews.quality.schema import validate
from mlops_assets.reviews.sources import sample
from mlops_assets.reviews.stored import columns

REPEATS = 3


def reviews(rows: int) -> pd.DataFrame:
    """Sample reviews with distinct ids, half of the texts of one kind each; one in a hundred breaks a rule.

    In real feeds 46 % of the rows repeat a text; a file of repeats alone would be read unlike any real one.
    """
    months = pd.concat([sample.generate(f"2026-{month:02d}") for month in range(1, 13)], ignore_index=True)
    frame = pd.concat([months] * (rows // len(months) + 1), ignore_index=True).head(rows)
    ids = pd.Series(range(rows)).astype("str").str.zfill(9) + "-be20eda7-0d90-4384-94b0-17bdc03a"
    frame = frame.assign(review_id=ids.astype("str"))
    frame.loc[::2, "review_text"] += " " + frame.loc[::2, "review_id"].str[:9]
    frame.loc[::100, "rating"] = 0
    frame.loc[::250, "review_text"] = " "
    return columns.conform(frame)


def seconds(work: Callable[[], object]) -> float:
    """The best of a few runs: other load only ever adds."""
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def run(rows: int = 1_000_000) -> dict[str, Any]:
    """Figures: seconds and their ratios to reading; `claims` are all judgements of a version beside validation."""
    options = quality.ValidationOptions()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reviews.parquet"
        columns.write_table(columns.to_table(reviews(rows)), path)
        reading = seconds(lambda: pd.read_parquet(path))
        frame = columns.read_frame(path)
        validating = seconds(lambda: validate(frame))
        result = validate(frame)
        blocking = seconds(lambda: judge(ReviewFacts.of(result.good, "binary")))
        varied = seconds(lambda: quality.texts_are_varied(result.good, options))
        sampled = seconds(
            lambda: (
                quality.languages_are_known(result.good, options),
                quality.stars_match_texts(result.good, options),
            )
        )
    return {
        "rows": rows,
        "quarantined": len(result.quarantined),
        "read_s": round(reading, 2),
        "validate_s": round(validating, 2),
        "blocking_claims_s": round(blocking, 2),
        "repeats_s": round(varied, 2),
        "language_and_stars_on_a_sample_s": round(sampled, 2),
        "validate_to_read": round(validating / reading, 2),
        "validate_and_claims_to_read": round((validating + blocking + varied + sampled) / reading, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    print(json.dumps(run(parser.parse_args().rows), indent=1))


if __name__ == "__main__":
    main()
