"""The names of people in a file: replaced by a keyed hash, masked in replies, and never kept. Pure."""

from collections.abc import Sequence
from typing import cast

import pandas as pd

from mlops_assets.reviews.privacy import author_hash, mask_name

_HASH = r"[0-9a-f]{32}"


def of_cells(columns: pd.DataFrame) -> pd.DataFrame:
    """The columns of names as texts; one that holds keyed hashes alone is kept apart under the name `author`."""
    texts = columns.astype("str").fillna("")
    for name in texts.columns:
        given = texts[name][texts[name] != ""]
        if len(given) and given.str.fullmatch(_HASH).all():
            texts = texts.rename(columns={name: "author"})
            break
    return texts


def of_stored(author: pd.Series) -> pd.DataFrame:
    """The author column of stored reviews: keyed hashes; whatever else stands there is a name."""
    texts = author.astype("str").fillna("")
    hashed = texts.str.fullmatch(_HASH)
    return pd.DataFrame({"author": texts.where(hashed, ""), "name": texts.where(~hashed, "")})


def without_names(rows: pd.DataFrame, people: pd.DataFrame, author_key: str | None) -> tuple[pd.DataFrame, int]:
    """The rows with each author's names masked in the reply and hashed under the key; how many replies were masked."""
    names = [name for name in people.columns if name != "author"]
    author = people["author"] if "author" in people else pd.Series("", index=rows.index)
    if author_key and names:
        first = cast("pd.Series", people[names[0]])
        author = author.where(first == "", first.map(lambda name: author_hash(author_key, str(name)) if name else ""))
    masked = [_masked(reply, row) for reply, row in zip(rows["reply_text"], _per_row(people, names), strict=True)]
    replies = pd.Series(masked, index=rows.index, dtype="str")
    changed = int(((replies != rows["reply_text"]) & replies.notna()).sum())
    return rows.assign(author=author.where(author != "").astype("str"), reply_text=replies), changed


def _per_row(people: pd.DataFrame, names: Sequence[str]) -> list[tuple[str, ...]]:
    if not names:
        return [()] * len(people)
    return list(people[list(names)].itertuples(index=False, name=None))


def _masked(reply: object, names: tuple[str, ...]) -> object:
    if not isinstance(reply, str):
        return reply
    for name in names:
        reply = mask_name(reply, name) if name.strip() else reply
    return reply
