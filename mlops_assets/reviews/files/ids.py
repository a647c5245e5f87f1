"""What identifies a row of a file. Pure."""

import hashlib
from typing import cast

import pandas as pd

_COUNTED = r"(?:(?:row|rows|baris|line|record|index|idx|no|nomor|number|review|ulasan)[ _.:#-]*|#)"
_ROW_NUMBER = rf"(?i:{_COUNTED}?-?\d{{1,9}}(?:[.,]0+)?|\d{{1,3}}(?:[.,]\d{{3}}){{1,2}})"
"""Google Play's ids are UUIDs, and those of old begin with `gp:`. A short number counts rows, so in another file the
same number stands for another review: `17`, `0017`, `17.0`, `1,017`, `row_17`, `Ulasan 17`, `#17`."""

_NO_ID = r"(?i:nan|none|null|nil|n/?a|<na>|undefined|-+|#n/a|#name\?|#value!|#ref!)|\d(?:[.,]\d+)?[eE]\+\d{1,3}"
"""What programs write for no id, and a long number that a spreadsheet rounded: many reviews then share it."""

WHOLE_ROW_NUMBER = f"^(?:{_ROW_NUMBER})$"

_MOST_TEXTS = 5  # of one id, on average
_CONTENT = ["app_id", "review_date", "rating", "review_text"]


def are_row_numbers(ids: pd.Series) -> pd.Series:
    """Whether each id counts rows, as those of a spreadsheet or a frame's index; false for no id."""
    return ids.str.strip().str.fullmatch(_ROW_NUMBER).fillna(value=False).astype(bool)


def without_empty_ids(ids: pd.Series) -> pd.Series:
    """The ids, null where the cell says that there is none or holds what is left of one."""
    return cast("pd.Series", ids.where(~ids.str.strip().str.fullmatch(_NO_ID).fillna(value=False).astype(bool)))


def are_shared(rows: pd.DataFrame) -> bool:
    """Whether the column of ids says something else than which review it is, such as the app or the day.

    `rows` has review_id and review_text. A review that was edited has a few texts; an id of many is none.
    """
    pairs = rows.dropna(subset=["review_id"]).drop_duplicates(["review_id", "review_text"])
    return len(pairs) > _MOST_TEXTS * pairs["review_id"].nunique()


def content_ids(rows: pd.DataFrame) -> pd.Series:
    """An id for each row from its content and its place among equal ones: the same in every reading.

    `rows` has app_id, rating, review_text and review_date. The date is the one that the file's cell says, whatever zone
    it was in, so that a file whose zone is corrected later keeps its ids.
    """
    content = _content(rows)
    occurrence = content.groupby(content).cumcount().astype("str")
    ids = [
        hashlib.sha256(f"{text}\x1f{n}".encode()).hexdigest()[:32] for text, n in zip(content, occurrence, strict=True)
    ]
    return pd.Series(ids, index=rows.index, dtype="str")


def _content(rows: pd.DataFrame) -> pd.Series:
    parts = {name: rows[name].astype("str").fillna("") for name in ("rating", "review_text")}
    # Written out, since pandas would show all times of a column with fractions of a second where one has them.
    whole = rows["review_date"].dt.strftime("%Y-%m-%d %H:%M:%S")
    micros = rows["review_date"].dt.microsecond.map(lambda n: f".{n:06}" if n else "")
    dates = whole.str.cat(micros).str.cat(pd.Series("+00:00", index=rows.index))
    rest = pd.DataFrame({"date": dates, **parts})
    return rows["app_id"].astype("str").str.cat(rest, sep="\x1f")


def with_content_ids(stored: pd.DataFrame, sources: tuple[str, ...] = ("file", "import")) -> pd.DataFrame:
    """Stored rows of one month; those that have a row number as id get the id that reading their file gives them."""
    numbered = stored["source"].isin(sources) & are_row_numbers(stored["review_id"])
    if not numbered.any():
        return stored
    ids = stored["review_id"].where(~numbered, content_ids(pd.DataFrame(stored[numbered])[_CONTENT]))
    return stored.assign(review_id=ids)
