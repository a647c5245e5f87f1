"""Reviews from a file, whoever wrote it: read into the stored form, or refused with a reason.

Every row is taken, put aside with a reason, or a repeat (balance.py). Names and pictures of people are left behind
here. What a usable review is, is schema.py's.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.reviews.files.balance import IN_THE_FUTURE, QUARANTINED, REPEAT, TAKEN, Balance, Balances
from mlops_assets.reviews.files.ids import are_row_numbers, are_shared, content_ids, without_empty_ids
from mlops_assets.reviews.files.recognised import RecognisedFile, UnknownApp, UnusableFile, recognise, shortened
from mlops_assets.reviews.files.rules import FileRules
from mlops_assets.reviews.files.tables.tables import UnreadableFile
from mlops_assets.reviews.quality.schema import CLOCK_SLACK, FIRST_DAY, validate
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.privacy import count_masks, review_digest

__all__ = ["ReadFile", "UnknownApp", "UnreadableFile", "UnusableFile", "balances_of", "read_reviews"]

_STARS = "with a rating that is not understood: write it as 1 to 5"


@dataclass(frozen=True)
class ReadFile:
    """Reviews in the stored form, which of them count (no repeat, not unusable), and what became of each row."""

    frame: pd.DataFrame
    counts: np.ndarray
    balance: Balance


def read_reviews(path: Path, rules: FileRules | None = None, **changes: Any) -> ReadFile:
    """Reviews of a file by `rules`, with single `changes` to them.

    Raises `UnreadableFile`, `UnusableFile`, `UnknownApp` or `AmbiguousDates`; a file without a
    single row to take is unusable.
    """
    rules = replace(rules or FileRules(), **changes)
    found = recognise(path, rules)
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
    balance = Balance.of(
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
        personal=dict(sum(map(Counter, count_masks(frame).values()), Counter[str]())),
    )
    if not balance.taken:
        raise UnusableFile(_why_nothing(path, balance))
    return ReadFile(frame, (fates.loc[kept.index, "fate"] == TAKEN).to_numpy(), balance)


def balances_of(files: Sequence[ReadFile]) -> Balances:
    """The balances of files that were read together."""
    counting = [file.frame.loc[file.counts, ["app_id", "review_id"]] for file in files]
    distinct = len(pd.concat(counting).drop_duplicates()) if counting else 0
    return Balances(tuple(file.balance for file in files), distinct)


def _not_storable(found: RecognisedFile, rules: FileRules) -> pd.DataFrame:
    """Rows that cannot be stored, by number: the reason, and the cell that broke the rule."""
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
        rule(f"{IN_THE_FUTURE} (the clock says {now:%Y-%m-%d %H:%M} UTC): correct the date, or set NOW", future)
    if rules.first_month is not None:
        early = (dates < pd.Timestamp(f"{rules.first_month}-01", tz="UTC")) & (dates >= FIRST_DAY)
        first = f"{dates[early].min():%Y-%m}" if early.any() else ""
        rule(f"dated before first_month {rules.first_month}: write first_month: {first} into params.yaml", early)
        rule(f"dated before {FIRST_DAY:%Y-%m-%d}, when there was no store", dates < FIRST_DAY)
    aside = reasons[reasons != ""]
    cells = found.dates[aside.index].where(~aside.isin(["without an app", "without a date"]), "")
    return pd.DataFrame({"reason": aside, "value": cells.map(lambda cell: shortened(cell) if cell else "")})


def _identify(kept: pd.DataFrame, found: RecognisedFile, rules: FileRules) -> None:
    """Give an id to rows that have none, or only the row's number in some table."""
    given = kept["review_id"]
    ids = without_empty_ids(given)
    numbers = are_row_numbers(ids)
    if rules.erased.reviews:
        # What was erased under its number stays erased: its row keeps the number, and the store leaves it out.
        numbers &= ~ids.map(lambda review_id: review_digest(str(review_id)) in rules.erased.reviews).astype(bool)
    own = ids.where(~numbers)
    if shared := are_shared(kept.assign(review_id=own)):
        own = own.where(pd.Series(False, index=own.index))
    lacking = own.isna()
    if not lacking.any():
        return
    at = kept.index[lacking]
    content = pd.DataFrame(kept[lacking]).assign(review_date=found.written[at], review_text=found.unmasked[at])
    kept["review_id"] = own.where(~lacking, content_ids(content).reindex(ids.index))
    if shared:
        explanation = f"an id such as {shortened(ids.dropna().iloc[0])} stands for many reviews"
    elif numbers.any():
        explanation = (
            f"{'the' if numbers.all() else f'{int(numbers.sum())} of the'} ids are row numbers, which every file has"
        )
    else:
        explanation = "no column has ids" if given.isna().all() else f"{int(lacking.sum())} rows have no id"
    if (damaged := given[given.notna() & ids.isna()]).any():
        explanation += f" ({len(damaged)} hold {shortened(damaged.iloc[0])} or the like)"
    found.assumed.append(f"{explanation}, so an id comes from a row's content")


def _fates(rows: pd.DataFrame, kept: pd.DataFrame, aside: pd.DataFrame) -> pd.DataFrame:
    """What became of each row. Of rows with the same id the newest counts, as in the store."""
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
        bad = validate(reviews).quarantined
        at = pd.Series(reviews.index, index=reviews["review_id"])[bad["review_id"]].to_numpy()
        fates.loc[at, "fate"], fates.loc[at, "reason"] = QUARANTINED, bad["reasons"].to_numpy()
    fates.loc[aside.index, "fate"] = QUARANTINED
    fates.loc[aside.index, ["reason", "value"]] = aside
    return fates


def _name_stars_not_understood(fates: pd.DataFrame, stars: pd.Series) -> None:
    """To the schema such a rating is missing; a person sees something in its cell."""
    there = fates["reason"].str.contains("rating is missing", regex=False) & (stars.str.strip() != "")
    fates.loc[there, "reason"] = fates.loc[there, "reason"].str.replace("rating is missing", _STARS, regex=False)
    fates.loc[there, "value"] = stars[there].map(shortened)


def _why_nothing(path: Path, balance: Balance) -> str:
    reasons = "; ".join(balance.described(reason, count, first[:1]) for reason, count, first in balance.reasons())
    return f"{path}: none of {balance.rows} rows can be taken: {reasons}"
