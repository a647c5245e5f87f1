"""A teacher that teaches the compact model: what it brings, what it is asked, and trainings killed anywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets import artifact
from mlops_assets.assets.model_page import about_model
from mlops_assets.failures import PermanentFailure
from mlops_assets.training.bert import checkpoint, distil
from mlops_assets.training.bert import train as bert
from mlops_assets.training.card import model_card
from mlops_assets.training.metrics import Metrics
from mlops_assets.training.trained import Trained
from tests.tiny_bert import BAD, GOOD, tiny_frame, train_tiny

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


class Stopped(Exception):
    """Stands for whatever ends a process in mid-training."""


def clean_frame() -> pd.DataFrame:
    """The tiny reviews with the labels that their words deserve."""
    frame = tiny_frame(640)
    good = frame["review_text"].map(lambda text: any(word in text.split() for word in GOOD))
    assert (good != frame["review_text"].map(lambda text: any(word in text.split() for word in BAD))).all()
    return frame.assign(label=np.where(good, "positive", "negative"))


def few_labels() -> tuple[pd.DataFrame, list[str]]:
    """Clean held-out sides, 40 labelled reviews to train on, a quarter of them wrong, and 360 texts without a label."""
    frame = clean_frame()
    train = frame[frame["side"] == "train"]
    labelled = train.head(40)
    flipped = labelled["label"].map({"positive": "negative", "negative": "positive"})
    labelled = labelled.assign(label=labelled["label"].where(np.arange(40) % 4 > 0, flipped))
    return pd.concat([labelled, frame[frame["side"] != "train"]], ignore_index=True), train["review_text"][40:].tolist()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that learned from clean labels, in the hub's format."""
    root = tmp_path_factory.mktemp("teacher")
    train_tiny(root / "model", root / "checkpoints", frame=clean_frame(), epochs=4)
    return root / "model"


