"""The date and time in a cell, as people and programs write them. Pure. Not here: a whole column (values.py)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_assets.settings import DateOrder

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januari",
            "feb february februari pebruari peb",
            "mar march maret mac",
            "apr april",
            "may mei",
            "jun june juni",
            "jul july juli julai",
            "aug august agustus agu agt ags agust ogos",
            "sep sept september",
            "oct october okt oktober",
            "nov november nop nopember",
            "dec december des desember disember dis",
        ),
        start=1,
    )
    for name in names.split()
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DAY_NAME = re.compile(
    r"^(?:senin|selasa|rabu|kamis|jum'?at|sabtu|minggu|ahad|mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?"
    r"|thu(?:r(?:s(?:day)?)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?|sen|sel|rab|kam|jum|sab|min)\b\.?,?\s*",
    re.IGNORECASE,
)
_ZONES = {"wib": 7, "wita": 8, "wit": 9, "utc": 0, "gmt": 0, "z": 0}
_ZONE = re.compile(
    r"(?:(?<=[\d\s])|(?<=[ap]m)|(?<=m\.)|^)\(?(?:(?P<name>wita|wib|wit|utc|gmt|z)(?:(?P<by>[+-]\d{1,2})(?::?(?P<by_m>\d{2}))?)?"
    r"|(?P<h>[+-]\d{2}):?(?P<m>\d{2})?)\)?$",
    re.IGNORECASE,
)
_REMARK = re.compile(r"(?<=[+-]\d{4})\s*\([^()]*\)$")  # JavaScript: GMT+0700 (Western Indonesia Time)
_ISO = re.compile(r"(?P<year>\d{4})(?P<sep>[-/.])(?P<month>\d{1,2})(?P=sep)(?P<day>\d{1,2})(?!\d)")
_COMPACT = re.compile(r"^(?P<year>(?:19|20)\d{2})(?P<month>\d{2})(?P<day>\d{2})(?:T?(?P<clock>\d{6}|\d{4}))?$")
_NUMERIC = re.compile(r"(?<!\d)(?P<first>\d{1,2})(?P<sep>[-/.])(?P<second>\d{1,2})(?P=sep)(?P<year>\d{4})(?!\d)")
_PLAIN = re.compile(
    r"\s*(?P<first>\d{1,2})(?P<sep>[-/.])(?P<second>\d{1,2})(?P=sep)(?P<year>\d{4})"
    r"(?: (?P<clock>\d{1,2}:\d{2}(?::\d{2})?))?\s*"
)  # what spreadsheets write, so often that it is tried first
_DAY_MONTH = re.compile(
    rf"(?<!\d)(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[\s./-]*(?P<month>{_MONTH})\b\.?,?[\s/-]*(?P<year>\d{{4}})(?!\d)",
    re.IGNORECASE,
)
_MONTH_DAY = re.compile(
    rf"\b(?P<month>{_MONTH})\b\.?[\s/-]*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,\s*|\s+|[/-])(?P<year>\d{{4}})(?!\d)",
    re.IGNORECASE,
)
_YEAR_MONTH_DAY = re.compile(
    rf"(?<!\d)(?P<year>\d{{4}})[\s/-]+(?P<month>{_MONTH})\b\.?[\s/-]*(?P<day>\d{{1,2}})(?!\d)", re.IGNORECASE
)
_YEAR = r"'?(?P<year>\d{2})(?![\d:]|\.\d)"  # of two digits, and no hour that follows a date without a year
_DAY_MONTH_OF_TWO = re.compile(
    rf"(?<!\d)(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[\s./-]*(?P<month>{_MONTH})\b\.?,?[\s/-]+{_YEAR}", re.IGNORECASE
)
_MONTH_DAY_OF_TWO = re.compile(
    rf"\b(?P<month>{_MONTH})\b\.?[\s/-]*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,\s*|\s+|[/-]){_YEAR}", re.IGNORECASE
)
_NUMERIC_OF_TWO = re.compile(rf"(?<!\d)(?P<first>\d{{1,2}})(?P<sep>[-/.])(?P<second>\d{{1,2}})(?P=sep){_YEAR}")
_CTIME = re.compile(
    rf"^(?P<month>{_MONTH})\b\s+(?P<day>\d{{1,2}})\s+(?P<clock>\d{{1,2}}:\d{{2}}:\d{{2}})\s+(?P<year>\d{{4}})$",
    re.IGNORECASE,
)
_DATES = (
    *(_ISO, _NUMERIC, _DAY_MONTH, _MONTH_DAY, _YEAR_MONTH_DAY),
    *(_DAY_MONTH_OF_TWO, _MONTH_DAY_OF_TWO, _NUMERIC_OF_TWO),
)
_CLOCK = re.compile(
    r"(?P<hour>\d{1,2})(?:[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?)?"
    r"\s*(?P<half>[ap]\.?m\.?)?",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"^(?:[\s,T|-]|\bpukul\b|\bpkl\b\.?|\bjam\b|\bat\b)+|[\s,|-]+$", re.IGNORECASE)
_FIRST_YEAR = 2008  # the Android Market opened: no review is older
_EPOCH = re.compile(r"^(?:\d{10}(?:\.\d{1,6})?|\d{13}(?:\.0)?|\d{16}(?:\.0)?|\d{19})$")
_UNITS = {10: 1, 13: 10**3, 16: 10**6, 19: 10**9}


@dataclass(frozen=True, slots=True)
class WrittenDate:
    """A cell's date. In a numeric date such as 1/5/2025 `month` is the first number and `day` the second."""

    year: int
    month: int
    day: int
    since_midnight: timedelta
    offset: timedelta | None = None
    mark: str = ""
    """The sign between the numbers of a date like 31/12/2025; empty for every other form."""
    two_digits: bool = False
    """A numeric date like 31/12/25: the last number was taken as the year."""

    @property
    def year_is_surely_last(self) -> bool:
        """Whether 3/12/25 or 12/31/25 cannot begin with a year."""
        return self.month < _FIRST_YEAR % 100 or self.day > 12 or self.year % 100 > 31

    @property
    def year_is_surely_not_last(self) -> bool:
        """Whether 25/12/03 cannot end with a year, or 25/13/24 with day and month before it."""
        return self.year < _FIRST_YEAR or min(self.month, self.day) > 12 or max(self.month, self.day) > 31

    @property
    def order_matters(self) -> bool:
        """Whether both orders of day and month give a date, and different dates."""
        return bool(self.mark) and self.month != self.day and self.month <= 12 and self.day <= 12

    @property
    def only_order(self) -> "DateOrder | None":
        """The only order that gives a date; None if both or neither do."""
        if not self.mark or (self.month > 12) == (self.day > 12) or max(self.month, self.day) > 31:
            return None
        return "day-first" if self.month > 12 else "month-first"

    def instant(self, *, month_first: bool) -> datetime | None:
        """The date and time, aware if the cell names its zone; None if there is no such date.

        `month_first` decides if both orders give a date.
        """
        if self.only_order is not None:
            month_first = self.only_order == "month-first"
        month, day = (self.day, self.month) if self.mark and not month_first else (self.month, self.day)
        try:
            date = datetime(self.year, month, day) + self.since_midnight  # noqa: DTZ001  naive where the cell is
            return date if self.offset is None else date.replace(tzinfo=timezone(self.offset))
        except (ValueError, OverflowError):
            return None


