"""What the cells of a file mean: text as times, stars and whole numbers. Pure. Not here: a single date (dates.py)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from zoneinfo import ZoneInfo

import pandas as pd

from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.files import dates as file_dates
from mlops_assets.reviews.files.dates import WrittenDate
from mlops_assets.settings import DateOrder

_COUNT = r"(?P<stars>\d{1,6})(?:[.,]0*)?"
_WORD = r"(?:stars?|bintang)"
_WRITTEN = re.compile(
    rf"(?:rated\s+|rating:?\s+|diberi\s+(?:rating|nilai)\s+)?(?:{_COUNT}|(?P<word>{_WORD})\s+(?P<after>\d))"
    rf"(?:\s+{_WORD})?(?:\s*(?:/|out\s+of|of|dari)\s*(?P<most>\d+|five|lima)(?:[.,]0*)?)?(?:[\s-]*(?:{_WORD}|⭐|★)(?:\s+rating)?)?",
    re.IGNORECASE,
)
_DRAWN = re.compile(r"(?P<full>★+|⭐+|🌟+)(?P<empty>☆*)")
_INVISIBLE = str.maketrans("", "", "\ufe0e\ufe0f")
_MOST = 5
_OFFSET = re.compile(r"[\d ](?:Z|UTC|[+-]\d{2}:?\d{2})$", re.IGNORECASE)
_ISO = re.compile(r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?: ?(?:Z|UTC|[+-]\d{2}:?\d{2}))?)?$")
_SERIAL = re.compile(r"^\d{5}(?:[.,]\d+)?$")
_SERIAL_YEARS = (36526, 73051)
"""Excel's day numbers of 2000-01-01 and 2100-01-01: a column of these is dates."""


def stars_in(cell: str) -> int | None:
    """`4`, `4.0`, `4,0`, `4 stars`, `4/5`, `4 dari 5 bintang`, `★★★★☆` as 4; None for all else.

    None too: halves, and stars out of another number than five.
    """
    text = " ".join(cell.translate(_INVISIBLE).split())
    if drawn := _DRAWN.fullmatch(text):
        full, empty = len(drawn["full"]), len(drawn["empty"])
        return full if full <= _MOST and empty in (0, _MOST - full) else None
    written = _WRITTEN.fullmatch(text)
    if written is None or (written["most"] or "5").lower() not in ("5", "five", "lima"):
        return None
    return int(written["stars"] or written["after"])


def whole_numbers(cells: pd.Series) -> pd.Series:
    """`4`, `4.0`, `4,0` and ` 4 ` as Int64; null if empty or no whole number."""
    numbers = pd.to_numeric(cells.astype("str").str.strip().str.replace(r",0+$", "", regex=True), errors="coerce")
    return cast("pd.Series", numbers.where((numbers % 1 == 0) & (numbers.abs() < 2**53)).astype("Int64"))


def stars(cells: pd.Series) -> pd.Series:
    """Ratings in any form that `stars_in` knows as Int64; null if empty or not understood."""
    text = cells.astype("str").fillna("")
    return whole_numbers(text.map({cell: str(stars_in(cell) or cell) for cell in text.unique()}))


@dataclass(frozen=True)
class Times:
    """A column of times.

    values: datetime64[us, UTC], null if empty or not understood
    order: the order of day and month that was read; None if no date depends on it
    why: what decided the order: "line 7 holds day 31", "asked for by DATES"
    zone_given: whether the cell itself said its zone
    """

    values: pd.Series
    order: DateOrder | None
    why: str
    zone_given: pd.Series


class AmbiguousDates(PermanentFailure):
    """Day first and month first both fit the dates of a file."""


def times_of_file(
    columns: Mapping[str, pd.Series], naive_zone: str, order: DateOrder | None = None
) -> dict[str, Times]:
    """Every column of times in a file, all in one order of day and month. Raises `AmbiguousDates`.

    If both orders fit a column, it is read like a column of the file that leaves no choice.
    """
    found, open_columns = dict[str, Times](), dict[str, pd.Series]()
    for name, cells in columns.items():
        try:
            found[name] = times(cells, naive_zone)
        except AmbiguousDates:
            open_columns[name] = cells
    known = next((read for read in found.values() if read.order), None)
    for name, cells in open_columns.items():
        read = times(cells, naive_zone, known.order if known else order)
        found[name] = Times(read.values, read.order, known.why if known else read.why, read.zone_given)
    return {name: found[name] for name in columns}


def no_times(index: pd.Index) -> pd.Series:
    """A column of times that the file does not have."""
    return pd.Series(pd.NaT, index=index, dtype="datetime64[us, UTC]")


def times(cells: pd.Series, naive_zone: str, order: DateOrder | None = None) -> Times:
    """Times in UTC; null if empty or not understood. A time without a zone of its own is of `naive_zone`.

    Each cell is read by its own form: ISO 8601, numbers since 1970, Excel's day numbers where most cells are such,
    dates with names of months in English or Indonesian, numeric dates. A numeric date that
    leaves no choice of day and month decides for the whole column; `order` decides where none does.
    Raises `AmbiguousDates`.
    """
    zone = ZoneInfo(naive_zone)
    if isinstance(cells.dtype, pd.DatetimeTZDtype):
        return Times(_utc(cells), None, "", cells.notna())
    if pd.api.types.is_datetime64_dtype(cells.dtype):
        return Times(_localized(cells, zone), None, "", pd.Series(False, index=cells.index))
    text = cells.astype("str").fillna("").str.strip()
    values, zone_given = no_times(cells.index), pd.Series(False, index=cells.index)
    # Programs write ISO 8601, millions of cells of it: those are read at once, the others one by one.
    iso = text.str.match(_ISO)
    if iso.any():
        values[iso], zone_given[iso] = _iso_times(cast("pd.Series", text[iso]), zone)
    others = values.isna() & (text != "")
    if not others.any():
        return Times(values, None, "", zone_given)
    rest = pd.Series(text[others])
    instants, used, why = _one_by_one(rest, int((text != "").sum()), order)
    given = pd.Series([bool(instant and instant.tzinfo) for instant in instants], index=rest.index)
    aware = pd.Series(instants, index=rest.index, dtype="object").where(given)
    naive = pd.Series(instants, index=rest.index, dtype="object").mask(given)
    values[others] = _utc(pd.to_datetime(aware, utc=True)).fillna(_localized(naive.astype("datetime64[us]"), zone))
    zone_given[others] = given
    return Times(values, used, why, zone_given)


