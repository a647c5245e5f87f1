"""Rows for the dashboards: what a run's summary, the deployment log and the drift history become. Pure functions."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_assets.reporting.run_summary import SIDES, RunSummary, Score

Row = dict[str, Any]


def digest(summary: RunSummary) -> str:
    """Changes when a promoting run joins a summary that is in the database already."""
    return hashlib.sha256(json.dumps(summary.to_json(), sort_keys=True).encode()).hexdigest()[:16]


def run_row(summary: RunSummary) -> Row:
    """The run itself."""
    return {
        "run_id": summary.run_id,
        "digest": digest(summary),
        "job": summary.job,
        "trigger": summary.trigger,
        "outcome": summary.status.lower(),
        "started": summary.started,
        "ended": summary.ended,
        "duration_s": summary.duration_s,
        "dataset_version": summary.dataset_version,
        "cause": summary.cause if summary.failed else None,
    }


def stage_rows(summary: RunSummary) -> list[Row]:
    """Each stage: how it ended, and how long it worked."""
    return [
        {
            "run_id": summary.run_id,
            "stage": stage.stage,
            "status": stage.status,
            "seconds": stage.seconds,
            "reason": stage.reason,
        }
        for stage in summary.stages
    ]


def score_rows(summary: RunSummary) -> list[Row]:
    """Each model's figures by side when the run ended; `forward` is the serving model's score on reviews that arrived
    after its data.
    """
    models, champion = summary.trained_models, summary.champion
    rows = [
        _score_row(summary, kind, side, figures, model.model_version, model.dataset_version)
        for kind, model in models.items()
        for side in SIDES
        if (figures := model.on(side))
    ]
    if champion and (forward := champion.forward):
        kinds = {model.model_version: kind for kind, model in models.items()}
        kind = kinds.get(forward.model_version, champion.model)
        rows.append(_score_row(summary, kind, "forward", forward, forward.model_version, champion.dataset_version))
    return [row for row in rows if row["n"]]


def _score_row(  # one column each
    summary: RunSummary, kind: str, side: str, figures: Score, model_version: str, dataset_version: str | None
) -> Row:
    accuracy_low, accuracy_high = figures.accuracy_interval or (None, None)
    macro_f1_low, macro_f1_high = figures.macro_f1_interval or (None, None)
    return {
        "run_id": summary.run_id,
        "at": summary.ended,
        "kind": kind,
        "side": side,
        "model_version": model_version,
        "dataset_version": dataset_version,
        "n": figures.n,
        "accuracy": figures.accuracy,
        "accuracy_low": accuracy_low,
        "accuracy_high": accuracy_high,
        "macro_f1": figures.macro_f1,
        "macro_f1_low": macro_f1_low,
        "macro_f1_high": macro_f1_high,
        "champion": bool(summary.champion and model_version == summary.champion.model_version),
    }


def served_rows(entries: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The releases that served, newest first, from `at` to `until` (None for the live release).

    `entries` are those of the deployment log, newest first.
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
    """One verdict of the drift history."""
    copied = ("at", "of", "model_version", "drifted", "n")
    return {**{name: point[name] for name in copied}, "features": ", ".join(point["features"])}


def drift_rows(point: Mapping[str, Any]) -> list[Row]:
    """Each feature that the verdict compared."""
    copied = ("effect", "floor", "p", "drifted")
    return [
        {"at": point["at"], "of": point["of"], "feature": feature["name"], **{name: feature[name] for name in copied}}
        for feature in point["measured"]
    ]
