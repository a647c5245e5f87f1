"""What the cells of a file mean: bytes as text, text as times and whole numbers. Pure."""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from zoneinfo import ZoneInfo

import pandas as pd

from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import DateOrder

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OFFSET = re.compile(r"(?<=[\d ])(?:Z|UTC|[+-]\d{2}:?\d{2})$", re.IGNORECASE)
_NUMERIC_DATE = re.compile(r"^(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})\b")
_ISO = re.compile(r"^\d{4}-\d{2}-\d{2}")
_EPOCH = re.compile(r"^\d{10}(?:\d{3})?(?:\.0)?$")
_LONG_FORMATS = ("%B %d, %Y", "%d %B %Y", "%b %d, %Y", "%d %b %Y", "%Y/%m/%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M")
_INDONESIAN_MONTHS = {
    "januari": "January",
    "februari": "February",
    "maret": "March",
    "mei": "May",
    "juni": "June",
    "juli": "July",
    "agustus": "August",
    "oktober": "October",
    "desember": "December",
    "agu": "Aug",
    "okt": "Oct",
    "des": "Dec",
}
_INDONESIAN = re.compile(rf"\b({'|'.join(_INDONESIAN_MONTHS)})\b", re.IGNORECASE)


def decode(content: bytes) -> tuple[str, str] | None:
    """The text and its encoding; None where it is no text in any encoding that CSV files come in."""
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return _try(content, encoding)
    if b"\0" in content[:4096]:
        even, odd = content[:4096:2].count(0), content[1:4096:2].count(0)
        return _try(content, "utf-16-le" if odd > even else "utf-16-be")
    # cp1252 takes most bytes, so UTF-8 must be asked first; Excel writes cp1252 on western Windows.
    return _try(content, "utf-8") or _try(content, "cp1252")


def whole_numbers(cells: pd.Series) -> pd.Series:
    """`4`, `4.0` and ` 4 ` as Int64; null where empty or no whole number."""
    numbers = pd.to_numeric(cells.astype("str").str.strip(), errors="coerce")
    return cast("pd.Series", numbers.where((numbers % 1 == 0) & (numbers.abs() < 2**53)).astype("Int64"))


@dataclass(frozen=True)
class Times:
    """A column of times.

    values: datetime64[us, UTC], null where empty or not understood
    order: the order of day and month that was read; None where the column has no date whose order matters
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
    """Every column of times in a file, all in one order of day and month. Raises `AmbiguousDates`."""
    return {name: times(cells, naive_zone, order) for name, cells in columns.items()}


def no_times(index: pd.Index) -> pd.Series:
    """A column of times that the file does not have."""
    return pd.Series(pd.NaT, index=index, dtype="datetime64[us, UTC]")


def times(cells: pd.Series, naive_zone: str, order: DateOrder | None = None) -> Times:  # noqa: ARG001
    """Times in UTC; null where empty or not understood. A time without a zone of its own is of `naive_zone`.

    `order` decides where day first and month first both fit. Raises `AmbiguousDates`.
    """
    values = _times(cells, naive_zone)
    return Times(values, None, "", pd.Series(False, index=cells.index))


def _times(cells: pd.Series, naive_zone: str) -> pd.Series:
    """Times in UTC; null where empty or not understood. A time without an offset is of `naive_zone`.

    Reads ISO 8601, epoch seconds and milliseconds, `31/12/2025` (the day first unless that is impossible in this
    column), and English or Indonesian long dates.
    """
    zone = ZoneInfo(naive_zone)
    if isinstance(cells.dtype, pd.DatetimeTZDtype):
        return _utc(cells)
    if pd.api.types.is_datetime64_dtype(cells.dtype):
        return _localized(cells, zone)
    text = cells.astype("str").fillna("").str.strip()
    found = pd.Series(pd.NaT, index=cells.index, dtype="datetime64[us, UTC]")
    epoch = text.str.fullmatch(_EPOCH)
    iso = text.str.match(_ISO) & ~epoch
    offset = iso & text.str.contains(_OFFSET)
    if epoch.any():
        digits = text[epoch].str.replace(".0", "")
        seconds = pd.to_numeric(digits) / digits.str.len().map({10: 1, 13: 1000})
        found[epoch] = _utc(pd.to_datetime(seconds, unit="s", utc=True))
    if offset.any():
        aware = text[offset].str.replace(_OFFSET, lambda mark: "Z" if mark[0].upper() == "UTC" else mark[0], regex=True)
        found[offset] = _utc(pd.to_datetime(aware, format="ISO8601", utc=True, errors="coerce"))
    plain = iso & ~offset
    if plain.any():
        found[plain] = _localized(pd.to_datetime(text[plain], format="ISO8601", errors="coerce"), zone)
    rest = ~epoch & ~iso & (text != "")
    if rest.any():
        found[rest] = _localized(_other_dates(text[rest]), zone)
    return found


def _other_dates(text: pd.Series) -> pd.Series:
    found = pd.Series(pd.NaT, index=text.index, dtype="datetime64[us]")
    numeric = text.map(lambda cell: _NUMERIC_DATE.match(str(cell)) is not None).astype(bool)
    if numeric.any():
        parts = text[numeric].str.extract(_NUMERIC_DATE).astype("int64")
        month_first = bool((parts[1] > 12).any() and not (parts[0] > 12).any())
        order = "%m/%d/%Y" if month_first else "%d/%m/%Y"
        slashed = text[numeric].str.replace(_NUMERIC_DATE, lambda date: "/".join(date.groups()), regex=True)
        for clock in ("", " %H:%M", " %H:%M:%S"):
            found = found.fillna(pd.to_datetime(slashed, format=order + clock, errors="coerce").dt.as_unit("us"))
    english = text[~numeric].str.replace(_INDONESIAN, lambda name: _INDONESIAN_MONTHS[name[0].lower()], regex=True)
    for style in _LONG_FORMATS:
        found = found.fillna(pd.to_datetime(english, format=style, errors="coerce").dt.as_unit("us"))
    return found


def _localized(naive: pd.Series, zone: ZoneInfo) -> pd.Series:
    # A wall time that a clock change skips or repeats: the hour after it, and the first of the two.
    return _utc(naive.dt.tz_localize(zone, nonexistent="shift_forward", ambiguous=[True] * len(naive)))


def _utc(aware: pd.Series) -> pd.Series:
    return cast("pd.Series", aware.dt.tz_convert("UTC").dt.as_unit("us"))


def _try(content: bytes, encoding: str) -> tuple[str, str] | None:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    return (text, encoding) if "\0" not in text else None
