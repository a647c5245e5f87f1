"""What the training of the BERT model is told."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from mlops_assets.training.bert.device import DeviceName, PrecisionName
from mlops_assets.training.recipe import BadRecipe, Recipe

COMPACT = "compact"

_COMPACT_ONLY = ("vocabulary_size", "layers", "hidden", "heads")

_PRETRAINED = {"epochs": 3, "learning_rate": 3e-5, "dropout": 0.1, "token_dropout": 0.0, "label_smoothing": 0.0}
"""What suits a pre-trained model where params.yaml says nothing; the fields' own defaults suit `compact`."""


@dataclass(frozen=True)
class BertRecipe(Recipe):
    """How the BERT model is made, from a pre-trained one or, as `compact`, from scratch."""

    section: ClassVar[str] = "bert"

    base_model: str = COMPACT
    """`compact`, a hub name, or a local folder in the hub's format (a path: it holds a / and exists, or starts so)."""
    revision: str | None = None
    """A hub's commit, tag or branch: a pinned commit always gives the same model."""
    epochs: int = 5
    batch_size: int = 32
    learning_rate: float = 5e-4
    warmup: float = 0.1
    """Share of all steps in which the rate climbs; from there it falls to zero."""
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    max_length: int = 128
    """Tokens of a text that are read; also the width of a packed row."""
    dropout: float = 0.2
    attention_dropout: float = 0.0
    """0 lets the flash kernels run; dropout elsewhere does the regularising."""
    token_dropout: float = 0.3
    """Share of a text's tokens that a training step hides, against learning the few texts by heart."""
    label_smoothing: float = 0.1
    seed: int = 42
    device: DeviceName = "auto"
    precision: PrecisionName = "auto"
    checkpoint_steps: int = 100
    serve: Literal["int8", "fp32"] = "int8"
    """What the server answers with; int8 only where it agrees with fp32 on validation, else fp32."""

    vocabulary_size: int = 3000
    layers: int = 4
    hidden: int = 256
    heads: int = 4

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """As every recipe; a pre-trained base has other defaults, and nothing to say about its own shape."""
        if params.get("base_model", COMPACT) == COMPACT:
            return super().from_params(params)
        for name in _COMPACT_ONLY:
            if name in params:
                raise BadRecipe(
                    f"params.yaml: bert.{name} shapes the compact model only, but base_model is "
                    f"{params['base_model']!r}: leave one of the two out"
                )
        return super().from_params({**_PRETRAINED, **params})

    def __post_init__(self) -> None:
        self.require("base_model", "compact, a hub name or a folder", holds=bool(self.base_model.strip()))
        self.require("revision", "empty where the base model is compact", holds=not (self.compact and self.revision))
        self.require_between("epochs", 1, 100)
        self.require_between("batch_size", 1, 4096)
        self.require_between("learning_rate", 1e-7, 1e-1)
        self.require_between("warmup", 0, 0.9)
        self.require_between("weight_decay", 0, 1)
        self.require_between("clip_norm", 1e-3, 1e3)
        self.require_between("max_length", 8, 512)
        self.require_between("dropout", 0, 0.9)
        self.require_between("attention_dropout", 0, 0.9)
        self.require_between("token_dropout", 0, 0.9)
        self.require_between("label_smoothing", 0, 0.5)
        self.require_between("seed", 0, 2**31 - 1)
        self.require_between("checkpoint_steps", 1, 1_000_000)
        self.require_between("vocabulary_size", 200, 100_000)
        self.require_between("layers", 1, 48)
        self.require_between("heads", 1, 64)
        self.require(
            "hidden",
            f"a multiple of heads ({self.heads}) from 16 to 4096",
            holds=16 <= self.hidden <= 4096 and self.hidden % self.heads == 0,
        )

    @property
    def compact(self) -> bool:
        return self.base_model == COMPACT

    def digest(self) -> str:
        """As every recipe, without where it runs and how often it is saved: these make no other model."""
        return super(BertRecipe, dataclasses.replace(self, device="auto", checkpoint_steps=100)).digest()
