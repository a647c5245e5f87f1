"""Which columns of a file say who people are, whatever language and spelling their names have. Pure."""

import re
import unicodedata
from collections.abc import Iterable


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
"""Such headers where no capital or sign parts their words."""

_CONTACTS = _each("email surel phone telephone telepon handphone whatsapp")
_IDENTITIES = _each("id ids url link handle email phone")
_OTHER_THINGS = _each(
    "app apps application aplikasi package paket version versi device perangkat product produk file sheet "
    "developer company review ulasan reply balasan"
)
"""With one of these a name is a thing's: `app_name`, `Nama Aplikasi`, `Review Title`."""


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
