"""Distillation: a pre-trained model is fine-tuned, answers every text of the train side, and `compact` learns it.

Three trainings, each of which a killed run continues: the compact model without a teacher, to know what the teacher
brings; the teacher; and the taught model. The teacher leaves memory and disk once it has answered. Held-out texts are
answered for the figures alone.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops_assets.artifact import TrainedWith
from mlops_assets.params.models import BertRecipe, Evaluation
from mlops_assets.text import text_digest
from mlops_assets.training.bert import checkpoint
from mlops_assets.training.bert.compact import Base
from mlops_assets.training.bert.state import Progress
from mlops_assets.training.judging import evaluate
from mlops_assets.training.references import Weights

if TYPE_CHECKING:
    import torch

WITHOUT, TEACHER, ANSWERS = "without_teacher", "teacher", "teacher_answers"
"""The folders below the checkpoints; the taught model's own checkpoint lies beside them."""
ANSWERED_TOGETHER = 2048
"""Texts between two states of the teacher's answers on disk."""
UNLABELLED = -1
"""In the place of a label's index."""
TEMPERATURE = 2.0
"""Softens the answers of teacher and student, so that the smaller ones say something too."""
TAUGHT = 0.7
"""Share of the teacher in the loss of a labelled text; without a label it is the whole loss."""

TRAININGS = 3
"""They share `bert.most_minutes`."""

TrainOn = Callable[..., tuple[Base, Progress]]
"""(rows, beside, *, recipe, checkpoints, report, taught) -> a base trained on them, as `train.py` does it."""
Answers = Callable[..., np.ndarray]
"""(base, texts, *, recipe) -> probabilities (n, labels)."""


