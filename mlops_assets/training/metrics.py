"""The figures of a model, as its metrics file and its manifest hold them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from mlops_assets.files import replace_file

Interval = tuple[float | None, float | None]

SIDES = ("validation", "gate", "test", "newest", "people")
"""What a model is measured on: the held-out sides, the part of gate and test from the latest months, and the held-out
texts that people labelled."""

LEAST_LABELLED = 100
"""Held-out texts that people must have labelled before a model is scored by their labels."""


MEMBERS = ("logistic", "forest", "vote", "bert", "classic", "blend")
"""The members of a classic model and of a blend, in the order in which they are shown, and what they make together."""


@dataclass(frozen=True)
class Scores:
    """What answers to `n` reviews reached; of a side, to `n` distinct texts. A figure is None if it was not measured or
    has no meaning.

    Intervals are 95 % bootstraps over distinct texts (the share is `evaluate.confidence`).
    """

    n: int = 0
    distinct_texts: int | None = None
    accuracy: float | None = None
    accuracy_interval: Interval | None = None
    macro_f1: float | None = None
    macro_f1_interval: Interval | None = None
    majority_share: float | None = None
    log_loss: float | None = None
    log_loss_interval: Interval | None = None
    calibration_error: float | None = None
    calibration_error_by_chance: float | None = None
    reviews: int | None = None
    """The reviews of a side, and the accuracy with each of them counted."""
    accuracy_by_frequency: float | None = None
    per_class: Mapping[str, "LabelScores"] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Mapping[str, Any] | None) -> Self:
        """The scores of a JSON record, which may leave out any figure."""
        scores = _known(cls, record or {})
        per_class = {label: LabelScores.of(own) for label, own in scores.pop("per_class", {}).items()}
        return cls(**scores, per_class=per_class)


@dataclass(frozen=True)
class LabelScores:
    """What answers reached on the reviews of one label."""

    n: int = 0
    precision: float | None = None
    precision_interval: Interval | None = None
    recall: float | None = None
    recall_interval: Interval | None = None
    f1: float | None = None
    f1_interval: Interval | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        return cls(**_known(cls, record))


@dataclass(frozen=True)
class Metrics:
    """Everything that was measured about one model. `record` is the JSON that it was read from."""

    record: Mapping[str, Any] = field(repr=False)
    model_version: str | None = None
    dataset_version: str | None = None
    run_id: str | None = None
    """The run that trained the model."""
    trained_at: str | None = None
    """When that training began, as ISO time; older versions did not record it."""
    validation: Scores = field(default_factory=Scores)
    gate: Scores = field(default_factory=Scores)
    test: Scores = field(default_factory=Scores)
    newest: Scores = field(default_factory=Scores)
    people: Scores = field(default_factory=Scores)
    slices: Mapping[str, Scores] = field(default_factory=dict)
    """Slice of the test side, such as `app com.example`, -> scores."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Rows, sides, labels, apps, sources, oldest and newest review of what the model was trained with."""
    references: Mapping[str, Any] = field(default_factory=dict)
    """Reviews by reference app, how own reviews weigh against them and why, and what they bring; empty without any."""
    teacher: Mapping[str, Any] = field(default_factory=dict)
    """The model that taught this one, and the scores of both and of the model that nobody taught; empty without any."""
    budget: Mapping[str, Any] = field(default_factory=dict)
    """What the budgets of reviews and of minutes left out, `said` in words; empty if they were not reached."""
    confusion_matrix: Mapping[str, Any] = field(default_factory=dict)
    reliability: Sequence[Mapping[str, Any]] = ()
    members: Mapping[str, Any] = field(default_factory=dict)
    """Of the classic model and of a blend: what the members reach on test, and what they bring, `said` in words."""
    # Of the classic model alone.
    learning_curve: Sequence[Mapping[str, Any]] = ()
    # Of BERT alone.
    base_model: str | None = None
    base_licence: str | None = None
    loss_curve: Sequence[Sequence[float]] = ()
    epochs: Sequence[Mapping[str, Any]] = ()
    variant: str | None = None
    export: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """The metrics of a JSON record; what a model's kind or age leaves out has its default."""
        known = _known(cls, record)
        known |= {side: Scores.of(record.get(side)) for side in SIDES}
        known["slices"] = {row["slice"]: Scores.of(row) for row in record.get("slices") or ()}
        return cls(record, **known)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The metrics file at `path`; None if there is none."""
        return cls.of(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def write(self, path: Path) -> None:
        """Replace the metrics file."""
        replace_file(path, json.dumps(self.record, indent=1, sort_keys=True) + "\n")

    @property
    def people_labels(self) -> str:
        """The digest of people's labels that the score by people was measured with."""
        return (self.record.get("people") or {}).get("labels", "")

    def with_score_by_people(self, score: Mapping[str, Any]) -> Self:
        """These metrics with another score by people."""
        return self.of({**self.record, "people": score})

    def measured(self) -> dict[str, Scores]:
        """Side -> scores, of the sides that hold reviews."""
        sides: dict[str, Scores] = {side: getattr(self, side) for side in SIDES}
        return {side: scores for side, scores in sides.items() if scores.n}


def _known(of: type, record: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a record that are fields of the class; lists of two numbers are intervals."""
    names = {each.name for each in fields(of)} - {"record"}
    return {
        name: tuple(value) if name.endswith("_interval") and value else value
        for name, value in record.items()
        if name in names and value is not None
    }
