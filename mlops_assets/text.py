"""Text as every model sees it: normalisation and n-grams, the same in training and in the server.

Standard library only: the server calls these functions too.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

TEXT_VERSION = 2
"""Raised with every change of what `normalise` or the n-grams return; a model names the one it was trained with."""

_INVISIBLE = re.compile("[\u200b\u200c\u2060\ufeff\u00ad]")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\w+|[^\w\s]+")
_PERHAPS_MARKS = re.compile(r"(?:[^\w\s!-~]|[\uff9e\uff9f]){10,}")
"""Ten characters that may all be combining marks. NFKC turns the two named letters into marks."""
_MOST_MARKS = 30
"""Combining marks on a character, as in Unicode's stream-safe format (UAX #15). NFKC takes a time that is quadratic in
their number: 0.1 s for 2,500 of them.
"""
_MOST_GROWTH, _FREE_GROWTH = 4, 100
"""A normalised text has at most four times the text's characters plus a hundred: NFKC makes 18 of U+FDFA."""
_LONGEST_REMEMBERED = 40
"""Characters of a word whose n-grams are remembered. Those of 50,000 words of any length would fill the memory."""


def normalise(text: str) -> str:
    """The text in NFKC, lower case, without invisible characters, with single spaces; may be empty.

    The time is linear in the text's length: combining marks beyond `_MOST_MARKS` on a character are dropped, and so is
    the end of a text that grows too much.
    """
    bounded = text if text.isascii() else _PERHAPS_MARKS.sub(_fewer_marks, text)
    folded = unicodedata.normalize("NFKC", bounded).lower()
    folded = folded[: _MOST_GROWTH * len(text) + _FREE_GROWTH]
    return _SPACE.sub(" ", _INVISIBLE.sub("", folded)).strip()


def _fewer_marks(run: re.Match[str]) -> str:
    kept: list[str] = []
    marks = 0
    for character in run[0]:
        for part in unicodedata.normalize("NFKD", character):
            if unicodedata.combining(part):
                marks += 1
            elif not _INVISIBLE.match(part):  # it is dropped later, and the marks on both sides of it meet
                marks = 0
            if marks <= _MOST_MARKS:
                kept.append(part)
    return "".join(kept)


def text_digest(text: str) -> str:
    """SHA-256 of the normalised text: texts that a model cannot tell apart share it."""
    return hashlib.sha256(normalise(text).encode("utf-8", "surrogatepass")).hexdigest()


def text_key(text: str) -> int:
    """The key of the text, the same for texts that a model cannot tell apart."""
    return key_of(text_digest(text))


def key_of(digest: str) -> int:
    """The key of the text with this digest: 60 bits, so that those of millions fit into an array. Among ten million
    texts two others share one with a chance of 1 in 20,000.
    """
    return int(digest[:15], 16)


def words_of(text: str) -> list[str]:
    """The words of the normalised text, and its runs of signs."""
    return _WORD.findall(normalise(text))


def word_ngrams(words: Sequence[str], longest: int = 3) -> list[str]:
    """N-grams of 1 to `longest` words, joined by a space."""
    return [
        " ".join(words[start : start + length])
        for length in range(1, longest + 1)
        for start in range(len(words) - length + 1)
    ]


def char_ngrams(words: Sequence[str], shortest: int = 2, longest: int = 5) -> list[str]:
    """Character n-grams inside each word, the word padded with one space on both sides."""
    grams: list[str] = []
    for word in words:
        grams += (_remembered if len(word) <= _LONGEST_REMEMBERED else _in_word)(word, shortest, longest)
    return grams


def _in_word(word: str, shortest: int, longest: int) -> tuple[str, ...]:
    padded = f" {word} "
    grams: list[str] = []
    for length in range(shortest, longest + 1):
        if length >= len(padded):
            grams.append(padded)
            break
        grams.extend(padded[start : start + length] for start in range(len(padded) - length + 1))
    return tuple(grams)


_remembered = lru_cache(maxsize=50_000)(_in_word)
"""Most words of a review have been met before."""
