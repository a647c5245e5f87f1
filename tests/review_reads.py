"""How often each stored review is read: a counter on the one function that reads files of reviews."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_assets.reviews.stored import columns


class ReviewReads:
    """Reads of each review by its id, and of each file by rows; reading one column of a row counts as reading it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of_review: Counter[str] = Counter()
        self.of_file: Counter[str] = Counter()
        read_rows = columns.read_rows

        def counted(path: Path, names: Collection[str] | None = None) -> pa.Table:
            ids = pq.read_table(path, columns=["review_id"])["review_id"].to_pylist()
            self.of_review.update(ids)
            self.of_file[str(path)] += len(ids)
            return read_rows(path, names)

        monkeypatch.setattr(columns, "read_rows", counted)

    @property
    def most(self) -> int:
        """How often the review that was read most often was read."""
        return max(self.of_review.values(), default=0)
