"""What every model offers, and how a sealed folder becomes a model."""

from collections.abc import Callable, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from mlops_assets import artifact
from mlops_assets.artifact import Golden, Manifest
from mlops_assets.failures import PermanentFailure
from mlops_assets.serving.models.onnx_session import Device
from mlops_assets.trained_on import TrainedOn

GOLDEN_TOLERANCE = 1e-2
"""How far a golden probability may be from the sealed value: int8 kernels of two processors differ by up to 6e-3."""


class WrongAnswers(PermanentFailure):
    """The loaded model does not answer its golden sentences as it did when it was sealed."""


class Model(Protocol):
    """A loaded model; safe to call from several threads at once."""

    manifest: Manifest
    labels: tuple[str, ...]

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities (texts, labels), each row summing to 1, in the order of the texts."""
        ...


@runtime_checkable
class Tokenises(Protocol):
    """A model that pads its batches: texts become tokens first, so that a batch takes texts of similar length."""

    def tokenise(self, texts: Sequence[str]) -> Sequence[Sized]:
        """What `of_tokens` takes of each text; its length is that in tokens."""
        ...

    def of_tokens(self, tokenised: Any, /) -> np.ndarray:
        """The probabilities of tokenised texts."""
        ...


@runtime_checkable
class HasDevice(Protocol):
    """A model that may run on another device than the CPU."""

    device: Device


@dataclass(frozen=True)
class LoadedModel:
    """A model with its version and the golden sentences that prove it."""

    model: Model
    version: str
    golden: tuple[Golden, ...]

    @property
    def dataset_version(self) -> str:
        return self.model.manifest.trained_with.dataset_version

    @property
    def trained_on(self) -> TrainedOn:
        """Whose reviews it learnt from."""
        return self.model.manifest.trained_on

    @property
    def device(self) -> Device:
        """Where the answers are computed."""
        return self.model.device if isinstance(self.model, HasDevice) else "cpu"


def load(folder: Path, *, threads: int = 0) -> Model:
    """The model of a sealed folder, verified file by file; raises `BrokenArtifact`. `threads` 0 takes all cores.

    It is opened while its files are hashed, which takes about as long; a wrong hash is reported first.
    """
    manifest = artifact.read(folder, verify=False)
    with ThreadPoolExecutor(1) as hashing:
        verified = hashing.submit(artifact.read, folder)
        try:
            return _open(folder, manifest, threads)
        finally:
            verified.result()


def _open(folder: Path, manifest: Manifest, threads: int) -> Model:
    from mlops_assets.serving.models.classic import ClassicModel

    if manifest.kind == "classic":
        return ClassicModel(folder, manifest)
    from mlops_assets.serving.models.bert import BertModel

    if manifest.kind == "bert":
        return BertModel(folder, manifest, threads=threads)
    from mlops_assets.serving.models.blend import BlendModel

    bert, classic = (artifact.read(folder / member, verify=False) for member in artifact.MEMBERS)
    return BlendModel(
        manifest,
        BertModel(folder / "bert", bert, threads=threads),
        ClassicModel(folder / "classic", classic),
    )


def load_with_golden(folder: Path, load_model: Callable[[Path], Model] = load) -> LoadedModel:
    """The model, its version and its golden sentences."""
    return LoadedModel(load_model(folder), artifact.model_version(folder), artifact.read_golden(folder))


def prove(loaded: LoadedModel) -> None:
    """Answer the golden sentences; raises `WrongAnswers` at the first that is off by more than `GOLDEN_TOLERANCE`."""
    answers = loaded.model.probabilities([golden.text for golden in loaded.golden])
    for golden, answer in zip(loaded.golden, answers, strict=True):
        worst = float(np.abs(np.asarray(golden.probabilities) - answer).max())
        if not worst <= GOLDEN_TOLERANCE:
            raise WrongAnswers(
                f"golden sentence {golden.text[:60]!r} is answered {worst:.3g} off, allowed is {GOLDEN_TOLERANCE}: "
                "the runtime does not fit the model, train or export it again"
            )
