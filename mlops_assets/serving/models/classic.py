"""The classic model in numpy: word and character TF-IDF, logistic regression and forest in a vote.

It computes what training fitted with scikit-learn, from plain arrays; text becomes n-grams in `mlops_assets.text`.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlops_assets import artifact
from mlops_assets.artifact import Manifest
from mlops_assets.text import char_ngrams, word_ngrams, words_of

VOCABULARY = "vocabulary.json"
WEIGHTS = "weights.npz"

_TINY = 1e-12


class ClassicModel:
    """A classic model read from a sealed folder; safe to share between threads, for it only reads."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        runtime: dict[str, Any] = dict(manifest.runtime)
        vocabulary = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
        with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
            weights = {name: arrays[name] for name in arrays.files}
        self.manifest = manifest
        self.labels: tuple[str, ...] = manifest.labels
        self._temperature = float(runtime["temperature"])
        self._share = float(runtime["forest_share"])
        self._word_longest = int(runtime["word_longest"])
        self._char_shortest, self._char_longest = int(runtime["char_shortest"]), int(runtime["char_longest"])
        self._words = {term: index for index, term in enumerate(vocabulary["word"])}
        self._chars = {term: index for index, term in enumerate(vocabulary["char"])}
        self._word_idf, self._char_idf = weights["word_idf"], weights["char_idf"]
        coefficients = np.ascontiguousarray(weights["coefficients"].T)  # (features, 1 or labels): a row per feature
        self._word_weights, self._char_weights = np.split(coefficients, [len(self._words)])
        self._intercept = weights["intercept"]
        self._first, self._answers, self._of_word = weights["first"], weights["answers"], weights["of_word"]
        self._start, self._end = weights["start"], weights["end"]

    @classmethod
    def load(cls, folder: Path) -> "ClassicModel":
        """The model of a sealed folder; raises `BrokenArtifact` where a file is not the one that was sealed."""
        return cls(folder, artifact.read(folder))

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities (texts, labels), each row summing to 1; a text's answer does not depend on its batch."""
        return np.array([self._answer(text) for text in texts]).reshape(-1, len(self.labels))

    def _answer(self, text: str) -> np.ndarray:
        cut = words_of(text)
        words, values = _weighted(word_ngrams(cut, self._word_longest), self._words, self._word_idf)
        margins = self._intercept + values @ self._word_weights[words]
        grams = char_ngrams(cut, self._char_shortest, self._char_longest)
        places, values = _weighted(grams, self._chars, self._char_idf)
        answer = _from_margins(margins + values @ self._char_weights[places])
        if self._share > 0:
            answer = (1 - self._share) * answer + self._share * self._forest(words)
        powered = np.maximum(answer, _TINY) ** (1 / self._temperature)
        return powered / powered.sum()

    def _forest(self, words: np.ndarray) -> np.ndarray:
        """Mean answer of all trees to a text that holds these words, as `training/classic/forest.py` lays them out."""
        asking = [np.arange(self._of_word[word], self._of_word[word + 1]) for word in words]
        nodes = np.concatenate(asking) if asking else np.zeros(0, dtype=np.int64)
        leaves = len(self._answers)
        begun = np.bincount(self._start[nodes], minlength=leaves + 1)
        ended = np.bincount(self._end[nodes], minlength=leaves + 1)
        left = np.flatnonzero(np.cumsum(begun - ended)[:leaves] == 0)
        return self._answers[left[np.searchsorted(left, self._first)]].mean(axis=0)


def _weighted(grams: Iterable[str], vocabulary: dict[str, int], idf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places and TF-IDF values (sublinear, of length 1) of the known n-grams of one text."""
    known = [(vocabulary[gram], count) for gram, count in Counter(grams).items() if gram in vocabulary]
    places = np.array([index for index, _ in known], dtype=np.int64)
    values = idf[places] * [1 + math.log(count) for _, count in known]
    length = math.sqrt(float(values @ values))
    return places, values / length if length > 0 else values


def _from_margins(margins: np.ndarray) -> np.ndarray:
    """Softmax over labels; two labels have one margin, that of the second."""
    if len(margins) == 1:
        margins = np.concatenate([[0.0], margins])
    powered = np.exp(margins - margins.max())
    return powered / powered.sum()
