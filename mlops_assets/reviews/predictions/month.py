"""The file with the answers to one app's reviews of one month."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.files import Stamp
from mlops_assets.reviews.stored import columns
from mlops_assets.text import key_of

_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("review_id", pa.string(), nullable=False),
        pa.field("app_id", pa.string(), nullable=False),
        pa.field("review_date", _TIME, nullable=False),
        pa.field("text_key", pa.int64(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("sentiment", pa.string(), nullable=False),
        pa.field("probabilities", pa.list_(pa.float64()), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("first_scored", _TIME, nullable=False),
    ]
)
"""One row per answered review. `text_key` is the key of the text that was scored (`mlops_assets/text.py`).
`model_version` names the model that answered, `probabilities` are in the order of its labels, `side` is the text's side
in its training. `first_scored` is when this model first saw the review as it reads now: for a review that was there
when the model came, the time of the model's first run, even if its answer had to wait.
"""
_MADE_OF = b"predictions"


@dataclass(frozen=True)
class MadeOf:
    """What a month of predictions was made of.

    `reviews` is the stamp of the file of reviews, `waiting` the number of its reviews without an answer, `seen` when
    the first of them was seen, `labels` are those of each model.
    """

    reviews: Stamp
    waiting: int
    seen: str
    labels: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """From the file's footer."""
        stored = json.loads((pq.read_metadata(path).metadata or {})[_MADE_OF])
        return cls(tuple(stored["reviews"]), stored["waiting"], stored["seen"], stored["labels"])


def write_month(table: pa.Table, made_of: MadeOf, path: Path) -> None:
    """Replace the file, whole or not at all."""
    columns.write_table(table, path, about={_MADE_OF: json.dumps(asdict(made_of), sort_keys=True).encode()})


def read_month(path: Path, names: Collection[str] | None = None) -> pa.Table:
    """The columns (None: all) of a file of predictions, whichever version wrote it."""
    wanted = list(SCHEMA.names if names is None else names)
    if "text_key" in wanted and "text_key" not in pq.read_schema(path).names:
        wanted[wanted.index("text_key")] = "text"
    return with_keys(pq.read_table(path, columns=wanted))


def with_keys(table: pa.Table) -> pa.Table:
    """The table; one of an older version, with a digest of each text, with its key instead."""
    if "text" not in table.column_names:
        return table
    keys = pa.array(map(key_of, table["text"].to_pylist()), pa.int64())
    return table.set_column(table.column_names.index("text"), SCHEMA.field("text_key"), keys)


def confidences(table: pa.Table) -> np.ndarray:
    """The likeliest label's probability of each row."""
    column: Any = table["probabilities"].combine_chunks()
    lengths = np.asarray(column.value_lengths())
    if not len(lengths):
        return np.zeros(0)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return np.maximum.reduceat(np.asarray(column.flatten()), starts)
