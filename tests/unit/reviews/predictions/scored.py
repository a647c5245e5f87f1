"""Months of reviews and a model that answers them, for the tests of predictions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from mlops_assets.reviews.predictions.answer import NEEDED, Answering, answer_month
from mlops_assets.reviews.predictions.month import SCHEMA, confidences, read_month
from mlops_assets.reviews.predictions.scoring import Budget, score_months
from mlops_assets.reviews.predictions.stored import Predictions
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.months import files_below
from mlops_assets.reviews.stored.split import Split
from tests.unit.reviews.rows import APP, review
from tests.unit.reviews.rows import frame as stored_form

LABELS = ("negative", "positive")
FIRST, LATER, LAST = (datetime(2026, 2, day, tzinfo=UTC) for day in (1, 2, 3))
SPLIT = Split.nested(5)


class Clock:
    """A clock in seconds that goes on when a model is asked."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class FakeModel:
    """Sure of praise; remembers the texts that it was asked. A text takes `seconds_a_text` of the clock."""

    def __init__(
        self, version: str = "m1", positive: float = 0.8, clock: Clock | None = None, seconds_a_text: float = 0
    ) -> None:
        self.asked: list[str] = []
        self.version, self.positive = version, positive
        self._clock, self._seconds = clock, seconds_a_text

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        if self._clock:
            self._clock.now_s += self._seconds * len(texts)
        share = np.array([self.positive if "bagus" in text else 1 - self.positive for text in texts])
        return np.stack([1 - share, share], axis=1)

    def answering(self, now: datetime, since: datetime | None = None) -> Answering:
        return Answering(self.version, LABELS, self.probabilities, SPLIT, since=since or now, now=now)


def answered(reviews: pd.DataFrame, model: FakeModel, known: pa.Table | None = None, now: datetime = FIRST) -> pa.Table:
    """The rows of one model whose first answers were at `FIRST`."""
    found = answer_month(
        pa.Table.from_pandas(reviews[list(NEEDED)], preserve_index=False),
        SCHEMA.empty_table() if known is None else known,
        model.answering(now, FIRST),
        again=True,
        first_seen=now,
        out_of_time=lambda: False,
    )
    return found.table


def with_confidence(table: pa.Table) -> pd.DataFrame:
    return table.drop_columns(["probabilities"]).to_pandas().assign(confidence=confidences(table))


class Place:
    """A data version with its predictions."""

    def __init__(self, folder: Path) -> None:
        self.validated, self.folder = folder / "validated", folder / "data" / "predictions"

    def write(self, month: str, texts: dict[str, str], app: str = APP) -> Path:
        """The month's reviews by id."""
        path = self.validated / app / f"{month}.parquet"
        date = f"{month}-05T00:00:00Z"
        rows = [review(name, app_id=app, review_text=text, review_date=date) for name, text in texts.items()]
        columns.write_frame(stored_form(*rows), path)
        return path

    def score(self, model: FakeModel, now: datetime = FIRST, budget: Budget | None = None) -> Predictions:
        found = Predictions.read(self.folder)
        answering = model.answering(now, found.first_run(model.version))
        score_months(found, files_below(self.validated), answering, budget.is_spent if budget else lambda: False)
        found.save(model.version, "d1")
        return found

    def rows(self) -> pd.DataFrame:
        tables = [read_month(path) for path in sorted(self.folder.glob("*/*.parquet"))]
        return with_confidence(pa.concat_tables(tables)).set_index("review_id")

    def files(self) -> dict[str, int]:
        """Each file's inode: a file that is written again has another."""
        return {path.relative_to(self.folder).as_posix(): path.stat().st_ino for path in self.folder.glob("*/*")}


def bytes_moved() -> int:
    """What this process has read and written since its start."""
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counts["rchar"]) + int(counts["wchar"])
