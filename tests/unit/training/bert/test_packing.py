"""Packing: nothing lost, nothing mixed, and the same answers and gradients as one text at a time."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.training.bert import packing

pytestmark = pytest.mark.usefixtures("one_thread")


LENGTHS = st.lists(st.integers(1, 128), min_size=1, max_size=60)


def small_bert(seed: int = 0):
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,  # large weights: a text that saw its neighbour would show it
    )
    config.num_labels = 3
    return BertForSequenceClassification(config).eval()


def some_texts(count: int = 13) -> list[list[int]]:
    random = np.random.default_rng(1)
    return [random.integers(1, 50, length).tolist() for length in random.integers(2, 40, count)]


def one_by_one(model, texts: Sequence[Sequence[int]]):
    import torch

    return torch.cat([model(input_ids=torch.tensor([text])).logits for text in texts])


@given(LENGTHS)
def test_every_text_is_in_exactly_one_row_that_holds_it(lengths: list[int]) -> None:
    rows = packing.fit(lengths, 128)

    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert max(sum(lengths[index] for index in row) for row in rows) <= 128


@given(LENGTHS)
def test_narrower_rows_are_no_more_rows(lengths: list[int]) -> None:
    assert len(packing.fit(lengths, 128)) <= len(packing.first_fit(lengths, 128))


def test_longest_texts_come_first_and_fill_the_first_row_with_room() -> None:
    assert packing.first_fit([3, 7, 5, 5, 2], 10) == [[1, 0], [2, 3], [4]]


def test_a_batch_of_eight_reviews_is_nearly_full() -> None:
    lengths = [9, 14, 21, 16, 45, 12, 33, 18]

    assert packing.pack([[1] * length for length in lengths], 128).fill > 0.9


def test_a_text_that_fits_a_row_exactly_is_packed_and_a_longer_one_refused() -> None:
    assert packing.pack([[1] * 128], 128).input_ids.shape == (1, 128)
    with pytest.raises(ValueError, match="129 tokens does not fit a row of 128"):
        packing.pack([[1] * 129], 128)


def test_a_text_without_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        packing.pack([[1], []], 128)


@pytest.mark.parametrize("width", [40, 64, 128])
def test_packed_answers_equal_one_by_one(width: int) -> None:
    import torch

    model, texts = small_bert(), some_texts()
    with torch.inference_mode():
        packed = packing.logits(model, packing.pack(texts, width))
        torch.testing.assert_close(packed, one_by_one(model, texts), atol=1e-5, rtol=0)


def test_packed_gradients_equal_one_by_one() -> None:
    import torch
    from torch.nn.functional import cross_entropy

    model, texts = small_bert(), some_texts()
    truth = torch.arange(len(texts)) % 3
    gradients = []
    for logits in (packing.logits(model, packing.pack(texts, 64)), one_by_one(model, texts)):
        model.zero_grad()
        cross_entropy(logits, truth).backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})

    assert any(float(gradient.abs().max()) > 1e-2 for gradient in gradients[0].values())
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-5, rtol=0, msg=name)


def test_without_the_mask_texts_see_each_other() -> None:
    import torch

    model, texts = small_bert(), some_texts()
    with torch.inference_mode():
        unmasked = packing.logits(model, packing.pack(texts, 64), masked=False)
        difference = (unmasked - one_by_one(model, texts)).abs().max()

    assert float(difference) > 1e-2


@pytest.mark.parametrize("width", [40, 128])
def test_in_bf16_on_a_cpu_answers_and_gradients_are_those_of_fp32_but_for_rounding(width: int) -> None:
    import torch
    from torch.nn.functional import cross_entropy

    model, texts = small_bert(), some_texts()
    truth = torch.arange(len(texts)) % 3
    answers, gradients = {}, {}
    for way in ("packed bf16", "one by one bf16", "fp32", "unmasked bf16"):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=way != "fp32"):
            logits = (
                one_by_one(model, texts)
                if way == "one by one bf16"
                else packing.logits(model, packing.pack(texts, width), masked=way != "unmasked bf16")
            ).float()
        cross_entropy(logits, truth).backward()
        answers[way] = logits.detach()
        gradients[way] = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    def away(values, way: str) -> float:
        return float((values[way] - values["fp32"]).norm() / values["fp32"].norm())

    for values in (answers, gradients):
        assert away(values, "packed bf16") < 1.5 * away(values, "one by one bf16") < 0.1
        assert away(values, "unmasked bf16") > 0.3


def test_one_row_with_boundaries_answers_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout for a GPU; its kernel is stood in for by plain attention within the boundaries it is given."""
    import torch
    from torch.nn.attention import varlen
    from torch.nn.functional import scaled_dot_product_attention

    def plain(query, key, value, queries_at, keys_at, longest_query, longest_key):
        parts = []
        for text in range(len(keys_at) - 1):
            one = slice(queries_at[text], queries_at[text + 1])
            other = slice(keys_at[text], keys_at[text + 1])
            assert one.stop - one.start <= longest_query
            assert other.stop - other.start <= longest_key
            q, k, v = query[one].transpose(0, 1), key[other].transpose(0, 1), value[other].transpose(0, 1)
            parts.append(scaled_dot_product_attention(q, k, v).transpose(0, 1))
        return torch.cat(parts)

    monkeypatch.setattr(varlen, "varlen_attn", plain)
    model, texts = small_bert(), some_texts()
    batch = packing.pack(texts, 64, one_row=True)
    with torch.inference_mode():
        packed = packing.logits(model, batch, varlen=True)
        torch.testing.assert_close(packed, one_by_one(model, texts), atol=1e-5, rtol=0)

    assert batch.fill == 1.0
