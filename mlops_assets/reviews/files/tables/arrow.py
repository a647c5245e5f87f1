"""Tables that know their types: Parquet, Feather and Arrow's streams. Times stay times, the rest becomes text."""

import io
from typing import cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather as pf
import pyarrow.parquet as pq

from mlops_assets.reviews.files.tables.cells import NoTable, unique_names, without_repeated_columns


def read_arrow(content: bytes, form: str) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Cells, form and notes. Raises `NoTable`."""
    try:
        table = pq.read_table(io.BytesIO(content)) if form == "Parquet" else pf.read_table(io.BytesIO(content))
        columns = [_cells(column) for column in table.columns]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise NoTable(f"is damaged {form} ({str(error).splitlines()[0]}): write it again") from error
    header = [str(name) for name in table.column_names]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=pd.RangeIndex(table.num_rows))
    frame.columns = pd.Index(unique_names(header), dtype="str")
    frame = frame.set_index(pd.RangeIndex(1, table.num_rows + 1, name="row"))
    frame, notes = without_repeated_columns(frame, header)
    return frame, form, notes


def _cells(column: pa.ChunkedArray) -> pd.Series:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _cells(column.cast(kind.value_type))
    if pa.types.is_timestamp(kind):
        return column.to_pandas()
    if pa.types.is_floating(kind):
        return pd.Series([_number(value) for value in column.to_pylist()], dtype="str")
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pd.Series([value.decode(errors="replace") if value else "" for value in column.to_pylist()], dtype="str")
    if pa.types.is_nested(kind) or pa.types.is_duration(kind) or pa.types.is_null(kind):
        return pd.Series(["" if value is None else str(value) for value in column.to_pylist()], dtype="str")
    text = cast("pa.ChunkedArray", pc.cast(column, pa.large_string()))
    return pc.fill_null(text, "").to_pandas().astype("str")


def _number(value: float | None) -> str:
    """4.0 as 4 where Parquet has no whole numbers beside empty cells, as pandas writes them."""
    if value is None or value != value:  # noqa: PLR0124  not a number
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
