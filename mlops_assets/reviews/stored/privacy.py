"""What keeps people out of the data: the keyed hash of an author, masks over names and other personal data, erasure."""

import functools
import hashlib
import hmac
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.failures import PermanentFailure
from mlops_assets.masking import mask, masks_in
from mlops_assets.reviews.play_store.feed import FeedReview

if TYPE_CHECKING:
    import pandas as pd

MASK = "[name]"
NOBODY = {"a google user", "pengguna google", "google user"}
"""What Play shows in place of a deleted account's name: its words are nobody's name."""

_LONGEST_NAME = 100
"""Characters of a display name; Google Play's own are shorter."""

_LETTERS = re.compile(r"[^\W\d_]+")
_PLAIN_NAME = re.compile(r"\s*[A-Za-z]+(?:\s+[A-Za-z]+)*\s*")
_SHORT_PART = 2
_SENTENCE = re.compile(r"[,;:!?]\s|[\r\n]|\w{3}\.\s")
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")

TEXTS = ("review_text", "reply_text")
"""The stored columns that people write."""

ERASED = "erased.json"
"""The list of what was erased, in the review store's folder; part of every version."""


class AuthorKeyMissing(PermanentFailure):
    """Something needs the hash of an author, and no key is set."""


def author_hash(key: str, name: str) -> str:
    """HMAC-SHA-256 of the display name under `key`, the first 32 hex digits; equal names share it."""
    folded = " ".join(unicodedata.normalize("NFKC", name).split()).casefold()
    return hmac.new(key.encode(), folded.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def mask_texts(rows: "pd.DataFrame", names: Sequence[str] = TEXTS) -> "pd.DataFrame":
    """The rows with personal data masked in these columns; `rows` itself if there is none.

    Names in replies are masked before, everywhere: a stored reply is then equal to the same reply read again.
    """
    changed = dict[str, "pd.Series"]()
    for name in names:
        if masked := masked_forms(rows[name].dropna().unique()):
            changed[name] = rows[name].map(lambda text, to=masked: to.get(text, text)).astype(rows[name].dtype)
    return rows.assign(**changed) if changed else rows


def masked_forms(texts: Iterable[str]) -> dict[str, str]:
    """The masked form of each text that holds personal data."""
    return {text: masked for text in texts if (masked := mask(text)) != text}


def count_masks(rows: "pd.DataFrame") -> dict[str, dict[str, int]]:
    """How many masks of each kind the review texts and the replies hold."""
    return {
        name: dict(sorted(sum((masks_in(text) for text in rows[name].dropna() if "[" in text), Counter[str]()).items()))
        for name in TEXTS
    }


def mask_name(text: str, name: str) -> str:
    """The text with `name` and each of its words of two letters or more replaced by `[name]`, in any case."""
    masked = _masked(text, name)
    if masked == text:
        # Fancy letters fold to plain ones; only a reply that changes in meaning is folded too.
        folded = unicodedata.normalize("NFKC", text)
        if folded != text and (masked := _masked(folded, name)) != folded:
            return masked
        return text
    return masked


def _masked(text: str, name: str) -> str:
    parts, end = list[str](), 0
    for start, after in _places_of(name, _without_accents(text)):
        parts += [text[end:start], MASK]
        end = after
    return "".join([*parts, text[end:]]) if parts else text


def _places_of(name: str, text: str) -> list[tuple[int, int]]:
    """Where the name or its words stand, in order."""
    lower = text.lower()
    if _PLAIN_NAME.fullmatch(name) and len(lower) == len(text):
        return _places_of_words(name, text, lower)
    pattern = _name_pattern(name)
    return [found.span() for found in pattern.finditer(text)] if pattern else []


def _places_of_words(name: str, text: str, lower: str) -> list[tuple[int, int]]:
    """What `_name_pattern` finds, for names of plain letters and spaces. Nearly all names are such.

    A pattern for each of a hundred thousand names would take a minute to make.
    """
    words = name.lower().split()
    parts = {part.lower() for part in _words_in(name)} | ({words[0]} if len(words) == 1 else set[str]())
    runs = [found.span() for found in _LETTERS.finditer(text)]
    places, position = list[tuple[int, int]](), 0
    while position < len(runs):
        start, end = runs[position]
        if len(words) > 1 and (whole := _place_of_all(words, runs[position : position + len(words)], lower, parts)):
            places.append(whole)
            position += len(words)
            continue
        starts = (start, *(found.start() for found in _CAPITAL.finditer(text, start, end)))
        begin = next((begin for begin in starts if lower[begin:end] in parts), None)
        if begin is not None:
            places.append((begin, end))
        position += 1
    return places


def _place_of_all(words: list[str], runs: list[tuple[int, int]], lower: str, parts: set[str]) -> tuple[int, int] | None:
    """The span of all words in successive runs of letters; the outer runs may be longer than their words."""
    if len(runs) < len(words):
        return None
    found = [lower[start:end] for start, end in runs]
    fits = found[0].endswith(words[0]) and found[1:-1] == words[1:-1] and found[-1].startswith(words[-1])
    another = any(run in parts and run != word for run, word in zip(found, words, strict=True))
    if not fits or another or any(not lower[left[1] : right[0]].isspace() for left, right in pairwise(runs)):
        return None
    return runs[0][1] - len(words[0]), runs[-1][0] + len(words[-1])


def _without_accents(text: str) -> str:
    """The text with a plain letter for each accented one, so places in both are the same."""
    return text if text.isascii() else "".join(map(_plain_letter, text))


@functools.lru_cache(maxsize=4096)
def _plain_letter(letter: str) -> str:
    first, *rest = unicodedata.normalize("NFKD", letter)
    return first if rest and all(map(unicodedata.combining, rest)) else letter


def is_mask_of(masked: str, text: str) -> bool:
    """Whether `masked` is `text` with names in it replaced by `[name]`."""
    return MASK in masked and any(
        _fits(masked.split(MASK), form) for form in (text, unicodedata.normalize("NFKC", text))
    )


def _fits(parts: list[str], text: str) -> bool:
    """Whether the text is these parts in order, with possible names between them."""
    if not text.startswith(parts[0]):
        return False
    end = len(parts[0])
    for part in parts[1:-1]:
        start = text.find(part, end + 1)
        if start < 0 or not _may_be_name(text[end:start]):
            return False
        end = start + len(part)
    return text.endswith(parts[-1]) and _may_be_name(text[end : len(text) - len(parts[-1])])


def _may_be_name(text: str) -> bool:
    # `Halo [name]` is no mask of `Halo Budi, kami sudah memperbaikinya`, which is another reply.
    return 0 < len(text) <= _LONGEST_NAME and not _SENTENCE.search(text) and MASK not in text


@functools.lru_cache(maxsize=4096)
def _name_pattern(name: str) -> re.Pattern[str] | None:
    folded = (name, unicodedata.normalize("NFKC", name))
    forms = {_without_accents(" ".join(form.split())) for form in folded} - {""}
    if not forms:
        return None
    words = {word for form in forms for word in _words_in(form)}
    whole = "|".join(_spaced(form) for form in sorted(forms, key=len, reverse=True) if len(form.split()) > 1)
    parts = "|".join(_spaced(part) for part in sorted(forms | words, key=len, reverse=True))
    bounded = rf"(?:(?<![^\W\d_])|(?-i:(?<=[a-z])(?=[A-Z])))(?:{parts})(?![^\W\d_])"
    return re.compile(rf"{whole}|{bounded}" if whole else bounded, re.IGNORECASE)


def _words_in(form: str) -> set[str]:
    """Words of two letters or more, and the parts of words such as `BudiSantoso`."""
    if " ".join(form.split()).casefold() in NOBODY:
        return set()
    words = {word for word in _LETTERS.findall(form) if len(word) > 1}
    return words | {part for word in words for part in _CAPITAL.split(word) if len(part) > _SHORT_PART}


def _spaced(part: str) -> str:
    return r"\s+".join(re.escape(word) for word in part.split())


@dataclass(frozen=True)
class Erased:
    """What was erased on request and must not be collected again: digests of review ids, hashes of authors."""

    reviews: frozenset[str] = frozenset()
    authors: frozenset[str] = frozenset()

    @classmethod
    def load(cls, folder: Path) -> "Erased":
        """The list in the review store's folder."""
        path = folder / ERASED
        return cls.read(path) if path.exists() else cls()

    @classmethod
    def read(cls, path: Path) -> "Erased":
        """The list in a file."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        return cls(frozenset(raw["reviews"]), frozenset(raw["authors"]))

    def __or__(self, other: "Erased") -> "Erased":
        return Erased(self.reviews | other.reviews, self.authors | other.authors)

    def __le__(self, other: "Erased") -> bool:
        return self.reviews <= other.reviews and self.authors <= other.authors

    def save(self, folder: Path) -> None:
        """Replace the list."""
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f"{ERASED}.partial"
        with scratch.open("w", encoding="utf-8") as file:
            json.dump({"reviews": sorted(self.reviews), "authors": sorted(self.authors)}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(folder / ERASED)

    def covers(self, review: FeedReview) -> bool:
        """Whether the review was erased."""
        if self.authors and review.author in self.authors:
            return True
        return bool(self.reviews) and review_digest(review.review_id) in self.reviews


NOTHING_ERASED = Erased()


def review_digest(review_id: str) -> str:
    """The list of erased reviews holds this digest, not the id."""
    return hashlib.sha256(review_id.encode()).hexdigest()
