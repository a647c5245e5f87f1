"""Reviews from a file, whoever wrote it: read into the stored form, or refused in one line.

Every row is taken, put aside with a reason, or a repeat (balance.py). Names and pictures of people are left behind
here. What a usable review is, is schema.py's.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.files import apps as file_apps
from mlops_assets.reviews.files import columns as file_columns
from mlops_assets.reviews.files import names as file_names
from mlops_assets.reviews.files import person_columns
from mlops_assets.reviews.files import values as file_values
from mlops_assets.reviews.files.balance import QUARANTINED, REPEAT, TAKEN, Balance, Balances
from mlops_assets.reviews.files.ids import are_row_numbers, are_shared, content_ids, without_empty_ids
from mlops_assets.reviews.files.rules import FileRules
from mlops_assets.reviews.files.tables.tables import UnreadableFile, read_table
from mlops_assets.reviews.files.times import FileTimes, read_times
from mlops_assets.reviews.quality import clean
from mlops_assets.reviews.quality.schema import CLOCK_SLACK, FIRST_DAY
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.privacy import review_digest

__all__ = ["ReadFile", "UnknownApp", "UnreadableFile", "UnusableFile", "balances_of", "read_reviews"]

_APP = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+")
_SHORT_YEAR = re.compile(r"(?<!\d)\d{1,2}([-/.])\d{1,2}\1\d{2}(?!\d)")
_SHOWN = 8
_STARS = "with a rating that is not understood: write it as 1 to 5"


class UnusableFile(PermanentFailure):
    """The file can be read, but its columns or values are no reviews."""


class UnknownApp(PermanentFailure):
    """The file holds reviews of an app that is not in params.yaml."""


@dataclass(frozen=True)
class ReadFile:
    """Reviews in the stored form, which of them count (no repeat, not unusable), and what became of each row."""

    frame: pd.DataFrame
    counts: np.ndarray
    balance: Balance


@dataclass
class _Found:
    """What a file says, before it is decided which rows can be taken. The index is a row's number in the file.

    rows: the stored columns, as far as they were understood
    dates: the cells of review_date as they stand in the file
    written: review_date as the cells say it, in no zone
    stars: the cells of rating as they stand in the file; None where they were numbers
    """

    rows: pd.DataFrame
    dates: pd.Series
    written: pd.Series
    unit: str
    stars: pd.Series | None = None
    blank: int = 0
    assumed: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    persons: tuple[str, ...] = ()
    masked: int = 0


def read_reviews(path: Path, rules: FileRules | None = None, **changes: Any) -> ReadFile:
    """Reviews of a file by `rules`, with single `changes` to them.

    Raises `UnreadableFile`, `UnusableFile`, `UnknownApp` or `AmbiguousDates`; a file of which no row can be taken is
    unusable.
    """
    rules = replace(rules or FileRules(), **changes)
    found = _stored_form(path, rules) if _is_stored_form(path) else _any_form(path, rules)
    rows, aside = found.rows, _not_storable(found, rules)
    kept = pd.DataFrame(rows[~rows.index.isin(aside.index)])
    if len(kept):
        _identify(kept, found, rules)
    at_least = kept[["review_date", "reply_date"]].max(axis=1)
    if rules.collected_at is not None:
        at_least = pd.Series(pd.Timestamp(rules.collected_at), index=kept.index)
    observed = kept["scraped_at"].fillna(at_least.dt.tz_convert("UTC").dt.as_unit("us"))
    if rules.now is not None:
        now = pd.Timestamp(rules.now).tz_convert("UTC").as_unit("us")
        observed = observed.where(observed <= now, now)
    kept = kept.assign(scraped_at=observed, source=rules.source)
    kept = kept.sort_values(["review_date", "review_id"], kind="stable")
    frame = columns.conform(kept)
    fates = _fates(rows, frame.set_index(kept.index), aside)
    if found.stars is not None:
        _name_stars_not_understood(fates, found.stars)
    balance = Balance(
        file=path.name,
        rows=len(rows),
        fates=fates,
        unit=found.unit,
        blank=found.blank,
        assumed=tuple(found.assumed),
        notes=found.notes,
        ignored=found.ignored,
        left_behind=found.persons,
        masked=found.masked,
    )
    if not balance.taken:
        raise UnusableFile(_why_nothing(path, balance))
    return ReadFile(frame, (fates.loc[kept.index, "fate"] == TAKEN).to_numpy(), balance)


def balances_of(files: Sequence[ReadFile]) -> Balances:
    """The balances of files that were read in one go."""
    counting = [file.frame.loc[file.counts, ["app_id", "review_id"]] for file in files]
    distinct = len(pd.concat(counting).drop_duplicates()) if counting else 0
    return Balances(tuple(file.balance for file in files), distinct)


def _is_stored_form(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1" and not columns.schema_changes(path)
    except OSError:
        return False


def _stored_form(path: Path, rules: FileRules) -> _Found:
    """A file in the form in which reviews are stored, as `make import` writes it."""
    rows = columns.read_frame(path)
    if rows.empty:
        raise UnreadableFile(f"{path} holds no reviews, only a header: give a file with at least one row")
    rows.index = pd.RangeIndex(1, len(rows) + 1)
    found = _Found(rows, rows["review_date"].astype("str"), rows["review_date"], "row", assumed=["stored reviews"])
    people = file_names.of_stored(rows["author"])
    found.rows, found.masked = file_names.without_names(rows, people, rules.author_key)
    found.rows["app_id"] = _apps(path, rows, rules.app_id, rules.known_apps)
    return found


def _any_form(path: Path, rules: FileRules) -> _Found:
    table = read_table(path)
    cells = table.cells
    names = [str(name) for name in cells.columns]
    used = file_columns.recognise(names)
    _require_columns(path, used, names)
    filled = cells[(cells != "").any(axis=1)] if len(cells) else cells
    if filled.empty:
        raise UnreadableFile(f"{path} holds no reviews, only a header: give a file with at least one row")
    used = file_apps.with_app_column(filled, used)
    persons = tuple(name for name in person_columns.person_columns(names) if name not in used.values())
    times = _times(path, filled, used, rules)
    rows = _values(filled, used, times.values)
    _require_values(path, rows, filled, used)
    apps, named = file_apps.as_packages(path, rows["app_id"], used.get("app_id"), rules.app_id, rules.hints)
    rows["app_id"] = _with_apps(path, rows.assign(app_id=apps), rules)
    times.settle(rows, rules.of_play)
    for name, values in times.values.items():
        rows[name] = values
    found = _Found(
        rows,
        cast("pd.Series", filled[used["review_date"]]).astype("str"),
        times.written,
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
    columns_of_names = [name for name in person_columns.name_columns(names) if name in persons]
    people = file_names.of_cells(pd.DataFrame(filled[columns_of_names]))
    found.rows, found.masked = file_names.without_names(rows, people, rules.author_key)
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
            f"{_short(first)}: write them as 2026-01-31 or 2026-01-31T12:00:00Z{short_year}"
        )
    if rows["rating"].isna().all():
        raise UnusableFile(
            f"{path}: none of {len(rows)} ratings in column {used['rating']} is a whole number, the first is "
            f"{_short(cells[used['rating']].iloc[0])}: write them as 1 to 5"
        )


def _with_apps(path: Path, rows: pd.DataFrame, rules: FileRules) -> pd.Series:
    """The app of each row; null where a row alone does not say it."""
    named = rows["app_id"].notna()
    if rules.app_id is None and named.any() and not named.all():
        return _apps(path, pd.DataFrame(rows[named]), None, rules.known_apps).reindex(rows.index)
    return _apps(path, rows, rules.app_id, rules.known_apps)


def _not_storable(found: _Found, rules: FileRules) -> pd.DataFrame:
    """The rows that have no place among the stored ones: reason and value, by number."""
    dates = found.rows["review_date"]
    reasons = pd.Series("", index=found.rows.index, dtype="str")

    def rule(reason: str, broken: pd.Series) -> None:
        reasons[broken & (reasons == "")] = reason

    rule("without an app", found.rows["app_id"].isna())
    rule("without a date", found.dates.str.strip() == "")
    rule("with a date that is not understood: write it as 2026-01-31 or 2026-01-31T12:00:00Z", dates.isna())
    if rules.now is not None:
        now = pd.Timestamp(rules.now).tz_convert("UTC")
        next_month = (now.tz_localize(None).to_period("M") + 1).start_time.tz_localize("UTC")
        future = dates >= min(now + CLOCK_SLACK, next_month)
        rule(f"dated in the future (the clock says {now:%Y-%m-%d %H:%M} UTC): correct the date, or set NOW", future)
    if rules.first_month is not None:
        early = (dates < pd.Timestamp(f"{rules.first_month}-01", tz="UTC")) & (dates >= FIRST_DAY)
        first = f"{dates[early].min():%Y-%m}" if early.any() else ""
        rule(f"dated before first_month {rules.first_month}: write first_month: {first} into params.yaml", early)
        rule(f"dated before {FIRST_DAY:%Y-%m-%d}, when there was no store", dates < FIRST_DAY)
    aside = reasons[reasons != ""]
    cells = found.dates[aside.index].where(~aside.isin(["without an app", "without a date"]), "")
    return pd.DataFrame({"reason": aside, "value": cells.map(lambda cell: _short(cell) if cell else "")})


def _identify(kept: pd.DataFrame, found: _Found, rules: FileRules) -> None:
    """Give an id to rows without one, and to those whose id is but their number in some table."""
    given = kept["review_id"]
    ids = without_empty_ids(given)
    numbers = are_row_numbers(ids)
    if rules.erased.reviews:
        # What was erased under its number stays erased: its row keeps the number, and the store leaves it out.
        numbers &= ~ids.map(lambda one: review_digest(str(one)) in rules.erased.reviews).astype(bool)
    own = ids.where(~numbers)
    if shared := are_shared(kept.assign(review_id=own)):
        own = own.where(pd.Series(False, index=own.index))
    lacking = own.isna()
    if not lacking.any():
        return
    content = pd.DataFrame(kept[lacking]).assign(review_date=found.written[kept.index[lacking]])
    kept["review_id"] = own.where(~lacking, content_ids(content).reindex(ids.index))
    if shared:
        said = f"an id such as {_short(ids.dropna().iloc[0])} stands for many reviews"
    elif numbers.any():
        said = f"{'the' if numbers.all() else f'{int(numbers.sum())} of the'} ids are row numbers, which every file has"
    else:
        said = "no column has ids" if given.isna().all() else f"{int(lacking.sum())} rows have no id"
    if (damaged := given[given.notna() & ids.isna()]).any():
        said += f" ({len(damaged)} hold {_short(damaged.iloc[0])} or the like)"
    found.assumed.append(f"{said}, so an id comes from a row's content")


def _fates(rows: pd.DataFrame, kept: pd.DataFrame, aside: pd.DataFrame) -> pd.DataFrame:
    """What became of each row. Of rows with one id the newest counts, as in the store."""
    ordered = kept.sort_values(["scraped_at", "review_date"], kind="stable")
    repeats = ordered.index[ordered.duplicated(["app_id", "review_id"], keep="last")]
    newest = pd.DataFrame(kept[~kept.index.isin(repeats)])
    fates = pd.DataFrame(
        {
            "app_id": rows["app_id"].astype("str").fillna(""),
            "month": columns.month_of(rows["review_date"]).astype("str").fillna(""),
            "fate": TAKEN,
            "reason": "",
            "value": "",
        },
        index=rows.index,
    )
    fates.loc[repeats, "fate"] = REPEAT
    for _, reviews in newest.groupby("app_id"):
        bad = clean.validate(reviews).quarantined
        at = pd.Series(reviews.index, index=reviews["review_id"])[bad["review_id"]].to_numpy()
        fates.loc[at, "fate"], fates.loc[at, "reason"] = QUARANTINED, bad["reasons"].to_numpy()
    fates.loc[aside.index, "fate"] = QUARANTINED
    fates.loc[aside.index, ["reason", "value"]] = aside
    return fates


def _name_stars_not_understood(fates: pd.DataFrame, stars: pd.Series) -> None:
    """To the schema such a rating is missing; a person sees something in its cell."""
    there = fates["reason"].str.contains("rating is missing", regex=False) & (stars.str.strip() != "")
    fates.loc[there, "reason"] = fates.loc[there, "reason"].str.replace("rating is missing", _STARS, regex=False)
    fates.loc[there, "value"] = stars[there].map(_short)


def _why_nothing(path: Path, balance: Balance) -> str:
    reasons = "; ".join(balance.told(reason, count, first[:1]) for reason, count, first in balance.reasons())
    return f"{path}: none of {balance.rows} rows can be taken: {reasons}"


def _require_columns(path: Path, used: dict[str, str], names: list[str]) -> None:
    absent = [name for name in file_columns.REQUIRED if name not in used]
    if not absent:
        return
    shown = ", ".join(_short(name) for name in names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
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


def _short(cell: object) -> str:
    text = " ".join(str(cell).split())
    return repr(text if len(text) <= 40 else text[:39] + "…")
