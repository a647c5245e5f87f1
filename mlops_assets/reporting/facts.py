"""What a run's summary and the deployment log are in the tables of the dashboards. Pure functions."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_assets.reporting.messages import cause

Row = dict[str, Any]


def digest(summary: Mapping[str, Any]) -> str:
    """Tells a summary that a promoting run joined from the one that was there before."""
    return hashlib.sha256(json.dumps(summary, sort_keys=True).encode()).hexdigest()[:16]


def run_row(summary: Mapping[str, Any]) -> Row:
    """The run itself."""
    return {
        "run_id": summary["run_id"],
        "digest": digest(summary),
        "job": summary["job"],
        "trigger": summary["trigger"],
        "outcome": summary["status"].lower(),
        "started": summary.get("started"),
        "ended": summary.get("ended"),
        "duration_s": summary.get("duration_s"),
        "dataset_version": summary.get("dataset_version"),
        "cause": cause(summary) if summary["status"] == "FAILURE" else None,
    }


def stage_rows(summary: Mapping[str, Any]) -> list[Row]:
    """Each stage with how it ended and how long it was at work."""
    return [
        {
            "run_id": summary["run_id"],
            "stage": row["stage"],
            "status": row["status"],
            "seconds": row.get("seconds"),
            "reason": row["reason"],
        }
        for row in summary["stages"]
    ]


def score_rows(summary: Mapping[str, Any]) -> list[Row]:
    """Each model's figures by side as they stood when the run ended; `forward` is the serving model's on reviews that
    arrived after its data.
    """
    champion = summary.get("champion") or {}
    measured = [
        (kind, side, figures, figures[side])
        for kind, figures in (summary.get("models") or {}).items()
        if figures
        for side in ("validation", "gate", "test", "newest")
        if figures.get(side)
    ]
    if forward := champion.get("forward"):
        versions = {of["model_version"]: kind for kind, of in (summary.get("models") or {}).items() if of}
        kind = versions.get(forward["model_version"], champion["model"])
        measured.append((kind, "forward", {**champion, **forward}, forward))
    return [
        {
            "run_id": summary["run_id"],
            "at": summary.get("ended"),
            "kind": kind,
            "side": side,
            "model_version": of["model_version"],
            "dataset_version": of["dataset_version"],
            "n": figures["n"],
            "accuracy": figures.get("accuracy"),
            **_bounds("accuracy", figures),
            "macro_f1": figures.get("macro_f1"),
            **_bounds("macro_f1", figures),
            "champion": of["model_version"] == champion.get("model_version"),
        }
        for kind, side, of, figures in measured
        if figures.get("n")
    ]


def _bounds(name: str, figures: Mapping[str, Any]) -> Row:
    low, high = figures.get(f"{name}_interval") or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def served_rows(entries: Sequence[Mapping[str, Any]]) -> list[Row]:
    """What served from when (`at`) to when (`until`, none for what serves now), the newest first.

    `entries` are those of the deployment log, the newest first.
    """
    rows: list[Row] = []
    until: str | None = None
    for entry in entries:
        if entry["outcome"] == "live":
            rows.append({**entry, "until": until})
        if entry["outcome"] in {"live", "stopped"}:
            until = entry["at"]
    return rows


def tick_row(point: Mapping[str, Any]) -> Row:
    """A verdict of the drift history."""
    return {
        "at": point["at"],
        "of": point["of"],
        "model_version": point["model_version"],
        "drifted": point["drifted"],
        "features": ", ".join(point["features"]),
        "n": point["n"],
    }


def drift_rows(point: Mapping[str, Any]) -> list[Row]:
    """Each feature that the verdict looked at."""
    return [
        {
            "at": point["at"],
            "of": point["of"],
            "feature": one["name"],
            "effect": one["effect"],
            "floor": one["floor"],
            "p": one["p"],
            "drifted": one["drifted"],
        }
        for one in point["measured"]
    ]
