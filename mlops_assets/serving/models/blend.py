"""A blend: both its members answer a text, and their log-odds are averaged by a weight."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlops_assets.artifact import Manifest
from mlops_assets.serving.models.bert import BertModel, softmax
from mlops_assets.serving.models.classic import ClassicModel

_TINY = 1e-12


@dataclass(frozen=True)
class Tokenised:
    """A text as both members take it. Its length is that in tokens."""

    text: str
    ids: list[int]

    def __len__(self) -> int:
        return len(self.ids)


class BlendModel:
    """Implements `serving.model.Model` and `Tokenises` for the kind `blend`."""

    def __init__(self, manifest: Manifest, bert: BertModel, classic: ClassicModel) -> None:
        self.manifest = manifest
        self.labels = manifest.labels
        self.device = bert.device
        self._bert, self._classic = bert, classic
        self._weight = float(manifest.runtime["bert_weight"])
        self._temperature = float(manifest.runtime["temperature"])

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities (texts, labels) in their order; a text's answer does not depend on its neighbours."""
        return self.of_tokens(self.tokenise(texts))

    def tokenise(self, texts: Sequence[str]) -> list[Tokenised]:
        """The texts with their token ids."""
        return [Tokenised(text, ids) for text, ids in zip(texts, self._bert.tokenise(texts), strict=True)]

    def of_tokens(self, tokenised: Sequence[Tokenised]) -> np.ndarray:
        """The probabilities of tokenised texts."""
        bert = self._bert.of_tokens([text.ids for text in tokenised])
        classic = self._classic.probabilities([text.text for text in tokenised])
        return blended(bert, classic, self._weight, self._temperature)


def blended(bert: np.ndarray, classic: np.ndarray, weight: float, temperature: float) -> np.ndarray:
    """The probabilities (n, labels) whose log-odds are `weight` times BERT's plus the rest of the classic model's.

    With more than two labels these are the weighted log-probabilities, summed up to 1 again.
    """
    logs = weight * np.log(np.maximum(bert, _TINY)) + (1 - weight) * np.log(np.maximum(classic, _TINY))
    return softmax(logs / temperature)
