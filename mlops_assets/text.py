"""Text as every model sees it: normalisation and n-grams, the same in training and in the server.

Standard library only: the server calls these functions too.
"""

import hashlib
import re
import unicodedata
from functools import lru_cache

TEXT_VERSION = 1
"""Raised with every change of what `normalise` or the n-grams return; a model names the one it was trained with."""

_INVISIBLE = re.compile("[\u200b\u200c\u2060\ufeff\u00ad]")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\w+|[^\w\s]+")


def normalise(text: str) -> str:
    """The text in NFKC, lower case, without invisible characters, with single spaces; may be empty."""
    folded = unicodedata.normalize("NFKC", text).lower()
    return _SPACE.sub(" ", _INVISIBLE.sub("", folded)).strip()


def text_digest(text: str) -> str:
    """SHA-256 of the normalised text: texts that a model cannot tell apart share it."""
    return hashlib.sha256(normalise(text).encode("utf-8", "surrogatepass")).hexdigest()


def word_ngrams(text: str, longest: int = 3) -> list[str]:
    """Word n-grams of 1 to `longest` tokens of the normalised text, joined by a space."""
    words = _WORD.findall(normalise(text))
    return [
        " ".join(words[start : start + length])
        for length in range(1, longest + 1)
        for start in range(len(words) - length + 1)
    ]


def char_ngrams(text: str, shortest: int = 2, longest: int = 5) -> list[str]:
    """Character n-grams inside each word of the normalised text, the word padded with one space on both sides."""
    grams: list[str] = []
    for word in _WORD.findall(normalise(text)):
        grams += _in_word(word, shortest, longest)
    return grams


@lru_cache(maxsize=50_000)
def _in_word(word: str, shortest: int, longest: int) -> tuple[str, ...]:
    """The n-grams of one word; most words of a review have been met before."""
    padded = f" {word} "
    grams: list[str] = []
    for length in range(shortest, longest + 1):
        if length >= len(padded):
            grams.append(padded)
            break
        grams.extend(padded[start : start + length] for start in range(len(padded) - length + 1))
    return tuple(grams)
