"""From a file's bytes to cells, whatever its form. Not here: which columns are reviews (files.py, file_columns.py)."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews import file_columns, file_values

_SEPARATORS = (",", ";", "\t", "|")


class UnreadableFile(PermanentFailure):
    """The file is missing, empty, or no table in a known form."""


@dataclass(frozen=True)
class Table:
    """A file's cells, every one a str, "" where empty, except typed datetime columns of Parquet and Feather.

    The index is the row's number as a person finds it: the first line in a text file (the header is 1), the row in
    Excel, the record in JSON, the row in Parquet and Feather, all from 1. Its name is what is counted: line, row or
    record. Blank rows are left in.
    form: what was assumed, as one phrase: "CSV in UTF-8, separated by ';'"
    notes: what was repaired or left out, one line each
    """

    cells: pd.DataFrame
    form: str
    notes: tuple[str, ...] = ()


def read_table(path: Path) -> Table:
    """The file's cells. Raises `UnreadableFile`."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UnreadableFile(f"{path} does not exist: give the path of a CSV or Parquet file") from None
    except OSError as error:
        raise UnreadableFile(
            f"{path} cannot be read ({error.strerror}): give a readable CSV or Parquet file"
        ) from error
    if not content.strip():
        raise UnreadableFile(f"{path} is empty: give a CSV or Parquet file with a header and reviews")
    if content.startswith(b"PAR1"):
        return Table(_parquet_cells(path, content), "Parquet")
    decoded = None if content.startswith((b"PK\x03\x04", b"\x1f\x8b")) else file_values.decode(content)
    if decoded is None:
        raise UnreadableFile(f"{path} is neither CSV nor Parquet: save it as CSV in UTF-8")
    text, encoding = decoded
    separator = _separator(text)
    try:
        # Text in, text out: `na`, `null` and `=1+1` are reviews, not missing values.
        cells = pd.read_csv(
            io.StringIO(text, newline=""),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            na_filter=False,
            index_col=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).split())
        raise UnreadableFile(
            f"{path} is no table ({reason}): quote texts that hold {separator!r} or a quote"
        ) from error
    cells.index = pd.RangeIndex(2, len(cells) + 2, name="line")
    return Table(cells, f"CSV in {encoding.upper()}, separated by {separator!r}")


def _parquet_cells(path: Path, content: bytes) -> pd.DataFrame:
    try:
        table = pq.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(f"{path} is damaged Parquet ({str(error).splitlines()[0]}): write it again") from error
    typed = {}
    for name in table.column_names:
        column = table[name].to_pandas()
        typed[name] = column if pd.api.types.is_datetime64_any_dtype(column.dtype) else column.astype("str").fillna("")
    return pd.DataFrame(typed).set_index(pd.RangeIndex(1, table.num_rows + 1, name="row"))


def _separator(text: str) -> str:
    """The separator under which the header names the most known columns; a comma where none does."""
    header = io.StringIO(text[:65536], newline="")

    def known(separator: str) -> int:
        header.seek(0)
        names = next(csv.reader(header, delimiter=separator), [])
        return len(file_columns.recognise(names)) * 1000 + len(names)

    return max(_SEPARATORS, key=known)
