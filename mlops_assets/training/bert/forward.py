"""transformers' BERT run over packed texts: the same modules and weights, no padding, no work that nothing reads.

The last layer answers only for the first token of each text, since nothing reads the others: with 4 layers that saves
a fifth of the matrix products.
"""

from typing import TYPE_CHECKING, Any

from mlops_assets.training.bert.packing import Packed

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch


def logits(model: Any, batch: Packed, *, masked: bool = True, varlen: bool = False) -> "torch.Tensor":
    """(n, labels) of a BertForSequenceClassification, in the order of the texts of the batch.

    `varlen` takes a batch that was packed into one row and CUDA's variable-length kernel; `masked=False` lets texts of
    a row see each other, which is wrong and there for the test that shows it.
    """
    import torch

    bert = model.bert
    hidden = bert.embeddings(input_ids=batch.input_ids, position_ids=batch.position_ids)
    rows, width, size = hidden.shape
    inner, last = _attention(model, batch, masked=masked, varlen=varlen)
    *layers, final = bert.encoder.layer
    for layer in layers:
        hidden = _layer(layer, hidden, hidden, inner)
    at = batch.starts + torch.arange(rows, device=hidden.device)[:, None] * width  # (rows, most)
    first = hidden.reshape(rows * width, size)[at]  # (rows, most, size)
    first = _layer(final, first, hidden, last).reshape(-1, size)[batch.slots]  # (n, size)
    return model.classifier(model.dropout(bert.pooler(first[:, None])))


def _layer(layer: Any, queries: "torch.Tensor", hidden: "torch.Tensor", attend: "Callable[..., Any]") -> "torch.Tensor":
    own = layer.attention.self
    context = attend(own.query(queries), own.key(hidden), own.value(hidden))
    attended = layer.attention.output(context, queries)
    return layer.output(layer.intermediate(attended), attended)


def _attention(
    model: Any, batch: Packed, *, masked: bool, varlen: bool
) -> "tuple[Callable[..., Any], Callable[..., Any]]":
    """Attention of every token, and of the first token of every text."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    heads = model.config.num_attention_heads
    dropout = model.config.attention_probs_dropout_prob if model.training else 0.0

    def by_mask(mask: "torch.Tensor | None") -> "Callable[..., Any]":
        def attend(query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor") -> "torch.Tensor":
            kernel = _by_products if query.is_cpu and query.dtype is torch.bfloat16 else scaled_dot_product_attention
            query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
            return kernel(query, key, value, attn_mask=mask, dropout_p=dropout).transpose(1, 2).flatten(2)

        return attend

    if varlen:
        return _by_boundaries(batch, heads)
    return by_mask(batch.mask() if masked else None), by_mask(batch.slot_mask() if masked else None)


def _by_products(
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    *,
    attn_mask: "torch.Tensor | None",
    dropout_p: float,
) -> "torch.Tensor":
    """Attention written out, for bf16 on a CPU.

    There torch's flash kernel takes three times as long: 27 ms of CPU time against 9 ms for a base-size layer of 32
    reviews, forward and back (torch 2.13, Zen 4). In fp32 it is the faster one.
    """
    import torch

    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2))
    if attn_mask is not None:
        scores = scores + torch.where(attn_mask, 0.0, torch.finfo(scores.dtype).min).to(scores.dtype)
    shares = torch.nn.functional.dropout(scores.softmax(-1), dropout_p)
    return torch.matmul(shares.to(value.dtype), value)


def _by_boundaries(batch: Packed, heads: int) -> "tuple[Callable[..., Any], Callable[..., Any]]":
    """Attention inside each text of one long row by the flash kernel for texts of unequal length (half precision).

    It has no dropout of its own, so a recipe with attention dropout takes the masked rows.
    """
    import torch
    from torch.nn.attention import varlen

    one_each = torch.arange(len(batch.boundaries), device=batch.boundaries.device, dtype=torch.int32)

    def between(boundaries: "torch.Tensor", longest: int) -> "Callable[..., Any]":
        def attend(query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor") -> "torch.Tensor":
            query, key, value = (x[0].unflatten(-1, (heads, -1)) for x in (query, key, value))  # (tokens, heads, size)
            mixed = varlen.varlen_attn(query, key, value, boundaries, batch.boundaries, longest, batch.longest)
            return mixed.flatten(1)[None]  # pyright: ignore[reportAttributeAccessIssue]  # a tuple only with return_aux

        return attend

    return between(batch.boundaries, batch.longest), between(one_each, 1)
