"""Texts of a batch laid side by side in rows, so that no time goes into padding.

Each text sees only itself: attention is block-diagonal, positions start again at every text, and its answer is
read at its own first token. The rows are for CPUs and for kernels that take a mask; a GPU takes all texts as one row
with their boundaries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
        """(rows, 1, width, width) bool: true where a token may look. Padding sees padding, so that no row is empty."""
        return (self.segments[:, :, None] == self.segments[:, None, :])[:, None]

    def slot_mask(self) -> "torch.Tensor":
        """(rows, 1, most, width) bool: true where the first token of each slot may look."""
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
