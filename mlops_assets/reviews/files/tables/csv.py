"""Tables of separated values. A row has the header's fields or is refused, never shifted, cut or filled up.

Python's own csv module in its strict mode counts fields and physical lines; pandas' and pyarrow's readers cut, shift or
join rows with wrong quotes or separators.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd

from mlops_assets.reviews.files import columns as file_columns
from mlops_assets.reviews.files import dates as file_dates
from mlops_assets.reviews.files.tables.cells import (
    LONGEST_CELL,
    CellBuilder,
    NoTable,
    header_index,
    names_reviews,
    numbered,
    require_size,
    unique_names,
    without_repeated_columns,
)
from mlops_assets.reviews.files.tables.text import Text
from mlops_assets.reviews.files.values import stars_in

SEPARATORS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r'^"?sep=(?P<separator>.)"?\s*$', re.IGNORECASE)
_SAMPLE_CHARS = 2**18
_KINDS = {
    "thumbs_up": re.compile(r"\s*\d*(?:\.0+)?\s*"),
    "app_id": re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+"),
    "review_id": re.compile(r"\S*"),
    "app_version": re.compile(r"\S*"),
}
_LONGEST_ROW = 10 * LONGEST_CELL

csv.field_size_limit(LONGEST_CELL)


@dataclass(frozen=True)
class _Layout:
    """Where the table begins and how it is written."""

    separator: str
    spaced: bool
    header_line: int
    header: list[str]
    named: int
    """So many columns have names; separators without a name after them end every line."""


def read_csv(text: Text) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Cells, form and notes. Raises `NoTable`."""
    layout, titles = _layout(text.content)
    rows = _Rows(layout)
    cells = CellBuilder("line", unique_names(layout.header[: layout.named]))
    for line, row in rows.read(text.content):
        cells.add(line, row)
    notes = [*text.notes, *rows.notes()]
    if titles:
        notes.insert(0, f"{numbered('line', titles)} before the header left out")
    frame, repeated = without_repeated_columns(cells.frame(), layout.header[: layout.named])
    form = f"CSV in {text.encoding}, separated by {layout.separator!r}"
    return frame, form, (*notes, *repeated)


def _layout(content: bytes) -> tuple[_Layout, list[int]]:
    """The separator and the header's line: those under which the most columns are known; lines before the header."""
    sample = content[: 4 * _SAMPLE_CHARS].decode(errors="ignore")[:_SAMPLE_CHARS]
    first_line = next(iter(sample.splitlines()), "")
    declared = _SEPARATOR_LINE.match(first_line)
    best: tuple[tuple[int, int, int], str, list[tuple[int, list[str]]], int] | None = None
    for separator in (declared["separator"],) if declared else SEPARATORS:
        records = _first_records(sample, separator)[1 if declared else 0 :]
        row_index = header_index([row for _, row in records])
        if row_index is None:
            continue
        header = records[row_index][1]
        worth = (int(names_reviews(header)), len(file_columns.recognise(header)), len(header))
        if best is None or worth > best[0]:
            best = worth, separator, records, row_index
    if best is None:
        raise NoTable("holds no table: give it a header with the names of its columns")
    _, separator, records, row_index = best
    line, header = records[row_index]
    named = max(number for number, name in enumerate(header, start=1) if name.strip())
    spaced = len(header) > 1 and all(name.startswith(" ") for name in header[1:named])
    header = [name.strip() for name in header] if spaced else header
    titles = [number for number, row in records[:row_index] if row]
    return _Layout(separator, spaced, line, header, named), titles


def _first_records(sample: str, separator: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=separator)
    records, line = list[tuple[int, list[str]]](), 0
    for row in reader:
        records.append((line + 1, row))
        line = reader.line_num
        if len(records) > 2 * len(SEPARATORS) + 20:
            break
    return records


