"""The model's answers to texts that it was not trained on, in one table: only months that changed are read again."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from mlops_assets.reviews.predictions.month import SCHEMA, confidences, read_month
from mlops_assets.reviews.predictions.stored import Predictions
from mlops_assets.reviews.stored import columns

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them

_COLUMNS = ["review_id", "app_id", "review_date", "side", "sentiment", "first_scored"]
_NAME = "unseen.parquet"
_MADE_OF = b"unseen"


def unseen(predictions: Predictions) -> pd.DataFrame:
    """review_id, app_id, review_date, side, sentiment, first_scored and confidence of the model's own answers."""
    path, model = predictions.folder / _NAME, predictions.model_version
    months = {name: list(month.file) for name, month in predictions.months.items() if month.file}
    known: dict[str, list[int]] = {}
    tables: list[pa.Table] = []
    with suppress(OSError, ValueError, KeyError, TypeError):  # Absent or damaged: every month is read.
        made_of = json.loads((pq.read_metadata(path).metadata or {})[_MADE_OF])
        if made_of["model_version"] == model:
            same = {name: stamp for name, stamp in made_of["months"].items() if months.get(name) == stamp}
            table = pq.read_table(path)
            tables = [table.filter(pc.is_in(table["month"], value_set=pa.array(list(same), pa.string())))]
            known = same
    tables += [_of_month(predictions.path(name), name, model) for name in months if name not in known]
    if not tables:
        tables = [_of_month(None, "", model)]
    found = pa.concat_tables(tables)
    if known != months:
        made_of = json.dumps({"model_version": model, "months": months}).encode()
        columns.write_table(found, path, about={_MADE_OF: made_of})
    return found.drop_columns(["month"]).to_pandas()


def _of_month(path: Path | None, name: str, model_version: str) -> pa.Table:
    names = [*_COLUMNS, "probabilities", "model_version"]
    table = read_month(path, names) if path else SCHEMA.empty_table().select(names)
    own = pc.and_(pc.equal(table["model_version"], model_version), pc.not_equal(table["side"], "train"))
    rows = table.filter(own)
    found = rows.select(_COLUMNS).append_column("confidence", pa.array(confidences(rows), pa.float64()))
    return found.append_column("month", pa.array([name] * len(rows), pa.string()))
