"""When new commits start a run, and what the sensor says when they do not."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import CodeLocationOrigin, GrpcServerCodeLocationOrigin  # noqa: TID251  as a daemon sends it

from mlops_assets.assets import failing
from mlops_assets.automation.sensors.git_change import decide
from mlops_assets.definitions import build_definitions
from mlops_assets.failures import BadSetting, PermanentFailure, TransientFailure
from mlops_assets.versioning.git.history import GitHistory, Position, Upstream
from tests.unit.automation.runs import failing_with, nothing, run_of
from tests.user_clone import git, make_clone, settings_of

pytestmark = pytest.mark.slow

OLD, NEW = "a" * 40, "b" * 40
MAIN, NONE = Position("main", "main", NEW), Upstream()


@pytest.mark.parametrize(
    ("seen", "place", "upstream", "touched", "runs", "said"),
    [
        (None, Position("", None, None), NONE, [], False, "no git repository, and there is no commit yet"),
        (None, Position("main", "main", None), NONE, [], False, "there is no commit yet"),
        (OLD, Position("", None, None, "fatal: x"), NONE, [], False, "git does not read this repository: fatal: x"),
        (OLD, Position("feature", None, NEW), NONE, ["x"], False, "HEAD is on feature, and the release branches are"),
        (OLD, Position("detached", None, NEW), NONE, ["x"], False, "HEAD is detached, and the release branches are"),
        (None, MAIN, NONE, [], False, "watching main"),
        (NEW, MAIN, NONE, [], False, "still at"),
        (NEW, MAIN, Upstream(3), [], False, "; 3 commits wait at origin/main: git pull, or set GIT_FAST_FORWARD=1"),
        (NEW, MAIN, Upstream(problem="origin could not be fetched: x"), [], False, "; origin could not be fetched: x"),
        (OLD, MAIN, NONE, [], False, "nothing under"),
        (OLD, MAIN, NONE, ["params.yaml"], True, "params.yaml"),
        (OLD, Position("detached", "main", NEW), NONE, ["params.yaml"], True, "main moved"),
        (OLD, MAIN, NONE, list("abcde"), True, "and 2 more"),
    ],
)
def test_the_decision_and_its_reason(seen, place, upstream, touched, runs, said) -> None:
    decision = decide(seen, place, upstream, touched, ("main", "master"))
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


class FakeCodeLocation:
    """Stands for the webserver: counts, or says no."""

    def __init__(self, problem: str = "") -> None:
        self.problem = problem
        self.reloaded: list[str] = []

    def reload(self, name: str) -> None:
        self.reloaded.append(name)
        if self.problem:
            raise TransientFailure(self.problem)


def tick(
    clone: Path,
    instance: dg.DagsterInstance,
    cursor: str | None,
    location: object | None = None,
    origin: CodeLocationOrigin | None = None,
    **environ: str,
):
    definitions = build_definitions(settings_of(clone, **environ))
    with dg.SensorEvaluationContext(
        instance_ref=None,
        last_tick_completion_time=None,
        last_run_key=None,
        cursor=cursor,
        repository_name=None,
        repository_def=definitions.get_repository_def(),
        instance=instance,
        resources={
            "settings": definitions.resources["settings"],
            "git_history": GitHistory(clone),
            "review_source": definitions.resources["review_source"],
            "code_location": location or FakeCodeLocation(),
        },
        code_location_origin=origin,
    ) as context:
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


def commit(folder: Path, text: str, name: str = "dvc.yaml") -> str:
    (folder / name).write_text(f"# {text}\n", encoding="utf-8")
    git(folder, "add", name)
    git(folder, "commit", "-qm", text)
    return git(folder, "rev-parse", "HEAD")


def said(result) -> str:
    assert result.run_requests == []
    return result.skip_message or ""


@pytest.fixture
def colleague(clone: Path, tmp_path: Path) -> Path:
    """A second clone, which pushes to the origin of the first."""
    git(tmp_path, "clone", "-q", "--bare", str(clone), "origin.git")
    git(clone, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), "colleague")
    return tmp_path / "colleague"


def test_commits_at_origin_are_counted_and_left_there(clone: Path, colleague: Path) -> None:
    with dg.instance_for_test() as instance:
        before = git(clone, "rev-parse", "HEAD")
        cursor = tick(clone, instance, None).cursor
        for text in ("one", "two"):
            commit(colleague, text)
        git(colleague, "push", "-q")
        assert "2 commits wait at origin/main" in said(tick(clone, instance, cursor))
        assert git(clone, "rev-parse", "HEAD") == before


def test_a_fast_forward_loads_the_code_anew_and_the_next_tick_runs_once(clone: Path, colleague: Path) -> None:
    with dg.instance_for_test() as instance:
        cursor = tick(clone, instance, None).cursor
        theirs = commit(colleague, "one")
        git(colleague, "push", "-q")
        location = FakeCodeLocation()
        taken = tick(clone, instance, cursor, location, GIT_FAST_FORWARD="1")
        assert "took over 1 commits of origin/main and reloaded the code" in said(taken)
        assert (git(clone, "rev-parse", "HEAD"), location.reloaded) == (theirs, ["mlops_assets"])
        launched = tick(clone, instance, taken.cursor or cursor, location, GIT_FAST_FORWARD="1")
        assert len(launched.run_requests or []) == 1
        assert "still at" in said(tick(clone, instance, launched.cursor, location, GIT_FAST_FORWARD="1"))


def test_a_fast_forward_reloads_the_location_by_the_name_that_the_workspace_gives_it(
    clone: Path, colleague: Path
) -> None:
    """Dagster's chart calls the location as it calls its Kubernetes Service, whose name holds no underscore."""
    origin = GrpcServerCodeLocationOrigin(host="mlops-assets", port=3030, location_name="mlops-assets")
    with dg.instance_for_test() as instance:
        cursor = tick(clone, instance, None).cursor
        commit(colleague, "one")
        git(colleague, "push", "-q")
        location = FakeCodeLocation()
        tick(clone, instance, cursor, location, origin, GIT_FAST_FORWARD="1")
        assert location.reloaded == ["mlops-assets"]


