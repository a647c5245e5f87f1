"""When new commits start a run, and what the sensor says when they do not."""

from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.automation.git_change import decide
from mlops_assets.definitions import build_definitions
from mlops_assets.resources.git_history import GitHistory
from tests.user_clone import git, make_clone, settings_of

OLD, NEW = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("seen", "head", "branch", "touched", "runs", "said"),
    [
        (None, None, None, [], False, "set GIT_BRANCH"),
        (None, NEW, "main", [], False, "watching main"),
        (NEW, NEW, "main", [], False, "still at"),
        (OLD, NEW, "main", [], False, "nothing under"),
        (OLD, NEW, "main", ["params.yaml"], True, "params.yaml"),
        (OLD, NEW, "main", list("abcde"), True, "and 2 more"),
    ],
)
def test_the_decision_and_its_reason(seen, head, branch, touched, runs, said) -> None:
    decision = decide(seen, head, branch, touched)
    assert decision.run is runs
    assert said in decision.reason


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = make_clone(tmp_path / "clone")
    months = root / "data" / "raw" / "sample.app"
    months.mkdir(parents=True)
    (months / "2026-01.parquet").write_bytes(b"a month")
    (months / "2026-03.parquet").write_bytes(b"a month")
    return root


def tick(clone: Path, instance: dg.DagsterInstance, cursor: str | None):
    definitions = build_definitions(settings_of(clone))
    context = dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        definitions=definitions,
        resources={"git_history": GitHistory(clone), "review_source": definitions.resources["review_source"]},
    )
    return definitions.resolve_sensor_def("run_on_git_change").evaluate_tick(context)


def test_one_run_for_several_commits_that_touch_watched_files_and_none_for_others(clone: Path) -> None:
    with dg.instance_for_test() as instance:
        first = tick(clone, instance, None)
        assert first.run_requests == []
        (clone / "notes.txt").write_text("nothing that a model is made of", encoding="utf-8")
        git(clone, "add", "notes.txt")
        git(clone, "commit", "-qm", "notes")
        other = tick(clone, instance, first.cursor)
        assert other.run_requests == []
        assert "nothing under" in (other.skip_message or "")
        for text in ("one", "two"):
            (clone / "dvc.yaml").write_text(f"# {text}\n", encoding="utf-8")
            git(clone, "commit", "-qam", text)
        launched = tick(clone, instance, first.cursor)
        assert len(launched.run_requests or []) == 1
        request = (launched.run_requests or [])[0]
        assert request.tags["dagster/asset_partition_range_start"] == "sample.app|2026-01"
        assert request.tags["dagster/asset_partition_range_end"] == "sample.app|2026-03"
        again = tick(clone, instance, launched.cursor)
        assert again.run_requests == []
        assert "still at" in (again.skip_message or "")


def test_a_commit_that_was_reset_away_and_made_again_runs_again(clone: Path) -> None:
    with dg.instance_for_test() as instance:
        cursor = tick(clone, instance, None).cursor
        start = git(clone, "rev-parse", "HEAD")
        (clone / "dvc.yaml").write_text("# one\n", encoding="utf-8")
        git(clone, "commit", "-qam", "one")
        first = tick(clone, instance, cursor)
        git(clone, "reset", "-q", "--hard", start)
        second = tick(clone, instance, first.cursor)
        keys = [(one.run_requests or [])[0].run_key for one in (first, second)]
        assert len(set(keys)) == 2