@dataclass(frozen=True)
class Teaching:
    """Makes the taught model of one training."""

    recipe: BertRecipe
    labels: Sequence[str]
    trained_with: TrainedWith
    checkpoints: Path
    report: Callable[[str], None]
    train_on: TrainOn
    answers: Answers

    def taught(
        self,
        rows: pd.DataFrame,
        beside: Weights | None,
        unlabelled: Sequence[str],
        held_out: pd.DataFrame,
        without: np.ndarray,
        rules: Evaluation,
    ) -> tuple[Base, Progress, dict[str, Any]]:
        """The compact model taught on `rows` (review_text, label) and `unlabelled` texts, and the figures about it.

        `beside` weighs the rows where reference apps are among them; a text without a label weighs as the average.
        `without` are the answers (n, labels) to the rows of `held_out` by the compact model that nobody taught.
        """
        asked = held_out["review_text"].tolist()
        more = _further(unlabelled, [*rows["review_text"], *asked])
        texts = [*rows["review_text"], *more]
        given, about = self._teacher(rows, beside, [*texts, *asked])
        learned = pd.DataFrame({"review_text": texts, "label": [*rows["label"], *[None] * len(more)]}, dtype=object)
        weights = beside and replace(beside, counted=np.append(beside.counted, np.ones(len(more))))
        self.report(f"{about['base_model']} teaches on {len(texts)} texts, {len(more)} of them without a label")
        base, progress = self.train_on(learned, weights, checkpoints=self.checkpoints, taught=given[: len(texts)])
        by = {
            "teacher": given[len(texts) :],
            "student": self.answers(base, asked),
            "without_teacher": without,
        }
        counted_texts = {"labelled_texts": len(rows), "unlabelled_texts": len(more)}
        sides = {
            side: _compared(held_out, (held_out["side"] == side).to_numpy(), by, self.labels, rules)
            for side in evaluate.HELD_OUT
            if (held_out["side"] == side).any()
        }
        return base, progress, {"teacher": {**about, **counted_texts, "sides": sides}}

    def forget(self) -> None:
        """No stage stays behind a training that ended."""
        for stage in (WITHOUT, TEACHER, ANSWERS):
            shutil.rmtree(self.checkpoints / stage, ignore_errors=True)

    def _teacher(
        self, rows: pd.DataFrame, beside: Weights | None, texts: Sequence[str]
    ) -> tuple[np.ndarray, Mapping[str, Any]]:
        """The fine-tuned teacher's probabilities (texts, labels), and what it is."""
        import torch

        folder, identity = self.checkpoints / ANSWERS, self._identity(texts)
        found = checkpoint.load(folder, identity)
        given = found.tensors["given"] if found else torch.zeros((0, len(self.labels)))
        about = found.state if found else {}
        if len(given) < len(texts):
            recipe = self.recipe.of_teacher()
            base, progress = self.train_on(
                rows,
                beside,
                recipe=recipe,
                checkpoints=self.checkpoints / TEACHER,
                report=lambda line: self.report(f"teacher: {line}"),
                key="teacher",
            )
            about = {
                "base_model": base.source,
                "base_licence": base.licence,
                "parameters": sum(p.numel() for p in base.model.parameters()),
                "best_epoch": progress.best_epoch,
                "seconds": round(progress.seconds, 1),
            }
            while (start := len(given)) < len(texts):
                part = self.answers(base, texts[start : start + ANSWERED_TOGETHER], recipe=recipe)
                given = torch.cat([given, torch.from_numpy(part.astype(np.float32))])
                checkpoint.save(folder, identity, checkpoint.Checkpoint({"given": given}, about))
                self.report(f"teacher: answered {len(given)} of {len(texts)} texts")
        shutil.rmtree(self.checkpoints / TEACHER, ignore_errors=True)
        return given.numpy(), about

    def _identity(self, texts: Sequence[str]) -> str:
        """What the teacher's answers must have been made of to be taken again."""
        parts = [replace(self.trained_with, dataset_version="").__dict__, list(self.labels), list(texts)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def taught_losses(
    logits: "torch.Tensor", truth: "torch.Tensor", taught: "torch.Tensor", *, label_smoothing: float
) -> "torch.Tensor":
    """Of each text (n,): `logits` (n, labels) against `truth` (n,) and the teacher's probabilities (n, labels).

    The divergence is multiplied by the temperature's square, by which its gradients shrink (Hinton et al., 2015).
    """
    from torch.nn.functional import cross_entropy, kl_div, log_softmax

    by_label = cross_entropy(logits, truth.clamp(min=0), reduction="none", label_smoothing=label_smoothing)
    softened = log_softmax(taught.clamp(min=1e-7).log() / TEMPERATURE, dim=-1)
    given = log_softmax(logits / TEMPERATURE, dim=-1)
    by_teacher = kl_div(given, softened, reduction="none", log_target=True).sum(dim=-1) * TEMPERATURE**2
    return (TAUGHT * by_teacher + (1 - TAUGHT) * by_label).where(truth != UNLABELLED, by_teacher)


def indices(labels: pd.Series, names: Sequence[str]) -> np.ndarray:
    """Each label as its place in `names`, UNLABELLED for none, shape (n,)."""
    found = np.full(len(labels), UNLABELLED, np.int64)
    labelled = labels.notna().to_numpy()
    found[labelled] = evaluate.indices(labels[labelled], names)
    return found


def _further(unlabelled: Sequence[str], known: Sequence[str]) -> list[str]:
    """The distinct texts without a label that are not among the known ones."""
    digests = {text_digest(text) for text in known}
    found: dict[str, str] = {}
    for text in unlabelled:
        if (digest := text_digest(text)) not in digests:
            found.setdefault(digest, text)
    return list(found.values())


def _compared(
    held_out: pd.DataFrame, on: np.ndarray, by: Mapping[str, np.ndarray], names: Sequence[str], rules: Evaluation
) -> dict[str, Any]:
    """The scores of each model on the rows `on`, each text once, and the accuracy that the teacher brought the student,
    paired.
    """
    on = np.flatnonzero(on)
    on = on[evaluate.one_row_a_text(held_out.iloc[on])]
    rows = held_out.iloc[on]
    truth = evaluate.indices(rows["label"], names)
    scores = {
        name: evaluate.brief(evaluate.scores(rows["label"], given[on], names, rules=rules))
        for name, given in by.items()
    }
    brings = evaluate.difference(
        truth, by["student"][on], by["without_teacher"][on], range(len(on)), rules, accuracy=True
    )
    return {**scores, "teacher_brings": asdict(brings)}
