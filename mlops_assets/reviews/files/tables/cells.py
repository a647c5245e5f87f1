"""What every form of table shares: its limits, its header, cells put together, and why a file is no table."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute

from mlops_assets.reviews.files import columns as file_columns

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them

HEADER_WITHIN = 25
"""The header is in the first rows: titles, notes and blank rows may come before it."""

MOST_BYTES = 2**30
MOST_ROWS = 5_000_000
MOST_CELLS = 50_000_000
MOST_COLUMNS = 1_000
LONGEST_CELL = 1_000_000
"""Four million reviews fit. A small file can ask for any amount of memory: packed, repeated or nested."""

_AT_ONCE = 20_000
_LONE_HALF = "utf-16"


class NoTable(Exception):
    """Why a file is no table, as the rest of a sentence that begins with its path."""


def require_bytes(size: int) -> None:
    """Refuse a file that holds more bytes, once it is unpacked, than are read."""
    if size > MOST_BYTES:
        raise NoTable(
            f"holds {size / 2**20:,.0f} MB, and files of at most {MOST_BYTES // 2**20:,} MB are read: split it"
        )


def require_size(rows: int, columns: int) -> None:
    """Refuse a table that is wider than any table of reviews, or has more cells than are read."""
    if columns > MOST_COLUMNS:
        raise NoTable(
            f"has at least {columns:,} columns, and tables of at most {MOST_COLUMNS:,} columns are read: delete those "
            "that are not about reviews"
        )
    if rows > MOST_ROWS or rows * columns > MOST_CELLS:
        raise NoTable(
            f"has at least {rows:,} rows of {columns:,} columns, and at most {MOST_ROWS:,} rows and {MOST_CELLS:,} "
            "cells are read: split it, or delete columns"
        )


def require_cell(size: int, position: str) -> None:
    """Refuse a cell that is longer than any text about an app. `position` says where it is."""
    if size > LONGEST_CELL:
        raise NoTable(
            f"has a cell of {size:,} bytes in {position}, and cells of at most {LONGEST_CELL:,} bytes are read: "
            "shorten or delete it"
        )


def header_index(rows: Sequence[Sequence[str]]) -> int | None:
    """The index of the header: the first row that names all required columns, else the first that is not blank."""
    filled = [index for index, row in enumerate(rows[:HEADER_WITHIN]) if any(cell.strip() for cell in row)]
    complete = (index for index in filled if names_reviews(rows[index]))
    return next(complete, filled[0] if filled else None)


def names_reviews(names: Iterable[str]) -> bool:
    """Whether the names hold every column that reviews must have."""
    return set(file_columns.REQUIRED) <= file_columns.recognise(names).keys()


def unique_names(names: Sequence[str]) -> list[str]:
    """The header's names, each once: a column without a name gets its number, a repeated name gets a number too.

    Raises `NoTable` if there are too many.
    """
    require_size(0, len(names))
    found: list[str] = []
    for index, written in enumerate(names, start=1):
        name = written if written.strip() else f"(column {index})"
        again = 2
        while name in found:
            name, again = f"{written} ({again})", again + 1
        found.append(name)
    return found


def without_repeated_columns(cells: pd.DataFrame, header: Sequence[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The cells with one column for each name that reviews are read from, and what was left out.

    Raises `NoTable` if columns of the same name differ: the file does not say which of them is meant.
    """
    indices = dict[str, list[int]]()
    for index, name in enumerate(header):
        indices.setdefault(file_columns.folded(name), []).append(index)
    used = {file_columns.folded(name) for name in file_columns.recognise(header).values()}
    repeated = [group for name, group in indices.items() if len(group) > 1 and name in used]
    for first, *others in repeated:
        for other in others:
            if not (cells.iloc[:, first] == cells.iloc[:, other]).all():
                raise NoTable(
                    f"has two columns named {header[first]!r} whose cells differ: delete one of them, or rename it"
                )
    surplus = [index for _, *others in repeated for index in others]
    notes = tuple(f"the second column {header[index]!r} repeats the first and is left out" for index in surplus)
    kept = [index for index in range(len(header)) if index not in surplus]
    return cast("pd.DataFrame", cells.iloc[:, kept]), notes


def numbered(unit: str, numbers: Sequence[int]) -> str:
    """`line 3`, `lines 3, 7 and 9`, `lines 3, 7, 9 and 12 more`."""
    if len(numbers) == 1:
        return f"{unit} {numbers[0]}"
    first, rest = numbers[:3], len(numbers) - 3
    if rest > 0:
        return f"{unit}s {', '.join(map(str, first))} and {rest} more"
    return f"{unit}s {', '.join(map(str, first[:-1]))} and {first[-1]}"


class CellBuilder:
    """Cells put together row by row; few rows at a time are Python objects, so that a million fit.

    Names may be added between rows: the rows before have empty cells there. Raises `NoTable` beyond the limits.
    """

    def __init__(self, unit: str, names: Sequence[str] = ()) -> None:
        self._unit = unit
        self._chunks: dict[str, list[pa.Array]] = {name: [] for name in names}
        self._rows: list[list[str]] = []
        self._numbers: list[int] = []
        self._flushed = 0
        self.mended: list[int] = []
        """Numbers of rows with halves of characters, which no encoding can hold."""

    @property
    def rows(self) -> int:
        return len(self._numbers)

    def name(self, name: str) -> None:
        """One more column."""
        if name not in self._chunks:
            require_size(0, len(self._chunks) + 1)
            for row in self._rows:
                row.append("")
            self._chunks[name] = [pa.nulls(self._flushed, pa.string()).fill_null("")]

    def names(self) -> list[str]:
        return list(self._chunks)

    def add(self, number: int, cells: list[str]) -> None:
        """A row with a cell for each name."""
        self._rows.append(cells)
        self._numbers.append(number)
        if len(self._rows) == _AT_ONCE:
            self._flush()

    def frame(self) -> pd.DataFrame:
        """All rows; the index is their numbers."""
        self._flush()
        names = list(self._chunks)
        table = pa.table(
            [pa.chunked_array(self._chunks[name], pa.string()) for name in names],
            names=[str(n) for n in range(len(names))],
        )
        cells = table.to_pandas(split_blocks=True, self_destruct=True).astype("str")
        cells.columns = pd.Index(names, dtype="str")
        return cells.set_index(pd.Index(self._numbers, dtype="int64", name=self._unit))

    def _flush(self) -> None:
        if not self._rows:
            return
        require_size(self._flushed + len(self._rows), len(self._chunks))
        columns = list(zip(*self._rows, strict=True))
        try:
            arrays = [pa.array(column, pa.string()) for column in columns]
        except UnicodeEncodeError:
            self.mended += [
                number
                for number, row in zip(self._numbers[self._flushed :], self._rows, strict=True)
                if any(_whole(cell) != cell for cell in row)
            ]
            arrays = [pa.array([_whole(cell) for cell in column], pa.string()) for column in columns]
        for name, array in zip(self._chunks, arrays, strict=True):
            lengths = pc.binary_length(array)
            longest = pc.max(lengths).as_py()
            if longest > LONGEST_CELL:
                row = self._numbers[self._flushed + pc.index(lengths, longest).as_py()]
                require_cell(longest, f"{self._unit} {row}")
            self._chunks[name].append(array)
        self._flushed += len(self._rows)
        self._rows = []


def _whole(text: str) -> str:
    """Two halves of a character as that character, a half alone as '�'."""
    return text.encode(_LONE_HALF, "surrogatepass").decode(_LONE_HALF, "replace")
