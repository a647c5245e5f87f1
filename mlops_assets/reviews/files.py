"""Reviews from a file, whoever wrote it: read into the stored form, or refused in one line.

Names and pictures of people are left behind here. What a usable review is, is schema.py's.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

import pandas as pd

from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews import columns, file_columns, file_values
from mlops_assets.reviews.file_hints import NO_HINTS, FileHints
from mlops_assets.reviews.tables import UnreadableFile, read_table

__all__ = ["FileReport", "ReadFile", "UnknownApp", "UnreadableFile", "UnusableFile", "read_reviews"]

_APP = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+")
_SHOWN = 8


class UnusableFile(PermanentFailure):
    """The file can be read, but its columns or values are no reviews."""


class UnknownApp(PermanentFailure):
    """The file holds reviews of an app that is not in params.yaml."""


@dataclass(frozen=True)
class FileReport:
    """What was found in a file. `columns_used` maps stored columns to the file's names.

    `undated` and `unrated` count rows whose date or rating was not understood; a row without a date has no month and
    is left out. `date_order` says which order of day and month was read and why, where it matters.
    """

    path: Path
    rows: int
    blank: int
    undated: int
    unrated: int
    repeated_ids: int
    form: str
    notes: tuple[str, ...]
    date_order: str
    columns_used: dict[str, str]
    columns_ignored: tuple[str, ...]
    person_columns: tuple[str, ...]
    months_by_app: dict[str, tuple[str, ...]]

    def __iter__(self) -> Iterator[str]:
        """What an operator should know, one line each."""
        apps = ", ".join(f"{app} {months[0]} to {months[-1]}" for app, months in self.months_by_app.items())
        yield f"{self.path.name}: {self.rows} reviews of {apps}, read as {self.form}"
        yield from (f"{self.path.name}: {note}" for note in self.notes)
        if self.date_order:
            yield f"{self.path.name}: dates are read {self.date_order}"
        if self.undated:
            yield f"{self.path.name}: {self.undated} rows left out, their dates are not understood"
        if self.unrated:
            yield f"{self.path.name}: {self.unrated} reviews have no whole number of stars and go to quarantine"
        if self.repeated_ids:
            yield f"{self.path.name}: {self.repeated_ids} rows repeat a review_id, the newest of each counts"
        if self.person_columns:
            yield f"{self.path.name}: {', '.join(self.person_columns)} left behind, they say who people are"


@dataclass(frozen=True)
class ReadFile:
    """Reviews in the stored form, and what was found."""

    frame: pd.DataFrame
    report: FileReport


def read_reviews(  # noqa: PLR0913  each is a choice of its own
    path: Path,
    *,
    known_apps: Collection[str] | None = None,
    app_id: str | None = None,
    naive_zone: str = "UTC",
    source: str = "file",
    collected_at: datetime | None = None,
    hash_author: Callable[[str], str] | None = None,
    mask_name: Callable[[str, str], str] | None = None,
    hints: FileHints = NO_HINTS,
) -> ReadFile:
    """Reviews of a file. `app_id` names the app of a file without an app column; `known_apps` refuses any other app.

    A row that does not say when it was scraped counts as collected at `collected_at`; without that, when it was written
    or answered, so that it never overrules a row that says more.
    `hash_author(name)` gives the author column, `mask_name(reply, name)` the reply without the author's name; without
    them names are just left out. Raises `UnreadableFile`, `UnusableFile` or `UnknownApp`.
    """
    table = read_table(path)
    cells = table.cells
    names = [str(name) for name in cells.columns]
    used = file_columns.recognise(names)
    _require_columns(path, used, names)
    filled = cells[(cells != "").any(axis=1)] if len(cells) else cells
    if filled.empty:
        raise UnreadableFile(f"{path} holds no reviews, only a header: give a file with at least one row")
    persons = file_columns.person_columns(names)
    dates = _dates(path, filled, used, naive_zone, hints)
    rows = _values(filled, used, dates)
    author = file_columns.name_column(names)
    if author is not None:
        rows = _without_names(rows, cast("pd.Series", filled[author]).astype("str"), hash_author, mask_name)
    rows["app_id"] = _apps(path, rows, app_id, known_apps)
    dated = cast("pd.DataFrame", rows[rows["review_date"].notna()])
    if dated.empty:
        raise UnusableFile(
            f"{path}: none of {len(rows)} dates in column {used['review_date']} is understood, the first is "
            f"{_short(filled[used['review_date']].iloc[0])}: write them as 2026-01-31 or 2026-01-31T12:00:00Z"
        )
    if dated["rating"].isna().all():
        raise UnusableFile(
            f"{path}: none of {len(dated)} ratings in column {used['rating']} is a whole number, the first is "
            f"{_short(filled[used['rating']].iloc[0])}: write them as 1 to 5"
        )
    dated = _with_ids(dated)
    at_least = dated[["review_date", "reply_date"]].max(axis=1)
    fallback = at_least if collected_at is None else pd.Series(pd.Timestamp(collected_at), index=dated.index)
    observed = dated["scraped_at"].fillna(fallback.dt.tz_convert("UTC").dt.as_unit("us"))
    frame = columns.conform(dated.assign(scraped_at=observed, source=source))
    report = FileReport(
        path=path,
        rows=len(frame),
        blank=len(cells) - len(filled),
        undated=len(rows) - len(dated),
        unrated=int(frame["rating"].isna().sum()),
        repeated_ids=int(frame["review_id"].duplicated().sum()),
        form=table.form,
        notes=table.notes,
        date_order=_order_and_why(dates),
        columns_used=used,
        columns_ignored=tuple(name for name in names if name not in used.values() and name not in persons),
        person_columns=persons,
        months_by_app=_months_by_app(frame),
    )
    return ReadFile(frame, report)


def _require_columns(path: Path, used: dict[str, str], names: list[str]) -> None:
    absent = [name for name in file_columns.REQUIRED if name not in used]
    if not absent:
        return
    shown = ", ".join(_short(name) for name in names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    looked_for = "; ".join(f"{name} as {', '.join(file_columns.ALIASES[name])}" for name in absent)
    what = "none of the required columns" if len(absent) == len(file_columns.REQUIRED) else f"no {', '.join(absent)}"
    raise UnusableFile(f"{path} has {what}: looked for {looked_for}; found {shown}. Give the file a header with them")


def _dates(
    path: Path, cells: pd.DataFrame, used: dict[str, str], naive_zone: str, hints: FileHints
) -> dict[str, file_values.Times]:
    """The file's columns of times, read in one order of day and month."""
    found = {stored: cast("pd.Series", cells[used[stored]]) for stored in file_columns.TIMES if stored in used}
    try:
        return file_values.times_of_file(found, naive_zone, hints.date_order)
    except file_values.AmbiguousDates as ambiguous:
        raise file_values.AmbiguousDates(f"{path}: {ambiguous}") from None


