"""People in a file: which columns say who they are, and their names hashed, masked in replies and never kept. Pure."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import pandas as pd

from mlops_assets.reviews.stored.privacy import author_hash, mask_name


def _each(words: str) -> frozenset[str]:
    return frozenset(words.split())


_PEOPLE = _each(
    "user users pengguna author authors penulis reviewer pengulas customer pelanggan profile profil "
    "account akun member commenter commentator komentator writer person orang client klien poster sender "
    "pengirim display nick screen full lengkap first last depan belakang"
)
"""Words for a person, and for the parts of a person's name."""

_NAMES = frozenset({"name", "names", "nama"})
_ALONE = _each(
    "user author penulis pengguna reviewer pengulas commenter komentator nickname username fullname "
    "firstname lastname displayname screenname authorname reviewername profilename accountname "
    "namapengguna namauser namapenulis namalengkap namapengulas namaakun userhandle name nama nick oleh "
    "by reviewedby writtenby postedby createdby submittedby ditulisoleh"
)
"""Whole headers that hold names."""

_PICTURES = _each("image images img avatar picture pic photo foto gambar thumbnail icon ikon")
_ADDRESSES = _each("url link href src uri path")
_RUN_TOGETHER = re.compile(
    r"(?:user|author|reviewer|customer|profile|account)(?:image|img|photo|avatar|pic|picture|id|email)s?(?:url|link)?"
)
"""Such headers without capitals or signs between their words."""

_CONTACTS = _each("email surel phone telephone telepon handphone whatsapp")
_IDENTITIES = _each("id ids url link handle email phone")
_OTHER_THINGS = _each(
    "app apps application aplikasi package paket version versi device perangkat product produk file sheet "
    "developer company review ulasan reply balasan"
)
"""With one of these words the name is that of a thing: `app_name`, `Nama Aplikasi`, `Review Title`."""


def name_columns(names: Iterable[str]) -> tuple[str, ...]:
    """The columns that hold people's names, the likeliest display name first."""
    found = [name for name in names if _holds_names(_words(name))]
    return tuple(sorted(found, key=lambda name: not _NAMES & set(_words(name)) and _joined(name) != "username"))


def person_columns(names: Iterable[str]) -> tuple[str, ...]:
    """The columns that say who people are: names, pictures, addresses, identities."""
    return tuple(name for name in names if _holds_names(_words(name)) or _leads_to_a_person(_words(name)))


def _holds_names(words: list[str]) -> bool:
    if "".join(words) in _ALONE:
        return True
    found = set(words)
    return bool(found & _NAMES) and bool(found & _PEOPLE) and not found & _OTHER_THINGS


def _leads_to_a_person(words: list[str]) -> bool:
    found = set(words)
    if found & _OTHER_THINGS:
        return False
    if found & _CONTACTS or {"e", "mail"} <= found or _RUN_TOGETHER.fullmatch("".join(words)):
        return True
    if found & _PICTURES and (found & _PEOPLE or found - _PICTURES <= _ADDRESSES):
        return True
    return bool(found & _PEOPLE) and bool(found & _IDENTITIES)


def _words(name: str) -> list[str]:
    """`userImageURL`, `User image-url` and `user_image_url` as the same words."""
    plain = unicodedata.normalize("NFKC", name)
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", plain)
    return [word for word in re.split(r"[\W_]+", parted.casefold()) if word]


def _joined(name: str) -> str:
    return "".join(_words(name))


_HASH = r"[0-9a-f]{32}"


@dataclass(frozen=True)
class People:
    """Who wrote each row: columns of names, the likeliest first, and keyed hashes that the file brings; "" for none."""

    names: pd.DataFrame
    hashes: pd.Series


def of_cells(columns: pd.DataFrame) -> People:
    """The columns of names in a file. A column that holds only keyed hashes is no column of names."""
    texts = columns.astype("str").fillna("")
    hashes = pd.Series("", index=columns.index, dtype="str")
    for name in texts.columns:
        cells = cast("pd.Series", texts[name])
        given = cells[cells != ""]
        if len(given) and given.str.fullmatch(_HASH).all():
            return People(texts.drop(columns=name), cells)
    return People(texts, hashes)


def of_stored(author: pd.Series) -> People:
    """The author column of stored reviews: keyed hashes; anything else is a name."""
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
