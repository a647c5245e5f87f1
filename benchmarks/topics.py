"""Which method finds topics that people can read and that stay: coherence, and stability over resamples.

python -m benchmarks.topics [--draws N]

For each method, over the real reviews of two apps, by stars: coherence is the mean NPMI of the ten first words of each
topic, counted in the half of the texts that the topics were not found in (10 random words: below 0). Stability is over
resamples of 80 % of the texts: the share of topics that keep their id, and of reviews that keep their topic.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mlops_assets.params.topics import TopicRules
from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.reviews.topics import model as topics
from mlops_assets.reviews.topics.matching import ids_of
from mlops_assets.reviews.topics.model import TopicModel, words_in
from mlops_assets.text import normalise

REVIEWS = {app: Path(__file__).parents[2] / "shared" / "data" / f"{app}_reviews.csv" for app in ("pintu", "gojek")}
STARS = {"negative": (1, 2), "positive": (4, 5)}
RULES = TopicRules()
WORDS = 10
Find = Callable[[Sequence[str], TopicModel | None, Sequence[str]], TopicModel]
"""Of texts, with the topics before and the texts of the other sentiment."""


def texts_of(path: Path, stars: tuple[int, int]) -> list[str]:
    """The distinct texts with these stars, sorted."""
    frame = read_reviews(path).frame
    chosen = frame["review_text"][frame["rating"].between(*stars)].dropna()
    return sorted({normalise(text) for text in chosen if words_in(text)})


def nmf(**changes: Any) -> Find:
    """As the pipeline finds them, with other parameters."""
    rules = RULES.model_copy(update=changes)
    return lambda texts, before, others: topics.find_topics(texts, rules, "t", before, others)


def nmf_alone(texts: Sequence[str], before: TopicModel | None, others: Sequence[str]) -> TopicModel:
    """NMF that does not begin at the topics before."""
    return _named(topics.find_topics(texts, RULES, "t", others=others), before)


def clustered(method: str) -> Find:
    """Texts grouped by k-means or LDA instead of NMF, described in the same way."""

    def find(texts: Sequence[str], before: TopicModel | None, others: Sequence[str]) -> TopicModel:
        from sklearn.cluster import KMeans
        from sklearn.decomposition import LatentDirichletAllocation

        weighted = topics.weighted(texts, others, RULES.common_percent)
        assert weighted
        words, rarity, weights = weighted
        presence = weights.copy()
        presence.data = np.ones_like(presence.data)
        if method == "k-means":
            runs: Any = 3
            topic_of = KMeans(RULES.count, n_init=runs, random_state=0).fit_predict(weights)
        else:
            model = LatentDirichletAllocation(RULES.count, random_state=0, max_iter=15)
            topic_of = model.fit_transform(presence).argmax(axis=1)
        vectors = topics.class_weights(presence, topic_of)
        found = TopicModel(words, rarity, vectors, tuple(f"t-{n}" for n in range(len(vectors))), len(vectors))
        return _named(found, before)

    return find


def _named(found: TopicModel, before: TopicModel | None) -> TopicModel:
    if before is None:
        return found
    cosines = found.vectors @ topics.over_words(before, found.words).T
    ids, given = ids_of(
        "t", len(found.ids), cosines=cosines, before=before.ids, given=before.given, same_meaning=RULES.same_meaning
    )
    return replace(found, ids=ids, given=given)


METHODS: dict[str, Find] = {
    "NMF, 8 topics": nmf(count=8),
    "NMF, 12 topics": nmf(),
    "NMF, 16 topics": nmf(count=16),
    "NMF, 12 topics, everyday words over 3 %": nmf(common_percent=3),
    "NMF, 12 topics, with everyday words": nmf(common_percent=100),
    "NMF, 12 topics, from scratch": nmf_alone,
    "k-means, 12 topics": clustered("k-means"),
    "LDA, 12 topics": clustered("LDA"),
}


def coherence(found: TopicModel, texts: Sequence[str]) -> float:
    """Mean NPMI of the pairs among the first words of each topic, by the texts that hold both."""
    from sklearn.feature_extraction.text import CountVectorizer

    chosen = found.top_words(WORDS)
    words = sorted({word for row in chosen.values() for word in row})
    place = {word: number for number, word in enumerate(words)}
    analyzer: Any = words_in
    present: Any = CountVectorizer(analyzer=analyzer, vocabulary=words, binary=True).fit_transform(texts)
    both = (present.T @ present).toarray() / len(texts)
    alone = both.diagonal()
    values: list[float] = []
    for row in chosen.values():
        for one, other in itertools.combinations((place[word] for word in row), 2):
            together = both[one, other]
            if together:
                values.append(np.log(together / (alone[one] * alone[other])) / -np.log(together))
            elif alone[one] and alone[other]:
                values.append(-1.0)
    return float(np.mean(values))


def measure(find: Find, texts: Sequence[str], others: Sequence[str], draws: int) -> dict[str, float]:
    """The figures of one method on one set of texts."""
    started = time.process_time()
    half = np.random.default_rng(0).random(len(texts)) < 0.5
    on_half = find([text for text, chosen in zip(texts, half, strict=True) if chosen], None, others)
    coherent = coherence(on_half, [text for text, chosen in zip(texts, half, strict=True) if not chosen])
    whole = find(texts, None, others)
    of_whole = [topic for topic, _ in whole.topics_of(texts)]
    kept, same = list[float](), list[float]()
    for draw in range(draws):
        chosen = np.random.default_rng(draw + 1).random(len(texts)) < 0.8
        again = find([text for text, there in zip(texts, chosen, strict=True) if there], whole, others)
        kept.append(len(set(again.ids) & set(whole.ids)) / len(whole.ids))
        pairs = zip(of_whole, (topic for topic, _ in again.topics_of(texts)), strict=True)
        same.append(float(np.mean([before == after for before, after in pairs if before])))
    return {
        "coherence": coherent,
        "ids_kept": float(np.mean(kept)),
        "same_topic": float(np.mean(same)),
        "texts_with_a_topic": float(np.mean([topic is not None for topic in of_whole])),
        "cpu_s": time.process_time() - started,
    }


def run(draws: int = 10) -> dict[str, Any]:
    """Figures of each method by app and sentiment, with the number of distinct texts."""
    figures: dict[str, Any] = {}
    for (app, path), (sentiment, stars) in itertools.product(REVIEWS.items(), STARS.items()):
        texts = texts_of(path, stars)
        others = texts_of(path, next(other for other in STARS.values() if other != stars))
        by_method = {name: measure(find, texts, others, draws) for name, find in METHODS.items()}
        figures[f"{app}, {sentiment}"] = {"texts": len(texts), **by_method}
    mean = {
        name: {
            key: float(np.mean([by_set[name][key] for by_set in figures.values()]))
            for key in ("coherence", "ids_kept", "same_topic")
        }
        for name in METHODS
    }
    return {"topics": {**figures, "mean": mean}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10)
    print(json.dumps(run(parser.parse_args().draws), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