@dataclass
class _Rows:
    """The rows below the header, each with a cell for every named column."""

    layout: _Layout
    used: dict[str, str] = field(init=False)
    short: list[int] = field(default_factory=list[int])
    joined: list[int] = field(default_factory=list[int])
    headers: list[int] = field(default_factory=list[int])
    ended: list[int] = field(default_factory=list[int])
    filled: int = 0
    _raw: str = ""
    _row_chars: int = 0

    def __post_init__(self) -> None:
        self.used = file_columns.recognise(self.layout.header[: self.layout.named])

    def read(self, content: bytes) -> Iterator[tuple[int, list[str]]]:
        """Line and cells of every row. Raises `NoTable`."""
        named, header = self.layout.named, self.layout.header
        reader = csv.reader(
            self._lines(content),
            delimiter=self.layout.separator,
            skipinitialspace=self.layout.spaced,
            strict=True,
        )
        end, blank = self.layout.header_line - 1, 0
        try:
            next(reader)
            end = self.layout.header_line - 1 + reader.line_num
            below = self.layout.header_line - 1
            for row in reader:
                self._row_chars = 0
                line, lines = end + 1, below + reader.line_num - end
                end += lines
                if not row:
                    blank += 1
                    continue
                require_size(blank, named)
                for number in range(line - blank, line):
                    yield number, [""] * named
                blank = 0
                if lines > 1:
                    self._refuse_swallowed(row, line, end)
                if len(row) != named:
                    row = self._fitted(row, line, lines)  # noqa: PLW2901  the same row with the header's fields
                elif row[0] == header[0] and row == header[:named]:
                    self.headers.append(line)
                    continue
                self.filled += any(row)
                yield line, row
        except csv.Error as error:
            raise self._bad_quote(error, end + 1, self.layout.header_line - 1 + reader.line_num) from error
        if self.ended and len(self.ended) != self.filled:
            raise self._wrong_count(self.ended[0], len(header[:named]) + 1)

    def notes(self) -> Iterator[str]:
        separator = self.layout.separator
        if self.joined:
            yield (
                f"{numbered('line', self.joined)}: {separator!r} in a text without quotes, read as part of "
                f"{self.used['review_text']}"
            )
        if self.short:
            yield f"{numbered('line', self.short)}: ends before the last columns, which are empty there"
        if self.headers:
            yield f"{numbered('line', self.headers)}: the header again, left out"

    def _lines(self, content: bytes) -> Iterator[str]:
        """Physical lines from the header on; the last one is kept, to see how a row was written."""
        lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
        for _ in range(self.layout.header_line - 1):
            next(lines)
        while line := lines.readline(_LONGEST_ROW + 1):
            self._raw = line
            self._row_chars += len(line)
            if self._row_chars > _LONGEST_ROW:
                raise NoTable(
                    f"has a row of more than {_LONGEST_ROW:,} characters, which begins {line[:40]!r}: put each review "
                    "into a line of its own, and close every quote"
                )
            yield line

    def _fitted(self, row: list[str], line: int, lines: int) -> list[str]:
        """The row with the header's fields, if that is certain."""
        named = self.layout.named
        if len(row) < named:
            places = [self.layout.header.index(self.used[name]) for name in file_columns.REQUIRED if name in self.used]
            if not any(cell.strip() for cell in row):
                return [""] * named
            if not places or len(row) <= max(places):
                raise self._wrong_count(line, len(row))
            self.short.append(line)
            return row + [""] * (named - len(row))
        if not any(row[named:]):
            if len(row) == len(self.layout.header) or not any(row):
                return row[:named]
            if len(row) == named + 1:
                self.ended.append(line)
                return row[:named]
        joined = self._with_whole_text(row) if lines == 1 else None
        if joined is None:
            raise self._wrong_count(line, len(row))
        self.joined.append(line)
        return joined

    def _with_whole_text(self, row: list[str]) -> list[str] | None:
        """The row with its surplus fields as part of the text; None if they may belong to another column.

        It is certain if nothing in the line is quoted, and every other column is of a kind that holds no separator and
        has a value of that kind: the rest is the text.
        """
        header, separator = self.layout.header[: self.layout.named], self.layout.separator
        kinds = {name: stored for stored, name in self.used.items()}
        if separator.join(row) != self._raw.rstrip("\r\n") or not names_reviews(header):
            return None
        text_place = header.index(self.used["review_text"])
        surplus = len(row) - len(header)
        whole = separator.join(row[text_place : text_place + surplus + 1])
        fitted = [*row[:text_place], whole, *row[text_place + surplus + 1 :]]
        for name, cell in zip(header, fitted, strict=True):
            if name != self.used["review_text"] and not _is_of_kind(kinds.get(name), cell):
                return None
        return fitted

    def _refuse_swallowed(self, row: Sequence[str], line: int, end: int) -> None:
        """A quote that was never closed joins lines, until another quote ends them: such a cell holds whole rows."""
        if not names_reviews(self.layout.header):
            return
        for column, cell in enumerate(row):
            lines = [part.split(self.layout.separator) for part in re.split(r"\r\n|\r|\n", cell)]
            if len(lines) > 1 and (
                any(self._is_row(fields, 0, self.layout.named) for fields in lines[1:])
                or (self._is_row(lines[0], column, self.layout.named) and self._is_row(lines[-1], 0, column + 1))
            ):
                raise NoTable(
                    f"has a quote in line {line} that ends in line {end} only, and joins rows of their own: "
                    'close it, and write a quote inside a text as ""'
                )

    def _is_row(self, fields: Sequence[str], first: int, end: int) -> bool:
        """Whether the fields look like a row's columns from `first` up to `end`: their number, stars and date."""
        if len(fields) != end - first:
            return False
        stars, date = (self.layout.header.index(self.used[name]) for name in ("rating", "review_date"))
        return (not first <= stars < end or stars_in(fields[stars - first]) is not None) and (
            not first <= date < end or file_dates.is_date(fields[date - first])
        )

    def _wrong_count(self, line: int, fields: int) -> NoTable:
        return NoTable(
            f"is no table (line {line} has {fields} fields, and the header {self.layout.named}): put texts that hold "
            f"{self.layout.separator!r} or a line break into double quotes"
        )

    def _bad_quote(self, error: csv.Error, line: int, at: int) -> NoTable:
        if "field larger" in str(error):
            return NoTable(
                f"has a cell of more than {LONGEST_CELL:,} characters in line {line}, more than are read: shorten or "
                "delete it, and close every quote"
            )
        if "unexpected end" in str(error):
            return NoTable(f'is no table (the quote in line {line} is never closed): close it, or write it as ""')
        return NoTable(
            f"is no table (line {at} goes on after a closing quote): put the whole text into double quotes, and write "
            'a quote inside as ""'
        )


def _is_of_kind(stored: str | None, cell: str) -> bool:
    """Whether the cell is of a kind that no separator can be part of; never for texts and unknown columns."""
    if stored in file_columns.TIMES:
        return file_dates.is_date(cell) or (stored != "review_date" and not cell.strip())
    if stored == "rating":
        return stars_in(cell) is not None
    pattern = _KINDS.get(stored or "")
    return pattern is not None and bool(pattern.fullmatch(cell))