def test_a_webserver_that_is_away_is_said_and_the_run_still_comes(clone: Path, colleague: Path) -> None:
    with dg.instance_for_test() as instance:
        cursor = tick(clone, instance, None).cursor
        commit(colleague, "one")
        git(colleague, "push", "-q")
        away = FakeCodeLocation("nobody answers")
        assert "but nobody answers" in said(tick(clone, instance, cursor, away, GIT_FAST_FORWARD="1"))
        assert len(tick(clone, instance, cursor, away, GIT_FAST_FORWARD="1").run_requests or []) == 1


def test_a_dirty_work_tree_is_never_fast_forwarded(clone: Path, colleague: Path) -> None:
    with dg.instance_for_test() as instance:
        cursor = tick(clone, instance, None).cursor
        before = git(clone, "rev-parse", "HEAD")
        commit(colleague, "one")
        git(colleague, "push", "-q")
        (clone / "params.yaml").write_text((clone / "params.yaml").read_text() + "# mine\n")
        assert "not taken over: the work tree is not clean" in said(tick(clone, instance, cursor, GIT_FAST_FORWARD="1"))
        assert git(clone, "rev-parse", "HEAD") == before


def test_a_commit_that_changes_a_lock_waits_for_the_image_where_runs_have_one(clone: Path, colleague: Path) -> None:
    with dg.instance_for_test() as instance:
        cursor = tick(clone, instance, None).cursor
        before = git(clone, "rev-parse", "HEAD")
        (colleague / "locks").mkdir()
        (colleague / "locks" / "pipeline.txt").write_text("another==1\n", encoding="utf-8")
        git(colleague, "add", "locks")
        git(colleague, "commit", "-qm", "lock")
        git(colleague, "push", "-q")
        waits = tick(clone, instance, cursor, GIT_FAST_FORWARD="1", SHARED_INSTANCE="1")
        assert "not taken over: they change locks/pipeline.txt" in said(waits)
        assert "git pull && make up" in said(waits)
        assert git(clone, "rev-parse", "HEAD") == before
        assert "took over 1 commits" in said(tick(clone, instance, cursor, GIT_FAST_FORWARD="1"))


