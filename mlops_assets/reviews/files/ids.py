"""What identifies a row of a file. Pure."""

import hashlib
from typing import cast

import pandas as pd

_COUNTED = r"(?:(?:row|rows|baris|line|record|index|idx|no|nomor|number|review|ulasan)[ _.:#-]*|#)"
_ROW_NUMBER = rf"(?i:{_COUNTED}?-?\d{{1,9}}(?:[.,]0+)?|\d{{1,3}}(?:[.,]\d{{3}}){{1,2}})"
"""Google Play's ids are UUIDs, older ids begin with `gp:`. A short number is a row number, so in another file it
means another review: `17`, `0017`, `17.0`, `1,017`, `row_17`, `Ulasan 17`, `#17`."""

_NO_ID = r"(?i:nan|none|null|nil|n/?a|<na>|undefined|-+|#n/a|#name\?|#value!|#ref!)|\d(?:[.,]\d+)?[eE]\+\d{1,3}"
"""What programs write for no id, and a long number that a spreadsheet rounded: many reviews then share it."""

WHOLE_ROW_NUMBER = f"^(?:{_ROW_NUMBER})$"

_MOST_TEXTS = 5  # per id, on average
_CONTENT = ["app_id", "review_date", "rating", "review_text"]


def are_row_numbers(ids: pd.Series) -> pd.Series:
    """Whether each id is a row number, as in a spreadsheet or a frame's index; False for a missing id."""
    return ids.str.strip().str.fullmatch(_ROW_NUMBER).fillna(value=False).astype(bool)


def without_empty_ids(ids: pd.Series) -> pd.Series:
    """The ids; null if the cell is a word for none, or a number that a spreadsheet rounded."""
    return cast("pd.Series", ids.where(~ids.str.strip().str.fullmatch(_NO_ID).fillna(value=False).astype(bool)))


def are_shared(rows: pd.DataFrame) -> bool:
    """Whether the column identifies something else than the review, such as the app or the day.

    `rows` has review_id and review_text. A review that was edited has a few texts; an id of many is none.
    """
    pairs = rows.dropna(subset=["review_id"]).drop_duplicates(["review_id", "review_text"])
    return len(pairs) > _MOST_TEXTS * pairs["review_id"].nunique()


def content_ids(rows: pd.DataFrame) -> pd.Series:
    """An id for each row from its content and its place among equal ones: the same in every reading.

    `rows` has app_id, rating, review_text and review_date. The date is as the file's cell has it, without a zone, so
    that ids stay the same if the zone is corrected later.
    """
    content = _content(rows)
    occurrence = content.groupby(content).cumcount().astype("str")
    ids = [
        hashlib.sha256(f"{text}\x1f{n}".encode()).hexdigest()[:32] for text, n in zip(content, occurrence, strict=True)
    ]
    return pd.Series(ids, index=rows.index, dtype="str")


def _content(rows: pd.DataFrame) -> pd.Series:
    parts = {name: rows[name].astype("str").fillna("") for name in ("rating", "review_text")}
    # Written out, since pandas shows fractions of a second for a whole column if a single time has them.
    whole = rows["review_date"].dt.strftime("%Y-%m-%d %H:%M:%S")
    micros = rows["review_date"].dt.microsecond.map(lambda n: f".{n:06}" if n else "")
    dates = whole.str.cat(micros).str.cat(pd.Series("+00:00", index=rows.index))
    rest = pd.DataFrame({"date": dates, **parts})
    return rows["app_id"].astype("str").str.cat(rest, sep="\x1f")


def with_content_ids(stored: pd.DataFrame, sources: tuple[str, ...] = ("file", "import")) -> pd.DataFrame:
    """A month's stored rows; an id that is a row number is replaced by the id that reading the file gives."""
    numbered = stored["source"].isin(sources) & are_row_numbers(stored["review_id"])
    if not numbered.any():
        return stored
    ids = stored["review_id"].where(~numbered, content_ids(pd.DataFrame(stored[numbered])[_CONTENT]))
    return stored.assign(review_id=ids)
