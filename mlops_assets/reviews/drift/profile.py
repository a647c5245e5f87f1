"""What a model's training reviews looked like: computed once, kept beside the version, compared with ever after."""

import io
import json
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.drift.features import Features, count_languages, take_ragged
from mlops_assets.reviews.quality.language import main_language
from mlops_assets.reviews.stored import columns

FORMAT = 1
SAMPLE = 5000
"""Reviews whose texts the profile keeps; ratings are counted over all."""

_LENGTH_BINS = 6


@dataclass(frozen=True)
class Profile:
    """Counts over all reviews: `ratings` of 1 to 5 stars. Of a sample: `length_counts` between `length_edges`
    (characters), the n-grams and texts.

    `vocabulary` are the word buckets of the sample's first half, `unknown_words` the share of words outside it for each
    review of the second half: a new review of the same kind would have the same share.
    """

    reviews: int
    ratings: np.ndarray
    length_edges: np.ndarray
    length_counts: np.ndarray
    vocabulary: np.ndarray
    unknown_words: np.ndarray
    grams: np.ndarray
    gram_starts: np.ndarray
    texts: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame, *, sample: int = SAMPLE) -> Self:
        """The profile of training reviews (`review_text`, `rating`); equal frames give equal profiles."""
        chosen = frame if len(frame) <= sample else frame.sample(sample, random_state=0)
        ratings = np.bincount(frame["rating"].fillna(0).to_numpy(dtype=np.int64), minlength=6)[1:6]
        return cls.of_features(Features.of(chosen), reviews=len(frame), ratings=ratings)

    @classmethod
    def of_features(cls, sample: Features, *, reviews: int | None = None, ratings: np.ndarray | None = None) -> Self:
        """The same from the features of the sample; without counts over all, the sample is all."""
        if not len(sample):
            raise PermanentFailure("a drift profile needs at least one review, got none: train on reviews first")
        order = np.random.default_rng(0).permutation(len(sample))
        first, second = np.sort(order[::2]), np.sort(order[1::2])
        vocabulary = np.unique(take_ragged(sample.words, sample.word_starts, first)[0])
        inner = np.unique(np.quantile(sample.lengths, np.linspace(0, 1, _LENGTH_BINS + 1)[1:-1]))
        edges = np.concatenate([[-0.5], np.floor(inner) + 0.5, [np.inf]])
        return cls(
            reviews=len(sample) if reviews is None else reviews,
            ratings=np.bincount(sample.ratings, minlength=6)[1:6] if ratings is None else ratings,
            length_edges=edges,
            length_counts=count_lengths(sample.lengths, edges),
            vocabulary=vocabulary,
            unknown_words=unknown_share(sample, vocabulary)[second],
            grams=sample.grams,
            gram_starts=sample.gram_starts,
            texts=sample.texts,
        )

    @cached_property
    def language(self) -> str:
        """The language that most of the texts are in."""
        return main_language(self.texts)

    @cached_property
    def languages(self) -> np.ndarray:
        """The texts by `LANGUAGES`."""
        return count_languages(self.texts, self.language)

    def save(self, path: Path) -> None:
        """Write the profile as one compressed file; no format that executes code on loading."""
        arrays: dict[str, Any] = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        arrays["texts"] = np.frombuffer(json.dumps(self.texts.tolist(), ensure_ascii=True).encode(), dtype=np.uint8)
        content = io.BytesIO()
        np.savez_compressed(content, format=np.array(FORMAT), **arrays)
        columns.write_bytes(content.getvalue(), path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The profile at `path`; raises `PermanentFailure` if it has another format."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                if int(stored["format"]) != FORMAT:
                    raise PermanentFailure(f"{path} has format {stored['format']}, this reads {FORMAT}: train again")
                values = {field.name: stored[field.name] for field in fields(cls)}
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise PermanentFailure(f"{path} is no drift profile ({error}): train the model again") from error
        texts = json.loads(values.pop("texts").tobytes().decode())
        return cls(**{**values, "reviews": int(values["reviews"]), "texts": np.array(texts, dtype=object)})


def count_lengths(lengths: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Reviews by the bins of text length."""
    return np.bincount(np.searchsorted(edges, lengths, side="right") - 1, minlength=len(edges) - 1)


def unknown_share(features: Features, vocabulary: np.ndarray) -> np.ndarray:
    """Per review, the share of its words that are not in the vocabulary; 0 for a text without words."""
    unknown = ~np.isin(features.words, vocabulary)
    total = np.diff(features.word_starts)
    sums = np.concatenate([[0], np.cumsum(unknown)])
    hits = sums[features.word_starts[1:]] - sums[features.word_starts[:-1]]
    return hits / np.maximum(total, 1)
