"""A model's answers to texts that it was not trained on, from all months."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute

from mlops_assets.reviews.predictions.month import SCHEMA, confidences
from mlops_assets.reviews.predictions.stored import rows_of

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them

_COLUMNS = ["review_id", "app_id", "review_date", "side", "sentiment", "probabilities", "model_version", "first_scored"]


def unseen_by(folder: Path, model_version: str) -> pd.DataFrame:
    """review_id, app_id, review_date, side, sentiment, confidence and first_scored."""
    tables = [SCHEMA.empty_table().select(_COLUMNS)]
    for table in rows_of(folder, _COLUMNS):
        own = pc.and_(pc.equal(table["model_version"], model_version), pc.not_equal(table["side"], "train"))
        tables.append(table.filter(own))
    rows = pa.concat_tables(tables)
    return rows.drop_columns(["probabilities", "model_version"]).to_pandas().assign(confidence=confidences(rows))
