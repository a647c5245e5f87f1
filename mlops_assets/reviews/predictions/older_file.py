"""The one file of predictions that older versions wrote, divided into months: no text is scored again for that."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from mlops_assets.files import Stamp
from mlops_assets.reviews.predictions.month import SCHEMA, MadeOf, with_keys, write_month

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them

NAME = "predictions.parquet"
_NEVER: Stamp = (0, 0, 0)
"""No file of reviews has this stamp, so each month is compared with its reviews."""


def take_over(data: Path) -> None:
    """Write the months of `data/predictions.parquet` that are not there, and remove it."""
    old = data / NAME
    if not old.is_file():
        return
    about = json.loads((pq.read_metadata(old).metadata or {})[b"predictions"])
    table = pq.read_table(old).sort_by([("app_id", "ascending"), ("review_date", "ascending")])
    table = with_keys(table).append_column("model_version", pa.repeat(about["model_version"], len(table)))
    months = pc.strftime(table["review_date"], format="%Y-%m")
    keys = pc.binary_join_element_wise(table["app_id"], months, "/").to_pylist()
    starts = [place for place, key in enumerate(keys) if place == 0 or keys[place - 1] != key]
    for start, end in zip(starts, [*starts[1:], len(keys)], strict=True):
        path = data / "predictions" / f"{keys[start]}.parquet"
        if not path.exists():
            rows = table.slice(start, end - start).select(SCHEMA.names).cast(SCHEMA)
            made_of = MadeOf(_NEVER, 0, _last_time(rows), {about["model_version"]: about["labels"]})
            write_month(rows, made_of, path)
    old.unlink()


def _last_time(rows: pa.Table) -> str:
    return pc.max(rows["first_scored"]).as_py().isoformat()
