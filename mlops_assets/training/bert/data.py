"""Texts as token ids, the embedding cut to the ids in use, and the order in which a training sees them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.text import normalise

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ids = list[list[int]]


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
    return [item.ids for item in tokenizer.encode_batch([normalise(text) for text in texts])]


def order_of(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch: it depends on nothing but these three, so a resumed run sees the same."""
    return np.random.default_rng([seed, epoch]).permutation(count)


class CutEmbedding:
    """The rows of the embedding that `used` needs, in the model's place until `restore` puts the whole one back.

    A pre-trained vocabulary has 30,000 rows and more, of which some thousand reviews touch a tenth; the optimizer
    would update, and a checkpoint hold, all of them.
    """

    def __init__(self, model: Any, used: Iterable[int]) -> None:
        import torch

        self._model = model
        self._whole = model.get_input_embeddings()
        self._kept = torch.tensor(sorted({*used, self._whole.padding_idx or 0}), dtype=torch.long)
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
        narrowed = [self._place[text].tolist() for text in ids]
        if any(-1 in text for text in narrowed):
            raise ValueError("a text holds a token outside the cut embedding: name its ids when cutting")
        return narrowed

    def restore(self) -> None:
        """Put the whole embedding back, with the rows that were trained."""
        import torch

        cut = self._model.get_input_embeddings()
        with torch.no_grad():
            self._whole.weight[self._kept] = cut.weight.to(self._whole.weight)
        self._model.set_input_embeddings(self._whole)


def hide(ids: Sequence[Sequence[int]], share: float, mask_id: int, seed: Sequence[int]) -> Ids:
    """The texts with a share of their inner tokens replaced by the mask; the first and last token stay."""
    if not share:
        return [list(text) for text in ids]
    random = np.random.default_rng(list(seed))
    hidden: Ids = []
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
