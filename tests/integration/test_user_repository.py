"""Whatever state the user's repository is in, versioning changes nothing of it but the branch `pipeline`.

Git is real here; DVC is the quick program whose likeness to the real one `test_versioning.py` asserts.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_assets.versioning.git.pipeline_commit import FILES
from mlops_assets.versioning.git.user_repository import BranchCheckedOut, NoRepository
from tests.user_clone import QUICK_DVC, UserClone, sh

pytestmark = pytest.mark.usefixtures("home")


def _dirty_and_staged(user: UserClone) -> None:
    user.write("code.py", "print('changed')\n")
    user.write("staged.py", "print('staged')\n")
    user.write("untracked.txt", "mine\n")
    user.git("add", "staged.py")
    os.utime(user.root / "params.yaml", (1, 1))  # git diff would refresh the index for this


def _rebase_in_progress(user: UserClone) -> None:
    user.git("checkout", "-q", "-b", "topic", "HEAD~1")
    user.write("code.py", "print('topic')\n")
    user.git("commit", "-q", "-am", "topic")
    user.git("rebase", "-q", "main", check=False)
    assert (user.root / ".git" / "rebase-merge").is_dir()


def _amended(user: UserClone) -> None:
    user.version_data()
    user.write("code.py", "print('amended')\n")
    user.git("commit", "-q", "-a", "--amend", "-m", "amended")


def _reset(user: UserClone) -> None:
    user.version_data()
    user.git("reset", "-q", "--hard", "HEAD~1")


def _detached(user: UserClone) -> None:
    user.git("checkout", "-q", "--detach", "HEAD~1")


def _own_hooks_and_signing(user: UserClone) -> None:
    hooks = Path.home() / "hooks"
    for name in ("pre-push", "post-checkout", "post-commit", "reference-transaction"):
        hook = hooks / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
    (Path.home() / ".gitconfig").write_text(
        f"[core]\n hooksPath = {hooks}\n autocrlf = true\n[commit]\n gpgsign = true\n[user]\n useConfigOnly = true\n"
    )


def _packed(user: UserClone) -> None:
    user.git("pack-refs", "--all")
    user.git("gc", "-q")


STATES = [_dirty_and_staged, _rebase_in_progress, _amended, _reset, _detached, _packed]


@pytest.mark.parametrize("bring_about", STATES, ids=lambda state: state.__name__.strip("_"))
def test_nothing_of_the_user_changes_but_the_branch(bring_about: Callable[[UserClone], None], tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    bring_about(user)
    user.month("2026-03", b"march")
    head, before = user.git("rev-parse", "HEAD"), user.all_but_the_branch()

    done = user.version_data(run_id="run-2")

    assert user.all_but_the_branch() == before
    assert done.changed
    assert user.git("rev-parse", "pipeline") == done.commit
    assert user.git("log", "-1", "--format=%P", "pipeline").split()[-1] == head
    assert _without_the_pipelines_files(user, "pipeline") == _without_the_pipelines_files(user, "HEAD")
    assert set(user.git("diff", "--name-only", "HEAD", "pipeline").splitlines()) <= set(FILES)


def test_the_users_hooks_and_signing_rules_do_not_reach_the_branch(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    _own_hooks_and_signing(user)
    (Path.home() / "hooks" / "reference-transaction").unlink()
    before = user.all_but_the_branch()
    assert user.version_data().changed
    assert user.all_but_the_branch() == before


def test_variables_of_the_caller_that_point_git_elsewhere_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "DVC_ROOT", "DVC_STAGE"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    before = user.all_but_the_branch()
    assert user.version_data().changed
    assert user.all_but_the_branch() == before
    assert not (tmp_path / "elsewhere").exists()


def test_a_dirty_tree_is_named_by_a_hash_of_its_difference(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    clean = user.version_data()
    _dirty_and_staged(user)
    user.month("2026-03", b"march")
    dirty = user.version_data()
    assert clean.code.dirty is None
    assert "Code-Dirty" not in user.git("log", "-1", "--format=%B", clean.commit)
    assert dirty.code.dirty
    message = user.git("log", "-1", "--format=%B", dirty.commit)
    assert f"Code: {user.git('rev-parse', 'HEAD')}" in message
    assert f"Code-Dirty: {dirty.code.dirty}" in message


def test_a_repository_without_a_commit_gets_its_first_version(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", commits=0, dvc=QUICK_DVC)
    before = user.all_but_the_branch()
    done = user.version_data()
    assert user.all_but_the_branch() == before
    assert set(user.git("ls-tree", "-r", "--name-only", "pipeline").splitlines()) <= set(FILES)
    assert done.code.commit is None
    assert user.version_data(run_id="run-2").changed is False


def test_a_shallow_clone_is_versioned_and_its_branch_reaches_origin(tmp_path: Path) -> None:
    first = UserClone(tmp_path / "first", origin=True)
    sh(tmp_path, "git", "clone", "-q", "--depth", "1", f"file://{tmp_path}/origin.git", "shallow")
    user = _adopt(tmp_path / "shallow", first)
    user.remote_url = first.remote_url
    before = user.all_but_the_branch()
    done = user.version_data()
    assert user.all_but_the_branch() == before
    assert done.origin == "pushed"
    assert sh(tmp_path, "git", "--git-dir=origin.git", "rev-parse", "pipeline").strip() == done.commit


def test_a_linked_work_tree_is_a_users_repository_too(tmp_path: Path) -> None:
    first = UserClone(tmp_path / "first")
    first.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    user = _adopt(tmp_path / "side", first)
    assert user.version_data().changed
    assert first.git("rev-parse", "pipeline") == user.git("rev-parse", "pipeline")


def test_the_branch_checked_out_by_the_user_is_refused_by_name(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.version_data()
    user.git("checkout", "-q", "pipeline")
    user.month("2026-03", b"march")
    before = user.git("rev-parse", "pipeline"), user.all_but_the_branch()
    with pytest.raises(BranchCheckedOut, match=f"checked out in {user.root}"):
        user.version_data()
    assert (user.git("rev-parse", "pipeline"), user.all_but_the_branch()) == before


def test_the_branch_checked_out_in_another_work_tree_is_refused_too(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.version_data()
    user.git("worktree", "add", "-q", str(tmp_path / "reading"), "pipeline")
    with pytest.raises(BranchCheckedOut, match="reading"):
        user.repository().prepare()


def test_a_folder_that_is_no_repository_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    sh(tmp_path, "git", "init", "-q")
    with pytest.raises(NoRepository, match="is no git repository"):
        UserClone.repository(_adopt(folder, None)).prepare()
    assert list(folder.iterdir()) == []


def test_an_output_that_the_user_tracks_is_refused_with_the_command(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.git("add", "--force", "data/raw")
    user.git("commit", "-q", "-m", "data in git")
    with pytest.raises(Exception, match="git rm -r --cached data/raw"):
        user.version_data()
    assert user.git("branch", "--list", "pipeline") == ""


def _adopt(root: Path, other: UserClone | None) -> UserClone:
    user = object.__new__(UserClone)
    user.root, user.dvc = root, QUICK_DVC
    user.months = dict(other.months) if other else {}
    return user


def _without_the_pipelines_files(user: UserClone, commit: str) -> list[str]:
    lines = user.git("ls-tree", "-r", commit).splitlines()
    return [line for line in lines if line.split("\t")[1] not in FILES]
