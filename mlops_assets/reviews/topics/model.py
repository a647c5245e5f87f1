"""Topics as weighted words: found in a sample of texts by NMF, described by class-based TF-IDF, given to any text.

`python -m benchmarks.topics` compares NMF with other methods by coherence and by stability over resamples.
"""

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mlops_assets.masking import KINDS
from mlops_assets.params.topics import TopicRules
from mlops_assets.reviews.topics.matching import ids_of
from mlops_assets.text import normalise

LEAST_SIMILARITY = 0.1
"""A text that is less similar than this (cosine) to every topic has none."""
SHOWN_WORDS = 8
_LEAST_TEXTS = 3
"""A word of fewer distinct texts than this is in no topic: what a single person wrote is not shown as a topic."""
_MOST_TEXTS = 0.5
"""A word of more of the texts than this share tells no topics apart, however rare it is elsewhere."""
_BATCH = 50_000
_REFINED = 2
"""How often texts are given to the topics anew. Later rounds move hardly any text."""

_WORD = re.compile(r"[^\W\d_]{3,}")
_DRAWN_OUT = re.compile(r"(\w)\1{2,}")
_MASK = re.compile(rf"\[(?:{'|'.join(KINDS)})\]")


def words_in(text: str) -> list[str]:
    """The words of a text, of three letters or more; `baguuus` is `bagus`, and masks are no words."""
    return _WORD.findall(_DRAWN_OUT.sub(r"\1", _MASK.sub(" ", normalise(text))))


@dataclass(frozen=True)
class TopicModel:
    """The topics of one sentiment.

    words: (w,), sorted
    rarity: (w,), each word's inverse document frequency in the texts that the topics were found in
    vectors: (topics, w), each topic's class-based TF-IDF, of length 1
    ids: of the topics, such as negative-3
    given: how many ids were ever given; the next new topic has the number after it
    """

    words: tuple[str, ...]
    rarity: np.ndarray
    vectors: np.ndarray
    ids: tuple[str, ...]
    given: int

    def similarity(self, texts: Sequence[str]) -> np.ndarray:
        """The cosine between each text and each topic, (texts, topics)."""
        if not self.ids:
            return np.zeros((len(texts), 0))
        parts = [
            np.asarray(self._weights.transform(texts[start : start + _BATCH]) @ self.vectors.T)
            for start in range(0, len(texts), _BATCH)
        ]
        return np.vstack(parts) if parts else np.zeros((0, len(self.ids)))

    def topics_of(self, texts: Sequence[str]) -> list[tuple[str | None, float]]:
        """The topic that each text is most similar to, and how similar; None if it is similar to no topic."""
        found = self.similarity(texts)
        if not self.ids:
            return [(None, 0.0)] * len(texts)
        best = found.argmax(axis=1)
        nearest = found[np.arange(len(texts)), best]
        return [
            (self.ids[topic] if value >= LEAST_SIMILARITY else None, float(value))
            for topic, value in zip(best.tolist(), nearest.tolist(), strict=True)
        ]

    def top_words(self, count: int = SHOWN_WORDS) -> dict[str, list[str]]:
        """The words that tell most about each topic, by id."""
        return {
            topic: [self.words[place] for place in np.argsort(-vector, kind="stable")[:count] if vector[place] > 0]
            for topic, vector in zip(self.ids, self.vectors, strict=True)
        }

    @cached_property
    def _weights(self) -> Any:
        weights = _vectorizer(self.words)
        weights.idf_ = self.rarity
        return weights


def no_topics(before: TopicModel | None = None) -> TopicModel:
    """No topic, for want of texts; ids that were given stay given."""
    return TopicModel((), np.zeros(0), np.zeros((0, 0)), (), before.given if before else 0)


