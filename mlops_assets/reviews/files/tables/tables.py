"""From a file's bytes to cells; its content says in which form it is, not its name.

Not here: which columns are reviews (files.py, file_columns.py), what cells mean (file_values.py).
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.files import text as file_text
from mlops_assets.reviews.files.tables import csv as table_csv
from mlops_assets.reviews.files.tables import json as table_json
from mlops_assets.reviews.files.tables.cells import NoTable

_FORMS = "CSV, Excel, JSON, JSON lines, Parquet or Feather, also packed with gzip"
_ZIP, _OLE, _GZIP = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"\x1f\x8b"
_OTHERS = {
    b"%PDF": "is a PDF: export the table itself as CSV",
    b"BZh": "is packed with bzip2: unpack it",
    b"\xfd7zXZ": "is packed with xz: unpack it",
    b"\x28\xb5\x2f\xfd": "is packed with zstd: unpack it",
    b"7z\xbc\xaf": "is packed with 7z: unpack it",
    b"Rar!": "is packed with rar: unpack it",
    b"SQLite format 3": "is a database: export the table as CSV",
}
_WEB = (b"<!doctype", b"<html", b"<table", b"<?xml")


class UnreadableFile(PermanentFailure):
    """The file is missing, empty, or no table in a known form."""


@dataclass(frozen=True)
class Table:
    """A file's cells, every one a str, "" where empty, except typed datetime columns of Parquet and Feather.

    The index is the row's number as a person finds it: the first line in a text file (the header is 1), the row in a
    workbook, the record in JSON, the row in Parquet and Feather, all from 1. Its name is what is counted: line, row or
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
        raise UnreadableFile(f"{path} does not exist: give the path of a file with reviews ({_FORMS})") from None
    except IsADirectoryError:
        raise UnreadableFile(f"{path} is a folder: give the files inside, or move them out of it") from None
    except OSError as error:
        raise UnreadableFile(
            f"{path} cannot be read ({error.strerror}): give a readable file with reviews ({_FORMS})"
        ) from error
    try:
        packed = content.startswith(_GZIP)
        cells, form, notes = _cells(file_text.unpacked(content) if packed else content)
    except NoTable as reason:
        raise UnreadableFile(f"{path} {reason}") from reason
    return Table(cells, f"{form}, packed with gzip" if packed else form, notes)


def _cells(content: bytes) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    if not content.strip():
        raise NoTable("is empty: give a file with a header and reviews")
    for start, reason in _OTHERS.items():
        if content.startswith(start):
            raise NoTable(reason)
    if content.startswith((_ZIP, _OLE)):
        from mlops_assets.reviews.files.tables import excel as table_excel

        if content.startswith(_ZIP) and not table_excel.is_workbook(content):
            raise NoTable("is a zip file: unpack it, and give the files inside")
        return table_excel.read_workbook(content)
    if content.startswith((b"PAR1", b"ARROW1", b"FEA1")):
        from mlops_assets.reviews.files.tables import arrow as table_arrow

        return table_arrow.read_arrow(content, "Parquet" if content.startswith(b"PAR1") else "Feather")
    text = file_text.decode(content)
    if text is None or content.startswith(_GZIP):
        raise NoTable(f"is in no form that can be read ({_FORMS}): save it as CSV in UTF-8")
    if text.content.lstrip()[:9].lower().startswith(_WEB):
        raise NoTable("is a web page or XML, not a table: save it as CSV in UTF-8")
    if table_json.looks_like_json(text.content):
        return table_json.read_json(text)
    return table_csv.read_csv(text)
