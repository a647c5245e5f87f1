"""Texts as token ids, the embedding cut to the ids in use, and the order in which a training sees them."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from mlops_assets.text import normalise

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ENCODED_TOGETHER = 1024
"""Of each text of a batch the tokenizer keeps several kilobytes beside the ids, until the batch is done."""

_IDS_TOGETHER = 1_000_000
"""Ids that are looked at in one go."""


class Ids(Sequence[list[int]]):
    """Texts as token ids, all in one array on the disk, so that a million texts take little memory.

    The file is nameless, so that a killed training leaves none. `place` gives the number that stands for an id.
    """

    def __init__(self, flat: np.ndarray, ends: np.ndarray, place: np.ndarray | None = None) -> None:
        self._flat, self._ends, self._place = flat, ends, place

    @classmethod
    def of(cls, texts: Iterable[Sequence[int]]) -> "Ids":
        ends, end = array("q"), 0
        with TemporaryFile() as file:
            for text in texts:
                file.write(np.asarray(text, dtype=np.int32).tobytes())
                end += len(text)
                ends.append(end)
            file.flush()
            # An empty file cannot be mapped.
            flat = np.asarray(np.memmap(file, np.int32, mode="r")) if end else np.empty(0, np.int32)
        return cls(flat, np.array(ends, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> list[int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...
    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        end = range(len(self))[index]
        ids = self._flat[self._ends[end - 1] if end else 0 : self._ends[end]]
        return (ids if self._place is None else self._place[ids]).tolist()

    def used(self) -> np.ndarray:
        """Each id once."""
        parts = range(0, len(self._flat), _IDS_TOGETHER)
        used = [np.unique(self._flat[start : start + _IDS_TOGETHER]) for start in parts]
        known = np.unique(np.concatenate([np.empty(0, np.int32), *used]))
        return known if self._place is None else self._place[known]

    def digest(self) -> str:
        """Changes with any id of any text, as it was encoded."""
        digest = hashlib.sha256(self._flat.data)
        digest.update(self._ends.data)
        return digest.hexdigest()

    def mapped(self, place: np.ndarray) -> "Ids":
        """The same texts with `place[id]` for each id."""
        return Ids(self._flat, self._ends, place if self._place is None else place[self._place])


@dataclass(frozen=True)
class Examples:
    """Texts as token ids beside the index of each one's label."""

    ids: Ids
    labels: np.ndarray  # (n,) int64; -1 without one, which only a teacher's text may be
    weights: np.ndarray | None = None  # (n,) float32, 1 on average; None: all weigh alike
    taught: np.ndarray | None = None  # (n, labels) float32: a teacher's probabilities; None: nobody teaches


def encode(tokenizer: "Tokenizer", texts: Iterable[str], max_length: int) -> Ids:
    """The token ids of the normalised texts with special tokens, each at most `max_length`."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return Ids.of(_encoded(tokenizer, iter(texts)))


def _encoded(tokenizer: "Tokenizer", texts: Iterator[str]) -> Iterator[list[int]]:
    while portion := [normalise(text) for text in islice(texts, ENCODED_TOGETHER)]:
        yield from (item.ids for item in tokenizer.encode_batch_fast(portion))


def order_of(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch: it depends on nothing but these three, so a resumed run sees the same."""
    return np.random.default_rng([seed, epoch]).permutation(count)


class CutEmbedding:
    """The rows of the embedding that `used` needs, in the model's place until `restore` puts the whole one back.

    A pre-trained vocabulary has 30,000 rows and more, of which some thousand reviews touch a tenth; the optimizer
    would update, and a checkpoint hold, all of them.
    """

    def __init__(self, model: Any, used: Iterable[Ids]) -> None:
        import torch

        self._model = model
        self._whole = model.get_input_embeddings()
        known = [ids.used() for ids in used]
        kept = np.unique(np.concatenate([*known, [self._whole.padding_idx or 0]]))
        self._kept = torch.from_numpy(kept.astype(np.int64))
        self._place = np.full(self._whole.num_embeddings, -1, np.int64)
        self._place[self._kept.numpy()] = np.arange(len(self._kept))
        padding = self._whole.padding_idx
        cut = torch.nn.Embedding(
            len(self._kept),
            self._whole.embedding_dim,
            padding_idx=None if padding is None else int(self._place[padding]),
            _weight=self._whole.weight.detach()[self._kept].clone(),
        )
        model.set_input_embeddings(cut)

    @property
    def rows(self) -> int:
        return len(self._kept)

    def narrow(self, ids: Ids) -> Ids:
        """The same texts in the ids of the cut embedding."""
        narrowed = ids.mapped(self._place)
        if (narrowed.used() < 0).any():
            raise ValueError("a text holds a token outside the cut embedding: name its ids when cutting")
        return narrowed

    def restore(self) -> None:
        """Put the whole embedding back, with the rows that were trained."""
        import torch

        cut = self._model.get_input_embeddings()
        with torch.no_grad():
            self._whole.weight[self._kept] = cut.weight.to(self._whole.weight)
        self._model.set_input_embeddings(self._whole)


def hide(ids: Sequence[Sequence[int]], share: float, mask_id: int, seed: Sequence[int]) -> list[list[int]]:
    """The texts with a share of their inner tokens replaced by the mask; the first and last token stay."""
    if not share:
        return [list(text) for text in ids]
    random = np.random.default_rng(list(seed))
    hidden: list[list[int]] = []
    for text in ids:
        drop = random.random(len(text)) < share
        drop[[0, -1]] = False
        hidden.append(np.where(drop, mask_id, text).tolist())
    return hidden


def mask_id(tokenizer: "Tokenizer") -> int:
    """The id of the mask token; of the unknown token if the vocabulary has no mask."""
    for name in ("[MASK]", "[UNK]"):
        if (found := tokenizer.token_to_id(name)) is not None:
            return found
    raise ValueError("the vocabulary has neither [MASK] nor [UNK]: it is no BERT's")