def _order_and_why(dates: dict[str, file_values.Times]) -> str:
    """`day-first, line 7 holds day 31`; nothing where the order does not matter."""
    deciding = next((times for times in dates.values() if times.order), None)
    return f"{deciding.order}, {deciding.why}" if deciding else ""


def _values(cells: pd.DataFrame, used: dict[str, str], dates: dict[str, file_values.Times]) -> pd.DataFrame:
    rows = pd.DataFrame(index=cells.index)
    for stored in file_columns.ALIASES:
        column = (
            cast("pd.Series", cells[used[stored]]) if stored in used else pd.Series("", index=cells.index, dtype="str")
        )
        if stored in ("rating", "thumbs_up"):
            rows[stored] = file_values.whole_numbers(column)
        elif stored in file_columns.TIMES:
            rows[stored] = dates[stored].values if stored in dates else file_values.no_times(cells.index)
        elif stored == "review_text":
            rows[stored] = column.astype("str")
        else:
            rows[stored] = column.astype("str").where(column.astype("str") != "")
    return rows


def _without_names(
    rows: pd.DataFrame,
    names: pd.Series,
    hash_author: Callable[[str], str] | None,
    mask_name: Callable[[str, str], str] | None,
) -> pd.DataFrame:
    if hash_author is not None:
        rows = rows.assign(author=names.map(hash_author).where(names != ""))
    if mask_name is not None:
        pairs = zip(rows["reply_text"], names, strict=True)
        masked = [mask_name(reply, name) if isinstance(reply, str) and name else reply for reply, name in pairs]
        rows = rows.assign(reply_text=pd.Series(masked, index=rows.index, dtype="str"))
    return rows


def _apps(path: Path, rows: pd.DataFrame, app_id: str | None, known_apps: Collection[str] | None) -> pd.Series:
    apps = rows["app_id"] if app_id is None else rows["app_id"].fillna(app_id)
    if apps.isna().any():
        raise UnusableFile(
            f"{path} does not say the app of {int(apps.isna().sum())} of its rows: add a column app_id, or set APP="
        )
    found = sorted(str(app) for app in apps.unique())
    wrong = [app for app in found if not _APP.fullmatch(app)]
    if wrong:
        raise UnusableFile(
            f"{path}: {_short(wrong[0])} in column app_id is no package name: write it as com.valar.pintu"
        )
    unknown = [app for app in found if known_apps is not None and app not in known_apps]
    if unknown:
        lines = " and ".join(f"'  - {app}'" for app in unknown)
        raise UnknownApp(
            f"{path} holds reviews of {', '.join(unknown)}, which params.yaml does not name: add {lines} under apps: "
            f"in params.yaml, or set APP={unknown[0]}"
        )
    return cast("pd.Series", apps)


def _with_ids(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows without an id get one from their content and their place among equal ones: the same in every reading."""
    nameless = rows["review_id"].isna()
    if not nameless.any():
        return rows
    parts = rows.loc[nameless, ["app_id", "review_date", "rating", "review_text"]].astype("str").fillna("")
    content = parts["app_id"].str.cat(parts.drop(columns="app_id"), sep="\x1f")
    place = content.groupby(content).cumcount().astype("str")
    ids = [hashlib.sha256(f"{text}\x1f{n}".encode()).hexdigest()[:32] for text, n in zip(content, place, strict=True)]
    rows = rows.copy()
    rows.loc[nameless, "review_id"] = ids
    return rows


def _months_by_app(frame: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    months = columns.month_of(frame["review_date"])
    return {str(app): tuple(sorted(group.unique())) for app, group in months.groupby(frame["app_id"])}


def _short(cell: object) -> str:
    text = " ".join(str(cell).split())
    return repr(text if len(text) <= 40 else text[:39] + "…")
