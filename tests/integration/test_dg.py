"""Dagster's own command line `dg` knows the project from `[tool.dg]` of pyproject.toml."""

import json
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def dg(*arguments: str) -> str:
    environment = {"PATH": str(BIN), "DAGSTER_DISABLE_TELEMETRY": "1"}
    command = [str(BIN / "python"), str(BIN / "dg"), *arguments]
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dg_finds_the_definitions_in_order() -> None:
    assert "All definitions loaded successfully" in dg("check", "defs")


def test_dg_lists_what_the_definitions_hold() -> None:
    listed = json.loads(dg("list", "defs", "--json"))
    assert {asset["asset_key"] for asset in listed["assets"]} == {
        "raw_reviews",
        "validated_reviews",
        "versioned_dataset",
        "bert_model",
        "classic_model",
        "champion_model",
        "serving_image",
        "deployed_image",
        "predictions",
        "topics",
    }
    assert {"pipeline", "refresh_models", "promote"} <= {job["name"] for job in listed["jobs"]}
    assert {"every_six_hours", "prune_every_night", "digest_every_monday"} == {
        schedule["name"] for schedule in listed["schedules"]
    }
    assert "run_on_git_change" in {sensor["name"] for sensor in listed["sensors"]}