def find_topics(
    texts: Sequence[str],
    rules: TopicRules,
    sentiment: str,
    before: TopicModel | None = None,
    others: Sequence[str] = (),
) -> TopicModel:
    """The topics of the distinct texts of one sentiment. With fewer than `rules.least_texts` there is none.

    `others` are texts of the other sentiment: a word that is frequent in both is an everyday word and no topic's.
    The search begins at the topics `before`, so that they change no more than the texts do.
    """
    if len(texts) < rules.least_texts:
        return no_topics(before)
    found = weighted(texts, others, rules.common_percent)
    if found is None:
        return no_topics(before)
    words, rarity, weights = found
    start = over_words(before, words) if before and before.ids else None
    topic_of = _dominant(weights, min(rules.count, *weights.shape), start)
    presence = weights.copy()
    presence.data = np.ones_like(presence.data)
    vectors = class_weights(presence, topic_of)
    for _ in range(_REFINED):
        vectors = class_weights(presence, np.asarray(weights @ vectors.T).argmax(axis=1))
    ids, given = ids_of(
        sentiment,
        len(vectors),
        cosines=None if start is None else vectors @ start.T,
        before=before.ids if before else (),
        given=before.given if before else 0,
        same_meaning=rules.same_meaning,
    )
    return TopicModel(words, rarity, vectors, ids, given)


def weighted(
    texts: Sequence[str], others: Sequence[str], common_percent: float
) -> tuple[tuple[str, ...], np.ndarray, Any] | None:
    """The words, their rarity and the texts' TF-IDF, without texts that hold none of the words; None if none does."""
    here, elsewhere = _texts_with(texts), _texts_with(others)
    least, most = max(_LEAST_TEXTS, len(texts) // 2000), _MOST_TEXTS * len(texts)
    common_here, common_there = (common_percent / 100 * len(each) for each in (texts, others))
    words = tuple(
        sorted(
            word
            for word, count in here.items()
            if least <= count <= most and not (count > common_here and elsewhere[word] > common_there)
        )
    )
    if len(words) < 2:
        return None
    weights = _vectorizer(words)
    matrix = weights.fit_transform(texts)
    return words, weights.idf_, matrix[np.diff(matrix.indptr) > 0]


def _texts_with(texts: Sequence[str]) -> Counter[str]:
    """How many of the texts hold each word."""
    return Counter(word for text in texts for word in set(words_in(text)))


def _vectorizer(words: tuple[str, ...]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    analyzer: Any = words_in  # scikit-learn's own annotation allows names alone
    return TfidfVectorizer(analyzer=analyzer, vocabulary=words, sublinear_tf=True)


def _dominant(weights: Any, count: int, start: np.ndarray | None) -> np.ndarray:
    """The component of NMF that explains most of each text, (texts,)."""
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    warm = start is not None and len(start) == count
    given = {"W": np.asarray(weights @ start.T) + 1e-6, "H": start + 1e-6} if warm and start is not None else {}
    components: Any = count  # scikit-learn's own annotation allows "auto" alone
    search = NMF(components, init="custom" if warm else "nndsvda", random_state=0, max_iter=300, tol=1e-3)
    with warnings.catch_warnings():
        # The texts are given to the topics anew afterwards, so a search that was cut short does no harm.
        warnings.simplefilter("ignore", ConvergenceWarning)
        shares = search.fit_transform(weights, **given)
    return (shares * np.linalg.norm(search.components_, axis=1)).argmax(axis=1)


def over_words(model: TopicModel, words: tuple[str, ...]) -> np.ndarray:
    """A model's vectors over other words, (topics, words)."""
    place = {word: number for number, word in enumerate(model.words)}
    shared = [(to, place[word]) for to, word in enumerate(words) if word in place]
    found = np.zeros((len(model.ids), len(words)))
    if shared:
        to, source = map(list, zip(*shared, strict=True))
        found[:, to] = model.vectors[:, source]
    return found


def class_weights(presence: Any, topic_of: np.ndarray) -> np.ndarray:
    """The class-based TF-IDF of the topics that have a text, (topics, words), of length 1: how often a word is in the
    topic's texts, times how seldom it is elsewhere.
    """
    present = np.unique(topic_of)
    counts = np.vstack([np.asarray(presence[topic_of == topic].sum(axis=0)).ravel() for topic in present])
    size = counts.sum(axis=1, keepdims=True)
    weights = counts / np.maximum(size, 1) * np.log1p(size.mean() / np.maximum(counts.sum(axis=0), 1))
    return weights / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-12)
