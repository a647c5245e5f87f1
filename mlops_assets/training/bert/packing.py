"""Texts of a batch laid side by side in rows, so that no time goes into padding, and BERT's forward pass over them.

Each text sees only itself: attention is block-diagonal, positions start again at every text, and its answer is
read at its own first token. The rows are for CPUs and for kernels that take a mask; a GPU takes all texts as one row
with their boundaries. The modules and weights are transformers' own. The last layer answers only for the first token of
each text, since nothing reads the others: with 4 layers that saves a fifth of the matrix products.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

ROUND_TO = 4
"""Rows are a multiple of this wide: matrix kernels like even shapes, and it costs at most three tokens a row."""


@dataclass(frozen=True)
class Packed:
    """A batch of `n` texts in `rows` rows of `width` tokens.

    `slots` numbers the texts of each row (at most `most` of them) from left to right; a slot beyond a row's last text
    is filled with position 0 and stands in no text's answer.
    """

    input_ids: "torch.Tensor"  # (rows, width) long
    position_ids: "torch.Tensor"  # (rows, width) long
    segments: "torch.Tensor"  # (rows, width) long: which text of the row, counted from 1; 0 is padding
    starts: "torch.Tensor"  # (rows, most) long: column of the first token of each slot
    slots: "torch.Tensor"  # (n,) long: row * most + slot of each text, in the order of the batch
    boundaries: "torch.Tensor"  # (n + 1,) int32: where each text begins when all rows are one
    longest: int

    @property
    def tokens(self) -> int:
        """Tokens that belong to a text."""
        return int((self.segments > 0).sum())

    @property
    def fill(self) -> float:
        """Share of the area that belongs to a text."""
        return self.tokens / self.segments.numel()

    def to(self, device: "torch.device | str") -> "Packed":
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("input_ids", "position_ids", "segments", "starts", "slots", "boundaries")
        }
        return Packed(**moved, longest=self.longest)

    def mask(self) -> "torch.Tensor":
        """(rows, 1, width, width) bool: true if a token may look there. Padding sees padding: no row is empty."""
        return (self.segments[:, :, None] == self.segments[:, None, :])[:, None]

    def slot_mask(self) -> "torch.Tensor":
        """(rows, 1, most, width) bool: true if the first token of each slot may look there."""
        import torch

        at = torch.gather(self.segments, 1, self.starts)  # (rows, most)
        return (at[:, :, None] == self.segments[:, None, :])[:, None]


def first_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices of `lengths` in rows of at most `capacity`: longest first, each into the first row with room."""
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        need = lengths[index]
        if need > capacity:
            raise ValueError(f"a text of {need} tokens does not fit a row of {capacity}: truncate it before packing")
        for row, free in enumerate(room):
            if need <= free:
                rows[row].append(index)
                room[row] -= need
                break
        else:
            rows.append([index])
            room.append(capacity - need)
    return rows


def fit(lengths: Sequence[int], max_length: int) -> list[list[int]]:
    """As few rows as `max_length` allows, and then the narrowest rows that still hold the texts in that many.

    A batch of 8 reviews fills rows of 128 to about two thirds; rows as narrow as it needs it fills to nineteen
    twentieths.
    """
    rows = first_fit(lengths, max_length)
    least = max(*lengths, -(-sum(lengths) // len(rows)))
    for capacity in range(-(-least // ROUND_TO) * ROUND_TO, max_length, ROUND_TO):
        narrower = first_fit(lengths, capacity)
        if len(narrower) <= len(rows):
            return narrower
    return rows


def pack(token_ids: Sequence[Sequence[int]], max_length: int, *, one_row: bool = False) -> Packed:
    """The texts, each a sequence of token ids, packed into rows of at most `max_length`, or all into one row."""
    import torch

    lengths = [len(ids) for ids in token_ids]
    if not lengths or not min(lengths):
        raise ValueError("every text of a batch needs at least one token: tokenise with special tokens")
    rows = [list(range(len(lengths)))] if one_row else fit(lengths, max_length)
    width = max(sum(lengths[index] for index in row) for row in rows)
    if not one_row:
        width = -(-width // ROUND_TO) * ROUND_TO
    most = max(len(row) for row in rows)
    input_ids = np.zeros((len(rows), width), np.int64)
    position_ids = np.zeros((len(rows), width), np.int64)
    segments = np.zeros((len(rows), width), np.int64)
    starts = np.zeros((len(rows), most), np.int64)
    slots = np.zeros(len(lengths), np.int64)
    for row, indices in enumerate(rows):
        column = 0
        for slot, index in enumerate(indices):
            end = column + lengths[index]
            input_ids[row, column:end] = token_ids[index]
            position_ids[row, column:end] = np.arange(lengths[index])
            segments[row, column:end] = slot + 1
            starts[row, slot] = column
            slots[index] = row * most + slot
            column = end
    return Packed(
        input_ids=torch.from_numpy(input_ids),
        position_ids=torch.from_numpy(position_ids),
        segments=torch.from_numpy(segments),
        starts=torch.from_numpy(starts),
        slots=torch.from_numpy(slots),
        boundaries=torch.from_numpy(np.cumsum([0, *lengths], dtype=np.int32)),
        longest=max(lengths),
    )


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