def _iso_times(text: pd.Series, zone: ZoneInfo) -> tuple[pd.Series, pd.Series]:
    given = text.str.contains(_OFFSET) & (text.str.len() > 10)
    values = no_times(text.index)
    if given.any():
        aware = text[given].str.replace(r"(?i)\s*(?:UTC|Z)$", "Z", regex=True)
        values[given] = _utc(pd.to_datetime(aware, format="ISO8601", utc=True, errors="coerce"))
    if not given.all():
        values[~given] = _localized(pd.to_datetime(text[~given], format="ISO8601", errors="coerce"), zone)
    return values, given


def _one_by_one(
    text: pd.Series, filled: int, order: DateOrder | None
) -> tuple[list[datetime | None], DateOrder | None, str]:
    """Each cell's time, aware where it names its zone; the order of day and month, and what decided it."""
    days = pd.to_numeric(text.where(text.str.match(_SERIAL)).str.replace(",", "."), errors="coerce")
    days = days.where(days.between(*_SERIAL_YEARS))
    excel = days if days.notna().sum() * 2 > filled else days.where(pd.Series(False, index=days.index))
    known = [_excel_day(day) if day == day else file_dates.epoch(cell) for cell, day in zip(text, excel, strict=True)]  # noqa: PLR0124
    written = [None if instant else file_dates.parse(cell) for cell, instant in zip(text, known, strict=True)]
    if not _years_are_last([date for date in written if date is not None and date.two_digits], order):
        written = [None if date is None or date.two_digits else date for date in written]
    month_first, used, why = _orders(text, written, order)
    instants = [
        instant or (date and date.instant(month_first=month_first.get(date.mark, False)))
        for instant, date in zip(known, written, strict=True)
    ]
    return instants, used, why


def _years_are_last(dates: Sequence[WrittenDate], order: DateOrder | None) -> bool:
    """Whether numeric dates with a two-digit year end with it: a date or a person says so, and no date contradicts.

    13/01/25 alone does not say so: it may be a day of 2013.
    """
    return (order is not None or any(date.year_is_surely_last for date in dates)) and not any(
        date.year_is_surely_not_last for date in dates
    )


def _excel_day(number: float) -> datetime:
    return datetime(1899, 12, 30) + timedelta(milliseconds=round(number * 86_400_000))  # noqa: DTZ001  local, as written


def _orders(
    text: pd.Series, written: Sequence[WrittenDate | None], order: DateOrder | None
) -> tuple[dict[str, bool], DateOrder | None, str]:
    """Whether the month is first, for each mark between the numbers; the column's order and what decided it."""
    numeric = [(index, date) for index, date in enumerate(written) if date is not None and date.mark]
    doubtful = [(index, date) for index, date in numeric if date.order_matters]
    deciding = [(index, date) for index, date in numeric if date.only_order is not None]
    unit = text.index.name or "row"
    marks = {date.mark for _, date in numeric}

    def position(index: int) -> str:
        return f"{unit} {text.index[index]}"

    def reason(index: int, date: WrittenDate) -> str:
        against = f", though DATES is {order}" if order not in {None, date.only_order} else ""
        return f"{position(index)} holds day {max(date.month, date.day)}{against}"

    if not doubtful and not deciding:
        return {}, None, ""
    if len({date.only_order for _, date in deciding}) == 1:
        index, date = deciding[0]
        return dict.fromkeys(marks, date.only_order == "month-first"), date.only_order, reason(index, date)
    # The column has both orders: a date is read like the other dates with the same mark between the numbers.
    by_mark = {mark: {date.only_order for _, date in deciding if date.mark == mark} for mark in marks}
    undecided = [(index, date) for index, date in doubtful if len(by_mark[date.mark]) != 1]
    month_first = {mark: orders == {"month-first"} for mark, orders in by_mark.items()}
    if not undecided:
        return month_first, None, ""
    if order is not None:
        asked = {mark: order == "month-first" for mark, orders in by_mark.items() if len(orders) != 1}
        return month_first | asked, order, "asked for by DATES"
    index, _ = undecided[0]
    both = " and ".join(
        f"{position(index)} holds {text.iloc[index]!r}"
        for index, _ in {date.only_order: (index, date) for index, date in reversed(deciding)}.values()
    )
    raise AmbiguousDates(
        f"the dates in column {text.name} fit both day first and month first, such as {text.iloc[index]!r} in "
        f"{position(index)}{f' ({both})' if both else ''}: say which it is with DATES=day-first or DATES=month-first"
    )


def _localized(naive: pd.Series, zone: ZoneInfo) -> pd.Series:
    # A wall time that a clock change skips or repeats: the hour after it, and the first of the two.
    return _utc(naive.dt.tz_localize(zone, nonexistent="shift_forward", ambiguous=[True] * len(naive)))


def _utc(aware: pd.Series) -> pd.Series:
    return cast("pd.Series", aware.dt.tz_convert("UTC").dt.as_unit("us"))
