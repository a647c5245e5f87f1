"""Tables in workbooks: .xlsx, .xlsb, .xls and .ods, as python-calamine reads them."""

import datetime
import io
import re
import zipfile
import zlib

import pandas as pd
from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum

from mlops_assets.reviews.files.tables.cells import (
    HEADER_WITHIN,
    MOST_CELLS,
    CellBuilder,
    NoTable,
    header_index,
    names_reviews,
    numbered,
    require_bytes,
    unique_names,
    without_repeated_columns,
)

_LONGEST_KIND = 200
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")
_CELL = re.compile(rb'<c r="([A-Z]{1,3})')
_ROW = re.compile(rb'<row[^>]*? r="(\d{1,7})"')
_BROKEN_ZIP = (NotImplementedError, RuntimeError, OSError, EOFError, ValueError)
_Cell = int | float | str | bool | datetime.time | datetime.date | datetime.datetime | datetime.timedelta


def is_workbook(content: bytes) -> bool:
    """Whether a zip file is a workbook. Raises `NoTable` where it is damaged or unpacks to more than any workbook."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, *_BROKEN_ZIP) as error:
        raise NoTable(f"is a damaged zip file or workbook ({error}): write it again") from error
    with archive:
        names, size = archive.namelist(), sum(part.file_size for part in archive.infolist())
        small = "mimetype" in names and archive.getinfo("mimetype").file_size < _LONGEST_KIND
        workbook = any(name.startswith("xl/workbook.") for name in names) or (
            small and b"opendocument.spreadsheet" in _part(archive, "mimetype")
        )
        if workbook:
            require_bytes(size)
        for name in names if workbook else ():
            if _SHEET.fullmatch(name):
                _refuse_far_cells(name, _part(archive, name))
    return workbook


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, *_BROKEN_ZIP) as error:
        raise NoTable(f"is a damaged workbook ({error}): save it again, or as CSV in UTF-8") from error


def _refuse_far_cells(name: str, sheet: bytes) -> None:
    """The reader keeps every cell up to the last row and column: a stray cell far away would cost gigabytes."""
    columns = {found[1] for found in _CELL.finditer(sheet)}
    last_row = max((int(found[1]) for found in _ROW.finditer(sheet)), default=0)
    width = max((_column(letters) for letters in columns), default=0)
    if width * last_row > MOST_CELLS:
        raise NoTable(
            f"has a cell in row {last_row} and one in column {max(columns, key=_column).decode()} ({name}), more than "
            "reviews need: delete what lies outside the table, or save it as CSV in UTF-8"
        )


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def read_workbook(content: bytes) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Cells, form and notes of the one sheet that holds reviews. Raises `NoTable`."""
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        sheets = {
            sheet.name: workbook.get_sheet_by_name(sheet.name).to_python(skip_empty_area=False)
            for sheet in workbook.sheets_metadata
            if sheet.typ == SheetTypeEnum.WorkSheet
        }
    except PasswordError:
        raise NoTable("is locked with a password: save it without one") from None
    except (CalamineError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise NoTable(f"is a damaged workbook ({reason}): save it again, or as CSV in UTF-8") from error
    filled = {name: rows for name, rows in sheets.items() if any(cell != "" for row in rows for cell in row)}
    if not filled:
        raise NoTable("is empty: give a file with a header and reviews")
    headers = {name: _header(rows) for name, rows in filled.items()}
    fitting = [name for name, header in headers.items() if names_reviews(_row(filled[name][header]))]
    if len(fitting) > 1:
        raise NoTable(f"holds reviews in several sheets ({', '.join(fitting)}): save each as a file of its own")
    chosen = fitting[0] if fitting else next(iter(filled))
    frame, notes = _cells(filled[chosen], headers[chosen])
    others = [name for name in filled if name != chosen]
    left_out = (f"sheet {chosen!r} is read, not {', '.join(repr(name) for name in others)}",) if others else ()
    return frame, "a workbook", (*left_out, *notes)


def _cells(rows: list[list[_Cell]], header_index: int) -> tuple[pd.DataFrame, tuple[str, ...]]:
    header = _row(rows[header_index])
    while header and not header[-1].strip() and not any(row[len(header) - 1] != "" for row in rows[header_index + 1 :]):
        header.pop()  # columns that only formatting reaches
    cells = CellBuilder("row", unique_names(header))
    last = max((number for number, row in enumerate(rows) if any(cell != "" for cell in row)), default=header_index)
    for number, row in enumerate(rows[header_index + 1 : last + 1], start=header_index + 2):
        cells.add(number, _row(row[: len(header)]))
    titles = [number for number, row in enumerate(rows[:header_index], start=1) if any(cell != "" for cell in row)]
    frame, repeated = without_repeated_columns(cells.frame(), header)
    left_out = (f"{numbered('row', titles)} before the header left out",) if titles else ()
    return frame, (*left_out, *repeated)


def _header(rows: list[list[_Cell]]) -> int:
    return header_index([_row(row) for row in rows[:HEADER_WITHIN]]) or 0


def _row(row: list[_Cell]) -> list[str]:
    return [cell if isinstance(cell, str) else _shown(cell) for cell in row]


def _shown(cell: _Cell) -> str:
    """The cell as a sheet shows it in its plainest format; dates as ISO 8601."""
    match cell:
        case bool():
            return "TRUE" if cell else "FALSE"
        case float() if cell.is_integer() and abs(cell) < 2**53:
            return str(int(cell))
        case datetime.datetime():
            return cell.isoformat(sep=" ")
        case _:
            return str(cell)