def test_an_origin_that_cannot_be_reached_is_said_and_local_commits_still_run(clone: Path) -> None:
    with dg.instance_for_test() as instance:
        git(clone, "remote", "add", "origin", str(clone.parent / "gone.git"))
        first = tick(clone, instance, None)
        assert "origin could not be fetched" in said(first)
        commit(clone, "one")
        assert len(tick(clone, instance, first.cursor).run_requests or []) == 1


def test_a_forced_push_and_a_revert_run_once_each(clone: Path) -> None:
    with dg.instance_for_test() as instance:
        cursor = tick(clone, instance, None).cursor
        commit(clone, "one")
        cursor = tick(clone, instance, cursor).cursor
        git(clone, "reset", "-q", "--hard", "HEAD~1")
        commit(clone, "another one instead")
        git(clone, "reflog", "expire", "--expire=now", "--all")
        git(clone, "gc", "-q", "--prune=now")
        rewritten = tick(clone, instance, cursor)
        assert "is gone from the repository" in (rewritten.run_requests or [])[0].tags["mlops/trigger"]
        git(clone, "revert", "--no-edit", "HEAD")
        reverted = tick(clone, instance, rewritten.cursor)
        assert len(reverted.run_requests or []) == 1
        assert "still at" in said(tick(clone, instance, reverted.cursor))


def test_a_detached_head_counts_where_a_release_branch_contains_it(clone: Path) -> None:
    with dg.instance_for_test() as instance:
        cursor = tick(clone, instance, None).cursor
        commit(clone, "one")
        git(clone, "checkout", "-q", "--detach")
        assert len(tick(clone, instance, cursor).run_requests or []) == 1
        commit(clone, "on no branch")
        assert "HEAD is detached, and the release branches are main, master" in said(tick(clone, instance, cursor))


def test_another_branch_and_what_the_pipeline_commits_start_nothing(clone: Path) -> None:
    with dg.instance_for_test() as instance:
        cursor = tick(clone, instance, None).cursor
        git(clone, "checkout", "-q", "-b", "feature")
        commit(clone, "one")
        assert "HEAD is on feature" in said(tick(clone, instance, cursor))
        git(clone, "checkout", "-q", "main")
        (clone / "data").mkdir(exist_ok=True)
        (clone / "data" / "validated.dvc").write_text("outs: []\n")
        git(clone, "add", "-f", "data/validated.dvc")
        git(clone, "commit", "-qm", "merged the branch pipeline")
        assert "nothing under" in said(tick(clone, instance, cursor))


def test_the_pipelines_own_branch_cannot_be_watched(clone: Path) -> None:
    with pytest.raises(BadSetting, match="GIT_BRANCH must not name pipeline"):
        settings_of(clone, GIT_BRANCH="main,pipeline")


def requested(result) -> dg.RunRequest:
    [request] = result.run_requests
    return request


AWAY, WRONG = TransientFailure("the DVC remote did not answer"), PermanentFailure("rating is missing")


@pytest.mark.slow
def test_a_run_that_failed_for_now_is_retried_after_growing_waits_and_given_up_after_five(clone, monkeypatch) -> None:
    monkeypatch.setattr(failing, "RETRY_AFTER_S", 0)
    with dg.instance_for_test() as instance:
        now = datetime(2026, 3, 20, tzinfo=UTC)

        def look(cursor: str | None, after_minutes: float = 0):
            nonlocal now
            now += timedelta(minutes=after_minutes)
            return tick(clone, instance, cursor, NOW=now.isoformat())

        start = look(None).cursor
        head = commit(clone, "one")
        result = look(start)
        keys = []
        for number, wait in enumerate((10, 20, 40, 80, 160), 1):
            keys.append(requested(result).run_key)
            run_of(instance, requested(result), failing_with(AWAY))
            failed = look(result.cursor, 5)
            assert f"the DVC remote did not answer; retry {number} of 5 at" in said(failed)
            assert said(look(failed.cursor, wait - 1)) == said(failed)
            result = look(failed.cursor, 1)
            assert f"still at {head[:12]}; retry {number} of 5" in requested(result).tags["mlops/trigger"]
            assert "its run is not there" in said(look(result.cursor))
        run_of(instance, requested(result), failing_with(AWAY))
        given_up = look(result.cursor, 5)
        assert "the DVC remote did not answer; given up after 5 retries" in said(given_up)
        assert said(look(given_up.cursor, 1000)) == f"main is still at {head[:12]}"
        assert len({*keys, requested(result).run_key}) == 6