@pytest.fixture(scope="module")
def taught(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    root = tmp_path_factory.mktemp("student")
    return teach(teacher, root), root


def teach(teacher: Path, root: Path, report: Callable[[str], None] = lambda _: None, **changes: Any) -> Trained:
    frame, unlabelled = few_labels()
    return train_tiny(
        root / "model",
        root / "checkpoints",
        frame=frame,
        unlabelled=unlabelled,
        teacher=str(teacher),
        report=report,
        **{"epochs": 4, "checkpoint_steps": 5, **changes},
    )


def test_a_teacher_that_knows_more_lifts_the_student(taught: tuple[Trained, Path]) -> None:
    figures = taught[0].metrics["teacher"]["sides"]

    for side in ("gate", "test"):
        own = figures[side]
        assert own["teacher"]["accuracy"] > 0.95
        assert own["student"]["accuracy"] > own["without_teacher"]["accuracy"] + 0.1
        assert own["teacher_brings"]["low"] > 0
        assert own["teacher_brings"]["n"] == own["student"]["n"] == 80
    assert taught[0].metrics["test"]["accuracy"] == pytest.approx(figures["test"]["student"]["accuracy"], abs=0.03)


def test_the_student_is_served_and_the_record_names_the_teacher(taught: tuple[Trained, Path], teacher: Path) -> None:
    metrics = taught[0].metrics

    assert metrics["base_model"] == "compact"
    assert metrics["teacher"]["base_model"] == f"folder {teacher.name}"
    assert (metrics["teacher"]["labelled_texts"], metrics["teacher"]["unlabelled_texts"]) == (40, 360)
    assert artifact.read(taught[1] / "model").metrics["teacher"] == metrics["teacher"]
    assert not list((taught[1] / "checkpoints").rglob("*.safetensors"))


def test_card_and_page_show_teacher_student_and_the_student_without_a_teacher(
    taught: tuple[Trained, Path], teacher: Path
) -> None:
    trained, root = taught
    brings = trained.metrics["teacher"]["sides"]["test"]["teacher_brings"]
    page = about_model(Metrics.of(trained.metrics), root / "model", pd.DataFrame())["teacher"].value.splitlines()
    card = model_card(artifact.read(root / "model"), trained.model_version)

    assert page[0].startswith("| measured on | n | accuracy, teacher | accuracy, student | accuracy, without teacher |")
    assert f"{brings['points']:+.1f} [{brings['low']:+.1f}, {brings['high']:+.1f}] |" in page[-1].replace("\\", "")
    assert f"| {brings['points']:+.1f} ({brings['low']:+.1f} to {brings['high']:+.1f}) |" in card
    assert "on 40 labelled texts and 360 without a label" in card
    assert f"folder {teacher.name}, the teacher: not stated" in card


def test_a_text_that_is_held_out_teaches_nothing(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if somebody names it among the unlabelled ones."""
    frame, _ = few_labels()
    held_out = frame["review_text"][frame["side"] != "train"].str.upper().tolist()
    learned: list[list[str]] = []
    really = bert._train_on

    def train_on(rows: pd.DataFrame, *arguments: Any, **options: Any) -> Any:
        learned.append(rows["review_text"].tolist())
        return really(rows, *arguments, **options)

    monkeypatch.setattr(bert, "_train_on", train_on)
    result = train_tiny(
        tmp_path / "model",
        tmp_path / "checkpoints",
        frame=frame,
        unlabelled=[*held_out, "teks baru", "Teks  baru"],
        teacher=str(teacher),
        epochs=1,
    )

    assert result.metrics["teacher"]["unlabelled_texts"] == 1
    assert all(set(texts) <= {*frame["review_text"][frame["side"] == "train"], "teks baru"} for texts in learned)


@pytest.mark.parametrize(
    ("saves", "stage"), [(3, distil.WITHOUT), (8, distil.TEACHER), (11, distil.ANSWERS), (13, "checkpoints")]
)
def test_a_training_stopped_in_any_stage_ends_as_an_undisturbed_one(
    teacher: Path, taught: tuple[Trained, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: int, stage: str
) -> None:
    """Six saves are without a teacher, four of the teacher, one of its answers; then come the student's."""
    really, left = checkpoint.save, saves
    stages: list[str] = []

    def save_and_stop(folder: Path, *arguments: Any) -> None:
        nonlocal left
        really(folder, *arguments)
        stages.append(folder.name)
        left -= 1
        if not left:
            raise Stopped

    monkeypatch.setattr(checkpoint, "save", save_and_stop)
    with pytest.raises(Stopped):
        teach(teacher, tmp_path)
    monkeypatch.undo()
    said: list[str] = []
    resumed = teach(teacher, tmp_path, said.append)

    assert stages[-1] == stage
    assert any("continues from the checkpoint" in line for line in said)
    assert any("teacher: answered" in line for line in said) == (saves < 11)  # what it answered is not asked again
    assert weights(tmp_path) == weights(taught[1])
    timeless = [{**each.metrics["teacher"], "seconds": 0} for each in (resumed, taught[0])]
    assert timeless[0] == timeless[1]


def weights(root: Path) -> dict[str, str]:
    return dict(artifact.read(root / "model").files)


def test_a_teacher_that_is_not_there_is_named_as_the_teacher(tmp_path: Path) -> None:
    with pytest.raises(
        PermanentFailure, match=r"bert.teacher '/no/such' is no folder: correct the path, or name a hub"
    ):
        teach(Path("/no/such"), tmp_path, epochs=1)


def test_the_loss_follows_the_teacher_and_the_label_where_there_is_one() -> None:
    import torch

    taught = torch.tensor([[0.9, 0.1], [0.9, 0.1]])
    agrees, differs = taught.log(), taught.flip(1).log()
    truth = torch.tensor([1, distil.UNLABELLED])

    same = distil.taught_losses(agrees, truth, taught, label_smoothing=0.0)
    other = distil.taught_losses(differs, truth, taught, label_smoothing=0.0)
    assert same[1] == pytest.approx(0, abs=1e-6)  # without a label the teacher is all
    assert same[0] == pytest.approx((1 - distil.TAUGHT) * -np.log(0.1), rel=1e-4)
    assert other[1] > 0.5
