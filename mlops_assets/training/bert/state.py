"""The progress of a BERT training, its reports, and how its state goes into a checkpoint and out again."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets.failures import PermanentFailure
from mlops_assets.training.bert.checkpoint import Checkpoint
from mlops_assets.training.bert.device import Device

if TYPE_CHECKING:
    import torch

Tensors = dict[str, "torch.Tensor"]

POINTS = 100
"""Points of the loss curve over a whole training."""
REPORT_EVERY_S = 5.0


class TrainingDiverged(PermanentFailure):
    """The loss is no number."""


@dataclass
class Progress:
    """How far a training has come."""

    step: int = 0
    """Steps taken, over all epochs."""
    loss_sum: float = 0.0
    loss_count: int = 0
    """Of the steps since the last point of the curve."""
    curve: list[tuple[int, float]] = field(default_factory=list)
    """(step, mean training loss since the point before)."""
    epochs: list[dict[str, float]] = field(default_factory=list)
    """Validation after each epoch: epoch, accuracy, loss; the epoch alone without validation reviews."""
    seconds: float = 0.0
    """Time spent, over all runs that worked on it."""
    reviews: int = 0
    """Reviews seen, over all epochs."""
    resumed_at: list[int] = field(default_factory=list)
    full: int = 0
    """Steps of the whole recipe."""
    planned: int = 0
    """Steps that the training will take in all: fewer if its minutes do not suffice."""

    @property
    def best_epoch(self) -> int:
        """The epoch with the highest accuracy on validation, then the least loss; without validation the last."""
        scored = [epoch for epoch in self.epochs if "accuracy" in epoch]
        best = max(scored, key=lambda epoch: (epoch["accuracy"], -epoch["loss"])) if scored else self.epochs[-1]
        return int(best["epoch"])


class Meter:
    """Counts steps into a `Progress` and reports while it trains."""

    def __init__(self, progress: Progress, epochs: int, report: Callable[[str], None]) -> None:
        self._progress, self._epochs = progress, epochs
        self.report = report
        self._every = max(1, progress.full // POINTS)
        self._losses: list[torch.Tensor] = []
        self._last = self._told = time.monotonic()
        self._first_step, self._first_s, self._first_reviews = progress.step, progress.seconds, progress.reviews

    def tick(self, loss: "torch.Tensor", epoch: int, reviews: int) -> None:
        """One step is done. The loss stays on its device until it is wanted, so that a GPU is not waited for."""
        progress = self._progress
        progress.step += 1
        progress.reviews += reviews
        self._losses.append(loss)
        now = time.monotonic()
        progress.seconds += now - self._last
        self._last = now
        if progress.step % self._every == 0 or progress.step == progress.planned or now - self._told >= REPORT_EVERY_S:
            self.settle()
        if progress.step % self._every == 0 or progress.step == progress.planned:
            progress.curve.append((progress.step, round(progress.loss_sum / progress.loss_count, 6)))
            progress.loss_sum, progress.loss_count = 0.0, 0
        if now - self._told >= REPORT_EVERY_S:
            self._told = now
            self._tell(epoch)

    def settle(self) -> None:
        """Bring the losses in; raise if one is not a number."""
        for loss in self._losses:
            value = float(loss)
            if not math.isfinite(value):
                raise TrainingDiverged(
                    f"the loss was {value} before step {self._progress.step}: lower bert.learning_rate in params.yaml"
                )
            self._progress.loss_sum += value
            self._progress.loss_count += 1
        self._losses.clear()

    def _tell(self, epoch: int) -> None:
        progress = self._progress
        seconds = progress.seconds - self._first_s
        left_s = seconds / (progress.step - self._first_step) * (progress.planned - progress.step)
        loss = progress.loss_sum / progress.loss_count if progress.loss_count else progress.curve[-1][1]
        self.report(
            f"epoch {epoch + 1} of {self._epochs}, step {progress.step} of {progress.planned}, loss {loss:.3f}, "
            f"{(progress.reviews - self._first_reviews) / seconds:.0f} reviews/s, {left_s:.0f} s left"
        )


@contextmanager
def seeded(seed: int, device: Device) -> Iterator[None]:
    """Torch's random numbers from `seed` inside, and as they were outside."""
    import torch

    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.kind == "cuda" else []):
        torch.manual_seed(seed)
        yield


def capture(progress: Progress, best: Tensors, model: Any, optimizer: "torch.optim.Optimizer") -> Checkpoint:
    """All that the next step depends on."""
    import torch

    tensors: Tensors = {"random.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    tensors |= {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    return Checkpoint(tensors=tensors, state=dataclasses.asdict(progress))


def restore(
    found: Checkpoint, model: Any, optimizer: "torch.optim.Optimizer"
) -> "tuple[Progress, dict[str, torch.Tensor]]":
    """Put a captured state back; returns the progress and the best weights so far."""
    import torch

    model.load_state_dict(_under("model.", found.tensors))
    state: dict[int, Tensors] = {}
    for name, value in _under("optimizer.", found.tensors).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    torch.set_rng_state(found.tensors["random.cpu"])
    if "random.cuda" in found.tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(found.tensors["random.cuda"])
    raw = dict(found.state)
    progress = Progress(**{**raw, "curve": [(int(step), float(loss)) for step, loss in raw["curve"]]})
    progress.resumed_at.append(progress.step)
    return progress, _under("best.", found.tensors)


def _under(prefix: str, tensors: Any) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
