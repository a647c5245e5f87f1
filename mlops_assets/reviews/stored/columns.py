"""The columns of a stored review, and Parquet files of them: written atomically, equal rows as equal bytes."""

import os
import shlex
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.failures import PermanentFailure

_TIME = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    [
        pa.field("review_id", pa.string(), nullable=False),
        pa.field("app_id", pa.string(), nullable=False),
        pa.field("review_text", pa.string()),
        pa.field("rating", pa.int64()),
        pa.field("thumbs_up", pa.int64()),
        pa.field("app_version", pa.string()),
        pa.field("review_date", _TIME, nullable=False),
        pa.field("reply_text", pa.string()),
        pa.field("reply_date", _TIME),
        pa.field("scraped_at", _TIME, nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("author", pa.string()),
        pa.field("deleted_at", _TIME),
    ]
)
"""One row per review. `review_date` decides the month; `author` is a keyed hash; no name, no avatar, ever."""

COLUMNS: tuple[str, ...] = tuple(SCHEMA.names)
KEY_COLUMNS: tuple[str, ...] = tuple(field.name for field in SCHEMA if not field.nullable)
"""Never null, because a row cannot be stored without them."""

_DTYPES: dict[pa.DataType, Any] = {pa.string(): "str", pa.int64(): "Int64", _TIME: "datetime64[us, UTC]"}


class UnknownColumns(PermanentFailure):
    """A frame or file does not have the columns of a stored review."""


def conform(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows in the stored form: every column in order with its type, sorted by review_date and review_id.

    Missing nullable columns become null; a missing or null key column or a value that its type cannot hold raises.
    """
    absent = [name for name in KEY_COLUMNS if name not in frame.columns]
    if absent:
        raise UnknownColumns(f"reviews lack {', '.join(absent)}: every stored review needs {', '.join(KEY_COLUMNS)}")
    columns: dict[str, pd.Series] = {}
    for field in SCHEMA:
        dtype = _DTYPES[field.type]
        if field.name not in frame.columns:
            columns[field.name] = pd.Series(pd.NA, index=frame.index, dtype=dtype)
            continue
        column = cast("pd.Series", frame[field.name])
        if field.type == _TIME:
            column = pd.to_datetime(column, utc=True, format="ISO8601")
        columns[field.name] = column.astype(dtype)
    rows = pd.DataFrame(columns)
    for name in KEY_COLUMNS:
        if rows[name].isna().any():
            raise UnknownColumns(
                f"{int(rows[name].isna().sum())} reviews have no {name}: every stored review needs one"
            )
    return cast("pd.DataFrame", rows.sort_values(["review_date", "review_id"], kind="stable", ignore_index=True))


def empty() -> pd.DataFrame:
    """No rows, every column with its type."""
    return to_frame(SCHEMA.empty_table())


def month_of(times: pd.Series) -> pd.Series:
    """The UTC month of each time as YYYY-MM."""
    months = times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[M]")
    # Few distinct months, many times: only the months are written out.
    codes, distinct = pd.factorize(months)
    names = pd.array(pd.Series(distinct).dt.strftime("%Y-%m"), dtype="str")
    return pd.Series(names.take(codes, allow_fill=True), index=times.index, name=times.name)


def to_table(frame: pd.DataFrame) -> pa.Table:
    """A conformed frame as an Arrow table of `SCHEMA`, without pandas metadata."""
    return pa.Table.from_pandas(frame[list(COLUMNS)], schema=SCHEMA, preserve_index=False).replace_schema_metadata()


def to_frame(table: pa.Table) -> pd.DataFrame:
    """The pandas side of `to_table`."""
    frame = table.to_pandas(
        types_mapper={pa.int64(): pd.Int64Dtype(), pa.string(): pd.StringDtype(na_value=float("nan"))}.get
    )
    return cast("pd.DataFrame", frame)


def sort_table(table: pa.Table) -> pa.Table:
    """Rows in the stored order."""
    return table.sort_by([("review_date", "ascending"), ("review_id", "ascending")])


def write_table(table: pa.Table, path: Path, *, about: Mapping[bytes, bytes] | None = None) -> None:
    """Write `path` whole or not at all; equal tables give equal bytes. `about` goes into the footer."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema.remove_metadata(), compression="zstd", store_schema=False) as writer:
        writer.write_table(table.combine_chunks().replace_schema_metadata(), row_group_size=128 * 1024)
        if about:
            writer.add_key_value_metadata(about)
    write_bytes(sink.getvalue().to_pybytes(), path)


def write_bytes(content: bytes, path: Path) -> None:
    """Write `path` whole or not at all, durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_frame(frame: pd.DataFrame, path: Path) -> bool:
    """Write conformed rows to `path`; False if it already holds exactly these rows and stays untouched."""
    table = to_table(frame)
    if path.exists() and not schema_changes(path) and read_rows(path).equals(table):
        return False
    write_table(table, path)
    return True


def read_rows(path: Path, columns: Collection[str] | None = None) -> pa.Table:
    """The columns (None: all) of a file of reviews, whatever its schema. Every such read is a call of this."""
    return pq.read_table(path, columns=None if columns is None else list(columns))


def read_table(path: Path, columns: Collection[str] | None = None) -> pa.Table:
    """The Arrow table at `path`; raises `UnknownColumns` if the file is not of `SCHEMA`."""
    require_schema(path)
    return read_rows(path, columns)


def row_batches(path: Path, rows: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of a stored file as mappings, at most so many at a time. Raises `UnknownColumns`."""
    require_schema(path)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=rows):
            yield batch.to_pylist()


def require_schema(path: Path) -> None:
    """Raise `UnknownColumns` unless the file is of `SCHEMA`, by its footer."""
    changes = schema_changes(path)
    if changes:
        raise UnknownColumns(
            f"{path}: {'; '.join(changes)}: restore the file, or import it with "
            f"make import FILE={shlex.quote(str(path))}"
        )


def read_frame(path: Path) -> pd.DataFrame:
    """The rows at `path` in the stored form."""
    return to_frame(read_table(path))


def row_count(path: Path) -> int:
    """The rows of a file, from its footer."""
    return pq.read_metadata(path).num_rows


def schema_changes(path: Path) -> list[str]:
    """How the columns of a Parquet file differ from `SCHEMA`, one sentence each, from its footer alone."""
    try:
        found = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        return [f"it cannot be read as Parquet ({str(error).splitlines()[0]})"]
    changes = [f"column {name} is missing" for name in COLUMNS if name not in found.names]
    changes += [f"column {name} is unknown" for name in found.names if name not in COLUMNS]
    changes += [
        f"column {field.name} is {found.field(field.name).type}, must be {field.type}"
        for field in SCHEMA
        if field.name in found.names and found.field(field.name).type != field.type
    ]
    return changes


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
