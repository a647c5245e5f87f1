"""The features of a review that are compared for drift, computed once. No statistics here."""

import itertools
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
import pandas as pd

from mlops_assets.reviews.quality.language import UNKNOWN, language_of
from mlops_assets.text import normalise

LANGUAGES = ("the app's", "English", "other", "unknown")
BUCKETS = 2**20
"""N-grams are counted by hash; with some 50,000 distinct ones about 2 % share a bucket, which no test notices."""

_WORD = re.compile(r"\w+")
_NGRAM = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Features:
    """One entry per review: stars (0 where missing), characters, text; and ragged arrays of the
    distinct n-gram buckets (words and pairs) and of the word buckets, row i at `starts[i]:starts[i + 1]`.
    """

    ratings: np.ndarray
    lengths: np.ndarray
    texts: np.ndarray
    grams: np.ndarray
    gram_starts: np.ndarray
    words: np.ndarray
    word_starts: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Self:
        """Features of reviews with `review_text` and `rating`; about 0.1 ms each."""
        texts = frame["review_text"].fillna("").tolist()
        folded = [normalise(text) for text in texts]
        grams, words = [ngram_buckets(text) for text in folded], [_buckets(_WORD.findall(text)) for text in folded]
        return cls(
            ratings=frame["rating"].fillna(0).to_numpy(dtype=np.int64),
            lengths=np.array([len(text) for text in folded], dtype=np.int64),
            texts=np.array(texts, dtype=object),
            grams=_flat(grams),
            gram_starts=_starts(grams),
            words=_flat(words),
            word_starts=_starts(words),
        )

    def __len__(self) -> int:
        return len(self.ratings)

    def take(self, rows: np.ndarray) -> Self:
        """The reviews with these indices, in this order, repeats allowed."""
        grams, gram_starts = take_ragged(self.grams, self.gram_starts, rows)
        words, word_starts = take_ragged(self.words, self.word_starts, rows)
        return type(self)(
            ratings=self.ratings[rows],
            lengths=self.lengths[rows],
            texts=self.texts[rows],
            grams=grams,
            gram_starts=gram_starts,
            words=words,
            word_starts=word_starts,
        )


def ngrams(text: str) -> list[str]:
    """Distinct words, signs and pairs of neighbours of a text."""
    words = _NGRAM.findall(normalise(text))
    pairs = [f"{first} {second}" for first, second in itertools.pairwise(words)]
    return list(dict.fromkeys([*words, *pairs]))


def ngram_buckets(text: str) -> np.ndarray:
    """The buckets of a text's distinct n-grams."""
    return np.unique(_buckets(ngrams(text)))


def bucket(gram: str) -> int:
    """The same number for the same n-gram on every machine."""
    return zlib.crc32(gram.encode("utf-8", "surrogatepass")) % BUCKETS


def count_languages(texts: Iterable[str], own: str) -> np.ndarray:
    """Texts by `LANGUAGES`; `own` is the language of the app."""
    names = {"en": "English", own: "the app's", UNKNOWN: "unknown"}
    found = [LANGUAGES.index(names.get(language_of(text, (own, "en")), "other")) for text in texts]
    return np.bincount(np.array(found, dtype=np.int64), minlength=len(LANGUAGES))


def take_ragged(values: np.ndarray, starts: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a ragged array, as a ragged array."""
    counts = (starts[1:] - starts[:-1])[rows]
    ends = np.concatenate([[0], np.cumsum(counts)])
    indices = np.arange(ends[-1]) - np.repeat(ends[:-1], counts) + np.repeat(starts[:-1][rows], counts)
    return values[indices], ends


def _buckets(grams: Sequence[str]) -> np.ndarray:
    return np.array([bucket(gram) for gram in grams], dtype=np.int32)


def _flat(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(rows) if rows else np.array([], dtype=np.int32)


def _starts(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)


def shares(counts: np.ndarray) -> np.ndarray:
    """Counts as shares of their sum; zeros for an empty sum."""
    total = counts.sum()
    return cast("np.ndarray", counts / total if total else counts.astype(float))
