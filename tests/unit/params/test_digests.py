"""Digests of recipes: a model is retrained when its own changes, so no rewrite of the parameters may change one."""

from typing import Any, ClassVar

import pytest

from mlops_assets.params.models import BertRecipe, ClassicRecipe, Evaluation
from mlops_assets.params.section import Section

SHORT_NGRAMS = {
    "char_shortest": 3,
    "char_longest": 3,
    "word_longest": 1,
    "min_reviews": 3,
    "max_word_features": 10,
    "max_char_features": 20,
    "vocabulary_reviews": 100,
    "search_reviews": 100,
    "tree_reviews": 100,
}
TINY_BERT = {"layers": 1, "hidden": 16, "heads": 2, "vocabulary_size": 300, "precision": "fp32"}
PRETRAINED = {"base_model": "indobenchmark/indobert-base-p1", "revision": "refs/pr/3", "serve": "fp32"}


@pytest.mark.parametrize(
    ("section", "params", "digest"),
    [
        (ClassicRecipe, {}, "8a65004cbf0d"),
        (ClassicRecipe, {"trees": 5, "max_leaf_nodes": 10}, "1c353c51c4b8"),
        (ClassicRecipe, {"strengths": [1, 2], "votes": [0, 1], "seed": 7}, "bbee7d257970"),
        (ClassicRecipe, SHORT_NGRAMS, "e0134f52e50d"),
        (BertRecipe, {}, "a05b5f7aa801"),
        (BertRecipe, {"epochs": 1, "batch_size": 8, "learning_rate": 0.001}, "2ff74b4d208e"),
        (BertRecipe, PRETRAINED, "394f8f6eb14a"),
        (BertRecipe, {**TINY_BERT, "device": "cpu", "checkpoint_steps": 7}, "ff40a9e3cc62"),
        (BertRecipe, {"base_model": "a/b", "dropout": 0, "warmup": 0, "max_length": 64}, "c4615a089ee2"),
        (Evaluation, {}, "3931c5c9e136"),
        (Evaluation, {"worse_points": 1, "rounds": 300}, "8218550a44b5"),
        (Evaluation, {"max_milliseconds": 50, "max_megabytes": 100, "seed": 1, "confidence": 0.9}, "e7f0c19e0ba9"),
    ],
)
def test_digests_of_stored_models_stay(section: type[Section], params: dict[str, Any], digest: str) -> None:
    assert section.from_params(params).digest() == digest


def test_a_key_that_came_later_counts_once_it_is_set() -> None:
    class Before(Section):
        epochs: int = 1
        """How often."""

    class Since(Before):
        later: ClassVar[frozenset[str]] = frozenset({"most_minutes"})
        most_minutes: int | None = None
        """How long."""

    assert Since().digest() == Before().digest()
    assert Since(most_minutes=3).digest() != Before().digest()
