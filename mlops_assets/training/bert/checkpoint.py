"""A training's state on disk, so that a killed run continues: one file, replaced whole."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.files import sync

if TYPE_CHECKING:
    import torch

NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    tensors: "Mapping[str, torch.Tensor]"
    state: Mapping[str, Any]


def save(folder: Path, identity: str, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint; a kill in between leaves the earlier one."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / (NAME + ".partial")
    tensors = {name: tensor.detach().contiguous() for name, tensor in checkpoint.tensors.items()}
    save_file(tensors, scratch, metadata={"identity": identity, "state": json.dumps(checkpoint.state)})
    sync(scratch)
    scratch.replace(folder / NAME)


def load(folder: Path, identity: str) -> Checkpoint | None:
    """The checkpoint of exactly this training: same recipe, data and code; another's is none."""
    from safetensors import safe_open

    path = folder / NAME
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        about = file.metadata() or {}
        if about.get("identity") != identity:
            return None
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    return Checkpoint(tensors=tensors, state=json.loads(about["state"]))


def remove(folder: Path) -> None:
    """No checkpoint stays behind a training that ended."""
    for name in (NAME, NAME + ".partial"):
        (folder / name).unlink(missing_ok=True)
