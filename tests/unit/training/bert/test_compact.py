"""The compact model's vocabulary and weights depend on the texts and the seed alone."""

import json
import random

import pytest

from mlops_assets.params.models import BertRecipe
from mlops_assets.training.bert import compact
from mlops_assets.training.bert import data as bert_data

TEXTS = [f"{a} {b} {c}" for a in ("bagus", "jelek", "mantap 👍") for b in ("sekali", "banget") for c in ("app", "nih")]


def test_the_vocabulary_is_the_same_for_the_same_texts_in_any_order() -> None:
    first = compact.train_vocabulary(TEXTS, 300).to_str()
    for seed in range(10):
        shuffled = random.Random(seed).sample(TEXTS, len(TEXTS))  # noqa: S311 - an order, no secret
        assert compact.train_vocabulary(shuffled, 300).to_str() == first


def test_only_the_five_special_tokens_are_special() -> None:
    tokenizer = compact.train_vocabulary(TEXTS, 300)

    assert [token["content"] for token in json.loads(tokenizer.to_str())["added_tokens"]] == list(compact.SPECIAL)
    assert [tokenizer.token_to_id(token) for token in compact.SPECIAL] == [0, 1, 2, 3, 4]
    assert tokenizer.encode("bagus sekali").tokens == ["[CLS]", "bagus", "sekali", "[SEP]"]
    assert tokenizer.encode("👍").tokens == ["[CLS]", "👍", "[SEP]"]


def test_unseen_words_fall_into_pieces_and_unseen_characters_into_the_unknown() -> None:
    tokenizer = compact.train_vocabulary(TEXTS, 300)

    assert "[UNK]" not in tokenizer.encode("japup").tokens
    assert tokenizer.encode("漢").tokens == ["[CLS]", "[UNK]", "[SEP]"]
    assert list(bert_data.encode(tokenizer, [""], 16)) == [[2, 3]]


def test_long_texts_are_cut_and_keep_their_last_special_token() -> None:
    tokenizer = compact.train_vocabulary(TEXTS, 300)
    (ids,) = bert_data.encode(tokenizer, ["bagus " * 100], 16)

    assert len(ids) == 16
    assert (ids[0], ids[-1]) == (2, 3)


@pytest.mark.slow
def test_equal_seeds_give_equal_weights() -> None:
    import torch

    recipe = BertRecipe.from_params({"layers": 1, "hidden": 16, "heads": 2, "vocabulary_size": 300})
    models = [compact.build(TEXTS, recipe, ("negative", "positive")).model for _ in range(2)]

    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)
    assert models[0].config.id2label == {0: "negative", 1: "positive"}
