"""A stored summary is read as it was written, however old, and written back without a change."""

import json

import pytest
from pydantic import ValidationError

from mlops_assets.reporting.run_summary import RunSummary, read_summary, summary_paths
from tests.unit.reporting.summaries import FAILED, STAGE, summary, write

OLDEST = {
    "run_id": "run-1",
    "job": "pipeline",
    "status": "SUCCESS",
    "trigger": "by hand",
    "started": None,
    "ended": None,
    "source": "sample",
    "stages": [STAGE],
    "checks": [],
    "reviews": {"new": 1, "changed": None, "quarantined": None, "labelled": None},
    "models": {"bert": None, "classic": {"model_version": "m", "dataset_version": "d", "run_id": "r"}},
    "champion": None,
    "live": None,
}
NEWER = {**OLDEST, "key_of_a_later_version": [1], "stages": [{**STAGE, "seconds": 1.5, "attempts": 2}]}


@pytest.mark.parametrize("stored", [OLDEST, NEWER, summary(**FAILED).to_json()], ids=["oldest", "newer", "failed"])
def test_nothing_is_added_lost_or_moved(stored: dict) -> None:
    assert json.dumps(RunSummary.from_json(stored).to_json()) == json.dumps(stored)


def test_the_latest_run_is_not_listed_twice(tmp_path) -> None:
    folder = write(tmp_path / "summaries", summary("b"), summary("a"))
    (folder / "latest.json").write_text("{}")
    assert [read_summary(path).run_id for path in summary_paths(folder)] == ["a", "b"]


def test_a_summary_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        summary().status = "FAILURE"


@pytest.mark.parametrize(
    ("stages", "cause"), [([STAGE], "it ended after raw_reviews"), ([], "it ended before its first step")]
)
def test_a_stored_failure_without_a_cause_says_how_far_it_came(stages: list[dict], cause: str) -> None:
    assert summary(status="FAILURE", stages=stages).cause == f"{cause}, see the run"
