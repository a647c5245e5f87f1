"""The folder of predictions: what each month holds, kept in an index that is made again from the files."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from mlops_assets.files import Stamp, replace_file, stamp

INDEX = "index.json"


@dataclass(frozen=True)
class Month:
    """What a file of predictions holds, in numbers. `file` is its stamp, None while no review has an answer."""

    file: Stamp | None
    reviews: Stamp
    waiting: int
    seen: str
    models: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    confidence: float = 0.0
    """The sum over its rows."""
    since: Mapping[str, str] = field(default_factory=dict)
    """Each model's earliest `first_scored`."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read from the file."""
        # Loaded here: `make status` reads the index alone.
        from mlops_assets.reviews.predictions.month import MadeOf, confidences, read_month

        made_of = MadeOf.read(path)
        table = read_month(path, ["sentiment", "probabilities", "model_version", "first_scored"])
        earliest = table.group_by("model_version").aggregate([("first_scored", "min")]).to_pylist()
        return cls(
            file=stamp(path),
            reviews=made_of.reviews,
            waiting=made_of.waiting,
            seen=made_of.seen,
            models=dict(Counter(table["model_version"].to_pylist())),
            labels=dict(Counter(table["sentiment"].to_pylist())),
            confidence=float(confidences(table).sum()),
            since={row["model_version"]: row["first_scored_min"].isoformat() for row in earliest},
        )

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        file = stored["file"]
        return cls(**{**stored, "file": file and tuple(file), "reviews": tuple(stored["reviews"])})

    @property
    def rows(self) -> int:
        return sum(self.models.values())


@dataclass(frozen=True)
class Progress:
    """How many reviews of a data version the model has answered, how many have another model's answer, or none yet."""

    model_version: str
    dataset_version: str
    answered: int
    earlier: Mapping[str, int]
    waiting: int

    @property
    def behind(self) -> int:
        """Reviews that the model has yet to answer."""
        return sum(self.earlier.values()) + self.waiting

    @property
    def reviews(self) -> int:
        return self.answered + self.behind

    def __str__(self) -> str:
        parts = [f"model {self.model_version} answered {self.answered:,} of {self.reviews:,} reviews"]
        parts += [f"{count:,} still have an answer of model {name}" for name, count in sorted(self.earlier.items())]
        parts += [f"{self.waiting:,} have none yet"] if self.waiting else []
        return ", ".join(parts)


class Predictions:
    """The months below a folder, by name (`<app_id>/<YYYY-MM>.parquet`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.months: dict[str, Month] = {}
        self.model_version = self.dataset_version = ""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What is there: from the index, and from each file that is not as the index says."""
        found = cls(folder)
        indexed: dict[str, Month] = {}
        with suppress(OSError, ValueError, KeyError, TypeError):  # Absent or damaged: every file is read.
            stored = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            indexed = {name: Month.from_json(entry) for name, entry in stored["months"].items()}
            found.model_version, found.dataset_version = stored["model_version"], stored["dataset_version"]
        for name, path in files_of(folder).items():
            entry = indexed.pop(name, None)
            found.months[name] = entry if entry is not None and entry.file == stamp(path) else Month.of(path)
        found.months |= {name: month for name, month in indexed.items() if month.file is None}
        return found

    def save(self, model_version: str, dataset_version: str) -> None:
        """Write the index: these months belong to this model and data version."""
        self.model_version, self.dataset_version = model_version, dataset_version
        content = {
            "model_version": model_version,
            "dataset_version": dataset_version,
            "months": {name: vars(month) for name, month in sorted(self.months.items())},
        }
        replace_file(self.folder / INDEX, json.dumps(content))

    def path(self, name: str) -> Path:
        return self.folder / name

    def first_run(self, model_version: str) -> datetime | None:
        """When the model first answered; None if it has answered nothing."""
        times = [month.since[model_version] for month in self.months.values() if model_version in month.since]
        return min(map(datetime.fromisoformat, times), default=None)

    def progress(self) -> Progress:
        models = Counter[str]()
        for month in self.months.values():
            models.update(month.models)
        answered = models.pop(self.model_version, 0)
        waiting = sum(month.waiting for month in self.months.values())
        return Progress(self.model_version, self.dataset_version, answered, dict(models), waiting)


def files_of(folder: Path) -> dict[str, Path]:
    """The files of predictions by name."""
    found = sorted(folder.glob("*/*.parquet"))
    return {path.relative_to(folder).as_posix(): path for path in found if not path.name.startswith(".")}


def progress_of(folder: Path) -> Progress | None:
    """How far the model has come; None if no model has answered yet."""
    found = Predictions.read(folder)
    return found.progress() if found.model_version else None


def rows_of(folder: Path, names: list[str]) -> Iterator[Any]:
    """The columns of each month's table, the newest month first."""
    from mlops_assets.reviews.predictions.month import read_month

    for _, path in sorted(files_of(folder).items(), key=lambda item: item[1].stem, reverse=True):
        yield read_month(path, names)