def parse(cell: str) -> WrittenDate | None:
    """The date in the cell; None if it holds no date, or something else too."""
    if plain := _PLAIN.fullmatch(cell):
        return _date(plain, plain["clock"] or "", None)
    text = _DAY_NAME.sub("", " ".join(cell.split()))
    text, offset = _without_zone(text)
    if compact := _COMPACT.match(text):
        clock = compact["clock"] or ""
        return _date(compact, ":".join(clock[i : i + 2] for i in range(0, len(clock), 2)), offset)
    if ctime := _CTIME.match(text):
        return _date(ctime, ctime["clock"], offset)
    for form in _DATES:
        if found := form.search(text):
            before, after = (_BETWEEN.sub("", part) for part in (text[: found.start()], text[found.end() :]))
            clock = before or after
            if offset is None:  # 14:05 WIB, 13 Januari 2025
                clock, offset = _without_zone(clock)
            return None if before and after else _date(found, clock, offset)
    return None


def epoch(cell: str) -> datetime | None:
    """Seconds, milliseconds, micro- or nanoseconds since 1970."""
    text = cell.strip()
    if not _EPOCH.match(text):
        return None
    whole, _, part = text.partition(".")
    seconds, rest = divmod(int(whole), _UNITS[len(whole)])
    parts = int(part.ljust(6, "0")) if part else rest * 10**6 // _UNITS[len(whole)]
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=parts)


def is_date(cell: str) -> bool:
    """Whether the cell holds a date in any form that needs no other cell to be read."""
    if epoch(cell):
        return True
    written = parse(cell)
    return written is not None and written.instant(month_first=False) is not None


def _without_zone(text: str) -> tuple[str, timedelta | None]:
    text = _REMARK.sub("", text) if text.endswith(")") else text
    found = _ZONE.search(text)
    if found is None or (found["h"] and ":" not in text[: found.start()] and "." not in text[: found.start()]):
        return text, None  # an offset follows a time: the end of 13-01-2025 is a year
    if found["h"]:
        hours, minutes = found["h"], found["m"]
    elif found["by"]:
        hours, minutes = found["by"], found["by_m"]
    else:
        hours, minutes = str(_ZONES[found["name"].lower()]), None
    size = timedelta(hours=abs(int(hours)), minutes=int(minutes or 0))
    if size > timedelta(hours=14):
        return text, None
    rest, number = text[: found.start()].rstrip(), None
    if found["name"]:
        rest, number = _without_zone(rest)  # 14:05:00 +0700 WIB: the number is more exact
    return rest, number if number is not None else (-size if hours.startswith("-") else size)


def _date(found: re.Match[str], clock: str, offset: timedelta | None) -> WrittenDate | None:
    since_midnight = _since_midnight(clock)
    if since_midnight is None:
        return None
    parts = found.groupdict()
    two_digits = len(parts["year"]) == 2
    year = int(parts["year"]) + 2000 * two_digits
    if "first" in parts:
        first, second = int(parts["first"]), int(parts["second"])
        return WrittenDate(year, first, second, since_midnight, offset, parts["sep"], two_digits)
    month = parts["month"]
    number = int(month) if month.isdigit() else _MONTHS[month.lower()]
    return WrittenDate(year, number, int(parts["day"]), since_midnight, offset)


def _since_midnight(clock: str) -> timedelta | None:
    if not clock:
        return timedelta(0)
    found = _CLOCK.fullmatch(clock)
    if found is None or (found["minute"] is None and found["half"] is None):
        return None
    hour, minute, second = int(found["hour"]), int(found["minute"] or 0), int(found["second"] or 0)
    if found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found["half"][0] in "pP" else 0)
    if minute > 59 or second > 59 or (hour > 23 and (hour, minute, second) != (24, 0, 0)):
        return None
    micro = int((found["part"] or "").ljust(6, "0")[:6])
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=micro)
