"""What a training leaves behind, for whoever called it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trained:
    """A sealed model: its version, and the content of its metrics file."""

    model_version: str
    metrics: Mapping[str, Any]
