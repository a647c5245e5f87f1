"""The names of people in a file: replaced by a keyed hash, masked in replies, and never kept. Pure."""

from dataclasses import dataclass
from typing import cast

import pandas as pd

from mlops_assets.reviews.stored.privacy import author_hash, mask_name

_HASH = r"[0-9a-f]{32}"


@dataclass(frozen=True)
class People:
    """Who wrote each row: columns of names, the likeliest first, and keyed hashes that the file brings; "" for none."""

    names: pd.DataFrame
    hashes: pd.Series


def of_cells(columns: pd.DataFrame) -> People:
    """The columns of names in a file; one that holds keyed hashes alone is no column of names."""
    texts = columns.astype("str").fillna("")
    hashes = pd.Series("", index=columns.index, dtype="str")
    for name in texts.columns:
        cells = cast("pd.Series", texts[name])
        given = cells[cells != ""]
        if len(given) and given.str.fullmatch(_HASH).all():
            return People(texts.drop(columns=name), cells)
    return People(texts, hashes)


def of_stored(author: pd.Series) -> People:
    """The author column of stored reviews: keyed hashes; whatever else stands there is a name."""
    texts = author.astype("str").fillna("")
    hashed = texts.str.fullmatch(_HASH)
    return People(pd.DataFrame({"name": texts.where(~hashed, "")}), texts.where(hashed, ""))


def without_names(rows: pd.DataFrame, people: People, author_key: str | None) -> tuple[pd.DataFrame, int]:
    """The rows with each author's names masked in the reply and hashed under the key; how many replies were masked."""
    author = people.hashes
    if author_key and len(people.names.columns):
        likeliest = people.names.iloc[:, 0]
        hashed = likeliest.map(lambda name: author_hash(author_key, str(name)) if str(name).strip() else "")
        author = author.where(hashed == "", hashed)
    names = people.names.itertuples(index=False, name=None) if len(people.names.columns) else [()] * len(rows)
    masked = [_masked(reply, row) for reply, row in zip(rows["reply_text"], names, strict=True)]
    replies = pd.Series(masked, index=rows.index, dtype="str")
    changed = int(((replies != rows["reply_text"]) & replies.notna()).sum())
    return rows.assign(author=author.where(author != "").astype("str"), reply_text=replies), changed


def _masked(reply: object, names: tuple[str, ...]) -> object:
    if not isinstance(reply, str):
        return reply
    for name in names:
        reply = mask_name(reply, name) if name.strip() else reply
    return reply
