"""One of two trainings fails: it leaves no scores, the run fails, and the other model is judged and serves."""

import json
from pathlib import Path

import httpx

from mlops_assets.cli.instance import open_instance
from mlops_assets.cli.run import run_pipeline
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from tests.user_clone import free_port, git, make_clone, settings_of

CLOCK = "2026-04-15T00:00:00Z"


def test_the_other_model_is_promoted_once_and_one_summary_joins_both_runs(tmp_path: Path) -> None:
    absent = tmp_path / "no-such-model"
    root, port = make_clone(tmp_path / "clone", bert={"base_model": str(absent)}), free_port()
    stale = root / "models" / "bert_metrics.json"
    stale.parent.mkdir()
    stale.write_text(json.dumps({"model_version": "earlier", "test": {"n": 9, "accuracy": 0.99}}))
    settings = settings_of(root, NOW=CLOCK, PORT=str(port))
    try:
        assert run_pipeline(settings) == 1
        health = httpx.get(f"http://127.0.0.1:{port}/health", timeout=60).json()
    finally:
        Service(ProcessBackend(root / ".serving", port)).stop()

    assert not stale.exists()
    assert not (root / "models" / "bert").exists()
    assert "models/bert_metrics.json" not in git(root, "ls-tree", "-r", "--name-only", "pipeline").splitlines()
    with open_instance(settings) as instance:
        jobs = [(run.job_name, run.status.value) for run in instance.get_runs()]
    assert sorted(jobs) == [("pipeline", "FAILURE"), ("promote", "SUCCESS")]

    (summary,) = (json.loads(path.read_text()) for path in (root / ".dagster" / "summaries").glob("[0-9a-f]*.json"))
    stages = {row["stage"]: (row["status"], row["reason"]) for row in summary["stages"]}
    assert stages["bert_model"][0] == "failed"
    assert f"bert.base_model '{absent}' is no folder: correct the path" in stages["bert_model"][1]
    assert all(
        stages[name][0] == "done" for name in ("classic_model", "champion_model", "serving_image", "deployed_image")
    )
    assert (summary["status"], summary["models"]["bert"]) == ("FAILURE", None)
    assert summary["outputs"]["bert_accuracy"] is None
    assert summary["promoted_by"]
    assert summary["champion"]["model"] == "classic"
    assert health["model_version"] == summary["champion"]["model_version"]
