"""Summaries as runs leave them, for tests of what is told."""

import json
from pathlib import Path
from typing import Any

from mlops_assets.reporting.run_summary import RunSummary

STAGE = {"stage": "raw_reviews", "status": "done", "reason": "120 new"}


def summary(run_id: str = "run-1", **changes: Any) -> RunSummary:
    stored = {
        "run_id": run_id,
        "job": "pipeline",
        "status": "SUCCESS",
        "trigger": "schedule every_six_hours",
        "ended": "2026-03-01T06:01:00+00:00",
        "link": f"http://127.0.0.1:3000/runs/{run_id}",
        "attempt_of": None,
        "stages": [STAGE],
        "failures": [],
        "checks": [],
        "reviews": {"new": 0, "changed": 0},
        "dataset_version": None,
        "deployed": None,
        "champion": None,
        "live": {"model_version": "m0", "url": "http://127.0.0.1:8080"},
        **changes,
    }
    return RunSummary.from_json(stored)


def write(folder: Path, *summaries: RunSummary) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for one in summaries:
        (folder / f"{one.run_id}.json").write_text(json.dumps(one.to_json()), encoding="utf-8")
    return folder


FAILED = {
    "status": "FAILURE",
    "stages": [{"stage": "versioned_dataset", "status": "failed", "reason": "the disk is full: free 2 GB"}],
}
DEPLOYED = {"deployed": {"model_version": "m1", "release": "r1", "url": "http://127.0.0.1:8080"}}
NEW = {"reviews": {"new": 120, "changed": 3}}
