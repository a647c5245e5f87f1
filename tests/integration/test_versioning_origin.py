"""The branch and the user's origin: raced, diverged, refusing, unreachable."""

from pathlib import Path

import pytest

from mlops_assets.versioning.git.pipeline_commit import parse_trailers
from tests.user_clone import QUICK_DVC, UserClone, sh

pytestmark = pytest.mark.usefixtures("home")


def _two_machines(tmp_path: Path) -> tuple[UserClone, UserClone]:
    """Two clones of one origin that use one remote and have both seen the same first version."""
    first = UserClone(tmp_path / "first", origin=True, dvc=QUICK_DVC)
    first.version_data()
    return first, UserClone.of_origin(tmp_path / "second", remote_url=first.remote_url)


def _tip_of_origin(tmp_path: Path) -> str:
    return sh(tmp_path, "git", "--git-dir=origin.git", "rev-parse", "pipeline").strip()


def test_a_commit_that_lost_the_race_is_composed_again_on_top(tmp_path: Path) -> None:
    first, second = _two_machines(tmp_path)
    other = second.repository()
    other.prepare()
    second.month("2026-03", b"march")
    other.stage_data(second.months, second.months)

    winner = first.version_models("w", run_id="winner")
    loser = other.commit_data("loser", "Data of the loser")

    assert loser.origin == "pushed"
    assert _tip_of_origin(tmp_path) == loser.commit == second.git("rev-parse", "pipeline")
    assert second.git("rev-parse", "pipeline~1") == winner.commit
    assert second.git("show", "pipeline:models/bert.dvc") == first.git("show", "pipeline:models/bert.dvc")


def test_a_race_during_the_push_itself_is_won_in_the_second_try(tmp_path: Path) -> None:
    first, second = _two_machines(tmp_path)
    raced: list[str] = []

    def at_phase(phase: str) -> None:
        if phase == "composed" and not raced:
            raced.append(first.version_models("w", run_id="winner").commit)

    second.month("2026-03", b"march")
    done = second.version_data(second.repository(at_phase=at_phase), run_id="loser")
    assert second.git("rev-parse", "pipeline~1") == raced[0]
    assert _tip_of_origin(tmp_path) == done.commit


def test_a_branch_that_went_another_way_is_joined_and_nothing_published_goes(tmp_path: Path) -> None:
    first, second = _two_machines(tmp_path)
    second.version_data()
    second.git("remote", "rename", "origin", "later")
    second.month("2026-03", b"march here")
    offline = second.version_data(run_id="offline")
    second.git("remote", "rename", "later", "origin")
    first.month("2026-03", b"march there")
    there = first.version_data(run_id="there")
    second.month("2026-04", b"april")
    before = second.all_but_the_branch()
    joined = second.version_data(run_id="joined")
    assert second.all_but_the_branch() == before
    assert joined.origin == "pushed"
    assert _tip_of_origin(tmp_path) == second.git("rev-parse", "pipeline") == joined.commit
    head = second.git("rev-parse", "HEAD")
    assert second.git("log", "-1", "--format=%P", "pipeline").split() == [there.commit, offline.commit, head]
    assert parse_trailers(second.git("log", "-1", "--format=%B", "pipeline"))["Joins"] == offline.commit
    shown = [version.run_id for version in second.repository().versions()]
    assert shown[0] == "joined"
    assert sorted(shown) == ["joined", "offline", "run-1", "there"]
    again = second.version_data(run_id="again")
    assert (again.changed, again.commit) == (False, joined.commit)


def test_an_origin_that_refuses_is_reported_and_gets_the_commits_when_it_takes_them(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", origin=True, dvc=QUICK_DVC)
    hook = tmp_path / "origin.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    before = user.all_but_the_branch()
    done = user.version_data()
    assert done.origin.startswith("not pushed: [remote rejected]")
    assert user.all_but_the_branch() == before
    assert user.git("rev-parse", "pipeline") == done.commit
    hook.unlink()
    again = user.version_data(run_id="run-2")
    assert (again.changed, again.origin) == (False, "pushed")
    assert _tip_of_origin(tmp_path) == done.commit


def test_an_origin_out_of_reach_is_reported_without_the_password_in_its_url(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.remote_url = str(tmp_path / "store")
    user.git("remote", "add", "origin", "https://robot:hunter2@127.0.0.1:9/gone.git")
    done = user.version_data()
    assert done.origin.startswith("not pushed: ")
    assert "hunter2" not in done.origin


def test_a_clone_of_one_branch_continues_what_origin_has(tmp_path: Path) -> None:
    first, _ = _two_machines(tmp_path)
    sh(tmp_path, "git", "clone", "-q", "--single-branch", "origin.git", "single")
    single = UserClone.__new__(UserClone)
    single.root, single.dvc, single.months = tmp_path / "single", QUICK_DVC, {}
    single.remote_url = first.remote_url
    single.month("2026-05", b"may")
    done = single.version_data(run_id="single")
    assert single.git("rev-parse", f"{done.commit}~1") == first.git("rev-parse", "pipeline")
