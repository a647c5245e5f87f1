"""Records in JSON: an array, an array inside an object, JSON lines, and the forms in which pandas writes frames."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from mlops_assets.reviews.files.tables.cells import (
    MOST_CELLS,
    CellBuilder,
    NoTable,
    header_index,
    names_reviews,
    numbered,
    require_size,
    unique_names,
)
from mlops_assets.reviews.files.tables.text import Text

_DEEPEST = 4
_HOW = "holds no records: write it as an array of {name: value, …}, one for each review"


def looks_like_json(content: bytes) -> bool:
    return content.lstrip()[:1] in (b"[", b"{")


def read_json(text: Text) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Cells, form and notes. Raises `NoTable`."""
    try:
        if _is_lines(text.content):
            cells, form = _frame("line", _json_lines(text.content)), "JSON lines"
        else:
            cells, form = _frame("record", enumerate(_records(_parse(text.content, 1)), start=1)), "JSON"
    except RecursionError:
        raise NoTable("is JSON of too many levels: write it as an array of records") from None
    frame = cells.frame()
    halves = (f"{numbered('record', cells.mended)}: half a character, kept as '�'",) if cells.mended else ()
    return frame, f"{form} in {text.encoding}", (*text.notes, *halves)


def _parse(content: bytes, line: int) -> Any:
    """A JSON value that begins in this line of the file. Raises `NoTable`."""
    values = sum(content.count(sign) for sign in (b",", b"[", b"{"))
    if values > MOST_CELLS:
        raise NoTable(
            f"is JSON of up to {values:,} values, and at most {MOST_CELLS:,} are read: split it, or write it as JSON "
            "lines"
        )
    try:
        # Numbers stay as they are written, 5.0 and 1e5 too; NaN is how Python writes an empty cell.
        return json.loads(content.decode(), parse_int=str, parse_float=str, parse_constant=lambda _: None)
    except json.JSONDecodeError as error:
        raise NoTable(f"is damaged JSON (line {line + error.lineno - 1}: {error.msg}): write it again") from error


def _is_lines(content: bytes) -> bool:
    """Whether the first line that is not blank is an object by itself, and another line follows."""
    first, _, rest = content.lstrip().partition(b"\n")
    if not rest.strip() or not first.lstrip().startswith(b"{"):
        return False
    try:
        _parse(first, 1)
    except NoTable:
        return False
    return True


def _json_lines(content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(io.BytesIO(content), start=1):
        if not line.strip():
            continue
        record = _parse(line.strip(), number)
        if not isinstance(record, dict):
            raise NoTable(f"holds no record in line {number}: write each line as {{name: value, …}}")
        yield number, record


def _records(value: Any) -> list[dict[str, Any]]:
    """The records, wherever in the value they are. Raises `NoTable` where there are none, or several lists of them."""
    lists = dict(_lists_of_records(value, "", 0))
    if not lists:
        raise NoTable(_HOW)
    fitting = {name: records for name, records in lists.items() if _are_reviews(records)} or lists
    if len(fitting) > 1:
        raise NoTable(f"holds several lists of records ({', '.join(fitting)}): give each a file of its own")
    return next(iter(fitting.values()))


def _lists_of_records(value: Any, name: str, depth: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    found = _of_list(value) if isinstance(value, list) else _of_object(value) if isinstance(value, dict) else None
    if found:
        yield name, found
    elif isinstance(value, list | dict) and depth < _DEEPEST:
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for inner, item in parts:
            yield from _lists_of_records(item, f"{name}.{inner}" if name else str(inner), depth + 1)


def _of_list(value: list[Any]) -> list[dict[str, Any]] | None:
    if value and all(isinstance(item, dict) for item in value):
        return value
    return _rows_as_records(value) if len(value) > 1 and all(_is_row(item) for item in value) else None


def _of_object(value: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Records in the forms in which pandas writes a frame, and a record that stands alone."""
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return _rows_as_records([value["columns"], *value["data"]])
    items = list(value.values())
    if names_reviews(value):
        if all(isinstance(item, dict) and "$date" not in item for item in items):
            labels = dict.fromkeys(label for column in items for label in column)
            require_size(len(labels), len(items))
            return [{name: column.get(label) for name, column in value.items()} for label in labels]
        return _columns_as_records(value) if all(_is_row(item) for item in items) else [value]
    return items if items and all(isinstance(item, dict) and names_reviews(item) for item in items) else None


def _are_reviews(records: list[dict[str, Any]]) -> bool:
    first = dict[str, str]()
    for name, value in records[0].items():
        _flatten(name, value, first)
    return names_reviews(first)


def _is_row(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(cell, dict | list) for cell in value)


def _rows_as_records(rows: list[list[Any]]) -> list[dict[str, Any]]:
    header = header_index([[_cell(cell) for cell in row] for row in rows[:25]])
    if header is None:
        raise NoTable(_HOW)
    names = unique_names([_cell(name) for name in rows[header]])
    for position, row in enumerate(rows[header + 1 :], start=header + 2):
        if len(row) != len(names):
            raise NoTable(
                f"is no table (row {position} has {len(row)} cells, and the header {len(names)}): write it again"
            )
    return [dict(zip(names, row, strict=True)) for row in rows[header + 1 :]]


def _columns_as_records(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) != 1:
        raise NoTable(f"is no table (its columns have {min(lengths)} to {max(lengths)} cells): write it again")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _frame(unit: str, records: Iterator[tuple[int, dict[str, Any]]] | Any) -> CellBuilder:
    cells = CellBuilder(unit)
    known = dict[str, None]()
    for number, record in records:
        flat = dict[str, str]()
        for name, value in record.items():
            _flatten(str(name), value, flat)
        for name in flat:
            if name not in known:
                known[name] = None
                cells.name(name)
        cells.add(number, [flat.get(name, "") for name in known])
    return cells


def _flatten(name: str, value: Any, into: dict[str, str]) -> None:
    """A cell for each value; an object inside a record gives columns such as `reply.text`."""
    value = _unwrapped(value)
    if isinstance(value, dict):
        for inner, item in value.items():
            _flatten(f"{name}.{inner}", item, into)
    else:
        into[name] = _cell(value)


def _unwrapped(value: Any) -> Any:
    """What databases put into an object: MongoDB's {"$date": …}, Firestore's {"seconds": …, "nanoseconds": …}."""
    while isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith("$"):
        value = next(iter(value.values()))
    if isinstance(value, dict) and value:
        names = {str(name).lstrip("_").lower(): item for name, item in value.items()}
        if "seconds" in names and names.keys() <= {"seconds", "nanos", "nanoseconds"}:
            return names["seconds"]
    return value


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)
