"""The verdicts of earlier ticks about reviews and predictions, in the file `drift.jsonl`."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mlops_assets.reviews.drift.drift import DriftPoint, DriftReport, sustained

_KEPT_POINTS = 400


def read_history(folder: Path) -> list[DriftPoint]:
    """Oldest first."""
    path = folder / "drift.jsonl"
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [_point(row) for row in rows]


def remember(folder: Path, at: datetime, model_version: str, report: DriftReport, of: str, ticks: int) -> str:
    """Add the verdict about `of` to the history; what the history then says of drift that lasts."""
    features = tuple(feature.name for feature in report.features if feature.drifted)
    measured = tuple(
        {
            "name": feature.name,
            "effect": float(feature.effect),
            "floor": float(feature.floor),
            "p": float(feature.corrected),
            "drifted": bool(feature.drifted),
        }
        for feature in report.features
    )
    point = DriftPoint(at, model_version, bool(report.drifted), features, of, measured, int(report.reviews_now))
    history = [*read_history(folder), point][-_KEPT_POINTS:]
    _write(folder, history)
    return sustained(history, ticks).reason


def _point(row: dict[str, Any]) -> DriftPoint:
    return DriftPoint(
        at=datetime.fromisoformat(row["at"]),
        model_version=row["model_version"],
        drifted=row["drifted"],
        features=tuple(row["features"]),
        of=row.get("of", "reviews"),
        measured=tuple(row.get("measured", ())),
        n=row.get("n", 0),
    )


def _write(folder: Path, history: Sequence[DriftPoint]) -> None:
    lines = [
        json.dumps({**vars(point), "at": point.at.isoformat(), "features": list(point.features)}) for point in history
    ]
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / "drift.jsonl.partial"
    scratch.write_text("\n".join(lines) + "\n", encoding="utf-8")
    scratch.replace(folder / "drift.jsonl")
