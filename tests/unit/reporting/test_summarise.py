"""A summary made of a run's record, without Dagster: the reason of every stage, and what the run put live."""

from pathlib import Path
from typing import Any

import pytest

from mlops_assets.reporting.run_summary import CheckResult, RunSummary
from mlops_assets.reporting.summarise import ROLLBACK, RunRecord, StepEnd, summarise
from tests.user_clone import make_clone, settings_of

LIVE = {"model_version": "m1", "release_version": "r1", "dataset_version": "d1", "url": "http://127.0.0.1:8080"}


def summary_of(
    root: Path,
    live: dict[str, Any] | None = None,
    *,
    dagster_url: str = "",
    **changes: Any,
) -> RunSummary:
    record: dict[str, Any] = {
        "run_id": "run-1",
        "job": "pipeline",
        "status": "SUCCESS",
        "trigger": "by hand",
        "started": 1_780_000_000.0,
        "ended": 1_780_000_012.34,
        "steps": {},
        "metadata": {},
        "checks": (),
        **changes,
    }
    settings = settings_of(make_clone(root / "clone"), **({"DAGSTER_URL": dagster_url} if dagster_url else {}))
    return summarise(RunRecord(**record), settings, metrics={"bert": None}, champion=None, live=live)


FALSE_CHECK = CheckResult(check="reviews_match_schema", passed=False, severity="ERROR", reason="9 of 10 bad")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"checks": (FALSE_CHECK,)}, "the check reviews_match_schema failed"),
        ({"checks": (FALSE_CHECK.model_copy(update={"severity": "WARN"}),)}, "not part of this run"),
        ({"status": "CANCELED"}, "the run was cancelled"),
        ({"status": "FAILURE"}, "the run ended before it"),
        ({"status": "CANCELED", "stopped": "stopped by you (Ctrl-C)"}, "the run was stopped by you (Ctrl-C)"),
        ({"metadata": {"versioned_dataset": {"due": [{"stage": "bert_model", "reason": "as it was"}]}}}, "as it was"),
        ({"steps": {"bert_model": StepEnd("skipped")}, "metadata": {"versioned_dataset": {}}}, "nothing is due"),
    ],
)
def test_a_stage_that_did_not_run_says_why(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    stages = {row.stage: row for row in summary_of(tmp_path, **changes).stages}
    assert (stages["bert_model"].status, stages["bert_model"].reason) == ("skipped", reason)


@pytest.mark.parametrize(("stopped", "status"), [("stopped by you (Ctrl-C)", "stopped"), ("", "failed")])
def test_only_a_person_who_stops_the_run_stops_a_stage(tmp_path: Path, stopped: str, status: str) -> None:
    steps = {"raw_reviews": StepEnd("failed", "interrupted", interrupted=True, seconds=1.5)}
    stage = summary_of(tmp_path, steps=steps, stopped=stopped).stages[0]
    assert (stage.status, stage.reason, stage.seconds) == (status, stopped or "interrupted", 1.5)


def test_the_run_itself_failed_only_if_no_step_did(tmp_path: Path) -> None:
    steps = {"prune": StepEnd("failed", "no git"), "a_check": StepEnd("failed", "DagsterAssetCheckFailedError: false")}
    lost = summary_of(tmp_path / "lost", status="FAILURE", failure="the process is gone")
    assert [(row.step, row.reason) for row in lost.failures] == [("the run", "the process is gone")]
    failed = summary_of(tmp_path / "failed", status="FAILURE", failure="no git", steps=steps)
    assert [(row.step, row.reason) for row in failed.failures] == [("prune", "no git")]


@pytest.mark.parametrize(("status", "deployed"), [("SUCCESS", "m1"), ("FAILURE", None)])
def test_a_rollback_deploys_what_is_live_after_it_unless_it_failed(
    tmp_path: Path, status: str, deployed: str | None
) -> None:
    found = summary_of(tmp_path, LIVE, job=ROLLBACK, status=status).deployed
    assert (found and found.model_version) == deployed


def test_the_run_took_the_time_between_start_and_end(tmp_path: Path) -> None:
    summary = summary_of(tmp_path)
    assert (summary.duration_s, summary.started) == (12.3, "2026-05-28T20:26:40+00:00")
    assert summary_of(tmp_path / "other", started=None).duration_s is None


@pytest.mark.parametrize(
    ("url", "page"),
    [("https://team.example/dagster", "https://team.example/label/release"), ("http://127.0.0.1:3000", "")],
)
def test_a_release_that_waits_is_told_with_its_page_behind_the_door(tmp_path: Path, url: str, page: str) -> None:
    waits = {"release": "r2", "until": "2026-03-04 06:01 UTC", "asked": True}
    found = summary_of(tmp_path, metadata={"deployed_image": {"waits_for_approval": waits}}, dagster_url=url)
    assert found.waits_for_approval is not None
    assert found.waits_for_approval.model_dump() == {**waits, "page": page}
    assert summary_of(tmp_path / "other").waits_for_approval is None
