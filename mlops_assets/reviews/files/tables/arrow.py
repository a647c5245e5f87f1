"""Tables that know their types: Parquet, Feather and Arrow's streams. Times stay times, the rest becomes text."""

from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.feather as pf
import pyarrow.parquet as pq

from mlops_assets.reviews.files.tables.cells import (
    NoTable,
    require_bytes,
    require_cell,
    require_size,
    unique_names,
    without_repeated_columns,
)

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them


def read_arrow(content: bytes, form: str) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Cells, form and notes. Raises `NoTable`."""
    table = read_parquet(content) if form == "Parquet" else _read_feather(content)
    header = [str(name) for name in table.column_names]
    names = unique_names(header)
    try:
        columns = [_cells(column) for column in table.columns]
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(form, error) from error
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=pd.RangeIndex(table.num_rows))
    frame.columns = pd.Index(names, dtype="str")
    frame = frame.set_index(pd.RangeIndex(1, table.num_rows + 1, name="row"))
    frame, notes = without_repeated_columns(frame, header)
    return frame, form, notes


def read_parquet(content: bytes) -> pa.Table:
    """The table of a Parquet file. Raises `NoTable`, before it is expanded if it is larger than reviews are."""
    try:
        about = pq.read_metadata(pa.BufferReader(content))
        require_size(about.num_rows, about.num_columns)
        require_bytes(sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups)))
        schema = pq.read_schema(pa.BufferReader(content))
        texts = [field.name for field in schema if _is_text(field.type)]
        return _expanded(pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts).read())
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged("Parquet", error) from error


def _read_feather(content: bytes) -> pa.Table:
    try:
        table = pf.read_table(pa.BufferReader(content))
        require_size(table.num_rows, table.num_columns)
        return _expanded(table)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged("Feather", error) from error


def _expanded(table: pa.Table) -> pa.Table:
    """Plain columns in place of dictionaries, whose few values can stand for any number of bytes."""
    size, columns = 0, list[pa.ChunkedArray]()
    for name, column in zip(table.column_names, table.columns, strict=True):
        plain = column
        if pa.types.is_dictionary(column.type):
            if _is_text(column.type.value_type):
                for chunk in column.chunks:
                    lengths = pc.binary_length(chunk.dictionary)
                    require_cell(pc.max(lengths).as_py() or 0, f"column {name}")
                    size += pc.sum(lengths.take(chunk.indices)).as_py() or 0
                require_bytes(size)
            plain = column.cast(column.type.value_type)
        columns.append(plain)
    return pa.table(
        columns, schema=pa.schema(zip(table.column_names, (column.type for column in columns), strict=True))
    )


def _cells(column: pa.ChunkedArray) -> pd.Series:
    kind = column.type
    if _is_text(kind):
        require_cell(pc.max(pc.binary_length(column)).as_py() or 0, "a row")
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


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests)


def _number(value: float | None) -> str:
    """4.0 as 4: Parquet has no whole numbers beside empty cells as pandas writes them."""
    if value is None or value != value:  # noqa: PLR0124  not a number
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def _damaged(form: str, error: Exception) -> NoTable:
    return NoTable(f"is damaged {form} ({str(error).splitlines()[0]}): write it again")
