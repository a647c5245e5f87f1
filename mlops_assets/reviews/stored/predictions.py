"""The serving model's answer to every stored review, in a file; only new texts are scored."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.split import Split
from mlops_assets.text import text_digest

_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("review_id", pa.string(), nullable=False),
        pa.field("app_id", pa.string(), nullable=False),
        pa.field("review_date", _TIME, nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("sentiment", pa.string(), nullable=False),
        pa.field("probabilities", pa.list_(pa.float64()), nullable=False),
        pa.field("first_scored", _TIME, nullable=False),
    ]
)
"""One row per review. `text` is a digest of what was scored, never the text; `probabilities` are in the order of the
file's `labels`; `first_scored` is when this model first saw the review as it reads now.
"""
_ABOUT = b"predictions"


@dataclass(frozen=True)
class About:
    """What a file of predictions was made of."""

    model_version: str
    dataset_version: str
    labels: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """From the file's footer alone; None if there is no such file."""
        if not path.is_file():
            return None
        stored = json.loads((pq.read_metadata(path).metadata or {}).get(_ABOUT, b"null"))
        return cls(stored["model_version"], stored["dataset_version"], tuple(stored["labels"])) if stored else None


def predict(
    reviews: pd.DataFrame,
    labels: Sequence[str],
    probabilities: Callable[[Sequence[str]], np.ndarray],
    *,
    known: pd.DataFrame | None,
    now: datetime,
    split: Split,
) -> tuple[pd.DataFrame, int]:
    """A row for each of `reviews` (review_id, app_id, review_date, review_text), and how many texts were scored.

    `known` are the same model's earlier rows: equal texts keep their answer. Each distinct text is scored once. `split`
    is the one that the model was trained with.
    """
    texts = reviews["review_text"].fillna("").astype(str)
    of_text = {text: text_digest(text) for text in texts.unique()}
    first_form: dict[str, str] = {}
    for text, digest in of_text.items():
        first_form.setdefault(digest, text)
    answers: dict[str, Any] = {}
    seen: dict[tuple[str, str, str], Any] = {}
    if known is not None:
        answers = dict(zip(known["text"], known["probabilities"], strict=True))
        keys = zip(known["app_id"], known["review_id"], known["text"], strict=True)
        seen = dict(zip(keys, known["first_scored"], strict=True))
    unknown = [digest for digest in first_form if digest not in answers]
    if unknown:
        rows = probabilities([first_form[digest] for digest in unknown])
        answers.update(zip(unknown, rows.tolist(), strict=True))
    sides = {digest: split.side_of(text) for digest, text in first_form.items()}
    digests = [of_text[text] for text in texts]
    given = [list(answers[digest]) for digest in digests]
    identity = zip(reviews["app_id"], reviews["review_id"], digests, strict=True)
    frame = pd.DataFrame(
        {
            "review_id": reviews["review_id"].astype(str).to_numpy(),
            "app_id": reviews["app_id"].astype(str).to_numpy(),
            "review_date": reviews["review_date"].to_numpy(),
            "text": digests,
            "side": [sides[digest] for digest in digests],
            "sentiment": [labels[int(np.argmax(row))] for row in given],
            "probabilities": given,
            "first_scored": pd.to_datetime([seen.get(key, now) for key in identity], utc=True),
        }
    )
    frame["review_date"] = pd.to_datetime(frame["review_date"], utc=True)
    return cast("pd.DataFrame", frame.sort_values(["review_date", "app_id", "review_id"], ignore_index=True)), len(
        unknown
    )


def write(frame: pd.DataFrame, about: About, path: Path) -> None:
    """Replace the file, whole or not at all."""
    table = pa.Table.from_pandas(frame, schema=SCHEMA, preserve_index=False)
    columns.write_table(table, path, about={_ABOUT: json.dumps(vars(about)).encode()})


def read(path: Path) -> pd.DataFrame:
    """The rows, with the likeliest label's probability in `confidence`."""
    frame = pq.read_table(path).to_pandas()
    frame["confidence"] = [float(max(row)) for row in frame["probabilities"]]
    return frame
