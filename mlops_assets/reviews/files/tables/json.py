"""Records in JSON: an array, an array inside an object, JSON lines, and the forms in which pandas writes frames."""

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from mlops_assets.reviews.files.tables.cells import (
    CellBuilder,
    NoTable,
    header_place,
    names_reviews,
    numbered,
    unique_names,
)
from mlops_assets.reviews.files.text import Text

_DEEPEST = 4
_HOW = "holds no records: write it as an array of {name: value, …}, one for each review"


def looks_like_json(content: bytes) -> bool:
    return content.lstrip()[:1] in (b"[", b"{")


def read_json(text: Text) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Cells, form and notes. Raises `NoTable`."""
    content = text.content.decode()
    try:
        value = _parse(content)
    except json.JSONDecodeError as error:
        if not _is_lines(content):
            raise NoTable(f"is damaged JSON (line {error.lineno}: {error.msg}): write it again") from error
        cells, form = _frame("line", _json_lines(content)), "JSON lines"
    except RecursionError:
        raise NoTable("is JSON of too many levels: write it as an array of records") from None
    else:
        cells, form = _frame("record", enumerate(_records(value), start=1)), "JSON"
    frame = cells.frame()
    halves = (f"{numbered('record', cells.mended)}: half a character, kept as '�'",) if cells.mended else ()
    return frame, f"{form} in {text.encoding}", (*text.notes, *halves)


def _parse(content: str) -> Any:
    # Numbers stay as they are written, 5.0 and 1e5 too; NaN is how Python writes an empty cell.
    return json.loads(content, parse_int=str, parse_float=str, parse_constant=lambda _: None)


def _is_lines(content: str) -> bool:
    """Whether the first line that is not blank is JSON by itself."""
    first = next(line for line in content.split("\n") if line.strip())
    try:
        return isinstance(_parse(first), dict)
    except json.JSONDecodeError:
        return False


def _json_lines(content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    position, number = 0, 0
    while position < len(content):
        end = content.find("\n", position)
        end = len(content) if end < 0 else end
        line, position, number = content[position:end].strip(), end + 1, number + 1
        if not line:
            continue
        try:
            record = _parse(line)
        except json.JSONDecodeError as error:
            raise NoTable(f"is damaged JSON (line {number}: {error.msg}): write it again") from error
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
    header = header_place([[_cell(cell) for cell in row] for row in rows[:25]])
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