@pytest.mark.parametrize(
    ("work", "why"),
    [(nothing, "ended well"), (failing_with(WRONG), "failed, and a retry cannot help: versioned_dataset: rating is")],
)
def test_a_run_that_ended_well_or_for_good_handles_its_commit_and_says_so_once(clone, work, why) -> None:
    with dg.instance_for_test() as instance:
        start = tick(clone, instance, None).cursor
        head = commit(clone, "one")
        asked = tick(clone, instance, start)
        assert json.loads(asked.cursor or "")["head"] == json.loads(start or "")["head"]  # not handled yet
        run_of(instance, requested(asked), work)
        handled = tick(clone, instance, asked.cursor)
        assert why in said(handled)
        assert json.loads(handled.cursor or "") == {"head": head, "runs": 1}
        assert said(tick(clone, instance, handled.cursor)) == f"main is still at {head[:12]}"
        commit(clone, "two")
        assert requested(tick(clone, instance, handled.cursor)).run_key != requested(asked).run_key


@pytest.mark.slow
def test_a_newer_commit_takes_the_place_of_a_cause_that_waits_for_its_retry(clone, monkeypatch) -> None:
    monkeypatch.setattr(failing, "RETRY_AFTER_S", 0)
    with dg.instance_for_test() as instance:
        start = tick(clone, instance, None).cursor
        commit(clone, "one")
        asked = tick(clone, instance, start)
        run_of(instance, requested(asked), failing_with(AWAY))
        waiting = tick(clone, instance, asked.cursor)
        commit(clone, "a note", "notes.txt")
        assert "nothing under" in said(tick(clone, instance, waiting.cursor))
        assert "retry 1 of 5 at" in said(tick(clone, instance, waiting.cursor))
        newer = commit(clone, "two")
        again = tick(clone, instance, waiting.cursor)
        assert requested(again).run_key == f"2:{newer}"
        run_of(instance, requested(again), nothing)
        assert json.loads(tick(clone, instance, again.cursor).cursor or "") == {"head": newer, "runs": 2}


def test_a_retry_waits_while_head_is_on_another_branch(clone, monkeypatch) -> None:
    monkeypatch.setattr(failing, "RETRY_AFTER_S", 0)
    with dg.instance_for_test() as instance:
        start = tick(clone, instance, None).cursor
        commit(clone, "one")
        asked = tick(clone, instance, start)
        run_of(instance, requested(asked), failing_with(AWAY))
        waiting = tick(clone, instance, asked.cursor)
        later = (datetime.now(UTC) + timedelta(minutes=11)).isoformat()
        git(clone, "checkout", "-q", "-b", "feature")
        away = tick(clone, instance, waiting.cursor, NOW=later)
        assert "HEAD is on feature" in said(away)
        git(clone, "checkout", "-q", "main")
        assert requested(tick(clone, instance, away.cursor, NOW=later)).run_key.endswith(":retry-1")


def test_a_cursor_of_the_version_before_holds_a_head_that_is_handled(clone) -> None:
    with dg.instance_for_test() as instance:
        before = json.dumps({"head": git(clone, "rev-parse", "HEAD"), "runs": 7})
        assert "still at" in said(tick(clone, instance, before))
        head = commit(clone, "one")
        assert requested(tick(clone, instance, before)).run_key == f"8:{head}"
