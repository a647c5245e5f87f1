"""A file of reviews in the columns of a stored review, before it is decided which rows are taken."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pandas as pd

from mlops_assets.failures import PermanentFailure
from mlops_assets.masking import mask
from mlops_assets.reviews.files import apps as file_apps
from mlops_assets.reviews.files import columns as file_columns
from mlops_assets.reviews.files import people as file_people
from mlops_assets.reviews.files import values as file_values
from mlops_assets.reviews.files.rules import FileRules
from mlops_assets.reviews.files.tables.tables import UnreadableFile, read_stored, read_table
from mlops_assets.reviews.files.times import FileTimes, read_times
from mlops_assets.reviews.stored.privacy import mask_texts

_APP = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+")
_SHORT_YEAR = re.compile(r"(?<!\d)\d{1,2}([-/.])\d{1,2}\1\d{2}(?!\d)")
_SHOWN = 8


class UnusableFile(PermanentFailure):
    """The file can be read, but its columns or values are no reviews."""


class UnknownApp(PermanentFailure):
    """The file holds reviews of an app that is not in params.yaml."""


@dataclass
class RecognisedFile:
    """The rows of a file, by their number in the file.

    rows: the stored columns, as far as they were understood
    dates: the cells of review_date as the file has them
    written: the times in those cells, without a zone
    unmasked: review_text as the cells say it, from which ids are made: they must not change with the masks
    stars: the cells of rating as the file has them; None if they were numbers
    """

    rows: pd.DataFrame
    dates: pd.Series
    written: pd.Series
    unmasked: pd.Series
    unit: str
    stars: pd.Series | None = None
    blank: int = 0
    assumed: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    persons: tuple[str, ...] = ()
    masked: int = 0


def recognise(path: Path, rules: FileRules) -> RecognisedFile:
    """The rows of a file in the stored columns.

    Raises `UnreadableFile`, `UnusableFile`, `UnknownApp` or `AmbiguousDates`.
    """
    stored = read_stored(path)
    return _any_form(path, rules) if stored is None else _stored_form(path, stored, rules)


def _stored_form(path: Path, rows: pd.DataFrame, rules: FileRules) -> RecognisedFile:
    """A file in the form in which reviews are stored, as `make import` writes it."""
    if rows.empty:
        raise UnreadableFile(f"{path} holds no reviews, only a header: give a file with at least one row")
    rows.index = pd.RangeIndex(1, len(rows) + 1)
    found = RecognisedFile(
        rows,
        rows["review_date"].astype("str"),
        rows["review_date"],
        rows["review_text"],
        "row",
        assumed=["stored reviews"],
    )
    people = file_people.of_stored(rows["author"])
    found.rows, found.masked = file_people.without_names(rows, people, rules.author_key)
    found.rows = mask_texts(found.rows)
    found.rows["app_id"] = _apps(path, rows, rules.app_id, rules.known_apps)
    return found


def _any_form(path: Path, rules: FileRules) -> RecognisedFile:
    table = read_table(path)
    cells = table.cells
    names = [str(name) for name in cells.columns]
    used = file_columns.recognise(names)
    _require_columns(path, used, names)
    filled = cells[(cells != "").any(axis=1)] if len(cells) else cells
    if filled.empty:
        raise UnreadableFile(f"{path} holds no reviews, only a header: give a file with at least one row")
    used = file_apps.with_app_column(filled, used)
    persons = tuple(name for name in file_people.person_columns(names) if name not in used.values())
    times = _times(path, filled, used, rules)
    rows = _values(filled, used, times.values)
    _require_values(path, rows, filled, used)
    unmasked = rows["review_text"]
    rows = mask_texts(rows, ["review_text"])
    apps, named = file_apps.as_packages(path, rows["app_id"], used.get("app_id"), rules.app_id, rules.hints)
    rows["app_id"] = _with_apps(path, rows.assign(app_id=apps), rules)
    times.settle(rows, rules.of_play)
    for name, values in times.values.items():
        rows[name] = values
    found = RecognisedFile(
        rows,
        cast("pd.Series", filled[used["review_date"]]).astype("str"),
        times.written,
        unmasked,
        str(cells.index.name or "row"),
        stars=cast("pd.Series", filled[used["rating"]]).astype("str").fillna(""),
        blank=len(cells) - len(filled),
        assumed=[table.form, *times.assumed, *named],
        notes=table.notes,
        ignored=tuple(name for name in names if name not in used.values() and name not in persons),
        persons=persons,
    )
    if rules.app_id and "app_id" not in used:
        found.assumed.append(f"the app is {rules.app_id}, since no column names it")
    columns_of_names = [name for name in file_people.name_columns(names) if name in persons]
    people = file_people.of_cells(pd.DataFrame(filled[columns_of_names]))
    found.rows, found.masked = file_people.without_names(rows, people, rules.author_key)
    found.rows = mask_texts(found.rows, ["reply_text"])
    replies = int(rows["reply_text"].notna().sum())
    if replies and not columns_of_names:
        found.assumed.append(f"no column has names, so those in its {replies} replies are not masked")
    return found


def _times(path: Path, cells: pd.DataFrame, used: dict[str, str], rules: FileRules) -> FileTimes:
    found = {stored: cast("pd.Series", cells[used[stored]]) for stored in file_columns.TIMES if stored in used}
    try:
        return read_times(found, rules.naive_zone, rules.hints.date_order)
    except file_values.AmbiguousDates as ambiguous:
        raise file_values.AmbiguousDates(f"{path}: {ambiguous}") from None


def _require_values(path: Path, rows: pd.DataFrame, cells: pd.DataFrame, used: dict[str, str]) -> None:
    if rows["review_date"].isna().all():
        first = str(cells[used["review_date"]].iloc[0])
        short_year = ", or say DATES=day-first or month-first" if _SHORT_YEAR.search(first) else ""
        raise UnusableFile(
            f"{path}: none of {len(rows)} dates in column {used['review_date']} is understood, the first is "
            f"{shortened(first)}: write them as 2026-01-31 or 2026-01-31T12:00:00Z{short_year}"
        )
    if rows["rating"].isna().all():
        raise UnusableFile(
            f"{path}: none of {len(rows)} ratings in column {used['rating']} is a whole number, the first is "
            f"{shortened(cells[used['rating']].iloc[0])}: write them as 1 to 5"
        )


def _with_apps(path: Path, rows: pd.DataFrame, rules: FileRules) -> pd.Series:
    """The app of each row; null if only some rows of the file name theirs."""
    named = rows["app_id"].notna()
    if rules.app_id is None and named.any() and not named.all():
        return _apps(path, pd.DataFrame(rows[named]), None, rules.known_apps).reindex(rows.index)
    return _apps(path, rows, rules.app_id, rules.known_apps)


def _require_columns(path: Path, used: dict[str, str], names: list[str]) -> None:
    absent = [name for name in file_columns.REQUIRED if name not in used]
    if not absent:
        return
    shown = ", ".join(shortened(name) for name in names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    looked_for = "; ".join(f"{name} as {', '.join(file_columns.ALIASES[name][:_SHOWN])}, …" for name in absent)
    what = "none of the required columns" if len(absent) == len(file_columns.REQUIRED) else f"no {', '.join(absent)}"
    raise UnusableFile(f"{path} has {what}: looked for {looked_for}; found {shown}. Give the file a header with them")


def _values(cells: pd.DataFrame, used: dict[str, str], times: dict[str, pd.Series]) -> pd.DataFrame:
    rows = pd.DataFrame(index=cells.index)
    for stored in file_columns.ALIASES:
        column = (
            cast("pd.Series", cells[used[stored]]) if stored in used else pd.Series("", index=cells.index, dtype="str")
        )
        if stored == "rating":
            rows[stored] = file_values.stars(column)
        elif stored == "thumbs_up":
            rows[stored] = file_values.whole_numbers(column)
        elif stored in file_columns.TIMES:
            rows[stored] = times[stored] if stored in times else file_values.no_times(cells.index)
        elif stored == "review_text":
            rows[stored] = column.astype("str")
        else:
            rows[stored] = column.astype("str").where(column.astype("str") != "")
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
            f"{path}: {shortened(wrong[0])} in column app_id is no package name: write it as com.valar.pintu"
        )
    unknown = [app for app in found if known_apps is not None and app not in known_apps]
    if unknown:
        lines = " and ".join(f"'  - {app}'" for app in unknown)
        raise UnknownApp(
            f"{path} holds reviews of {', '.join(unknown)}, which params.yaml does not name: add {lines} under apps: "
            f"in params.yaml, or set APP={unknown[0]}"
        )
    return cast("pd.Series", apps)


def shortened(cell: object) -> str:
    text = mask(" ".join(str(cell).split()))
    return repr(text if len(text) <= 40 else text[:39] + "…")
