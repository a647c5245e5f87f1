"""Killed, locked out, damaged: a rerun ends where an undisturbed run ends, and nothing stale is left behind."""

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_assets.versioning.git.commands import LockHeld
from tests.user_clone import QUICK_DVC, REAL_DVC, UserClone, sh

PHASES = ["staged", "added", "pushed", "proven", "composed", "sent to origin", "sent to user"]
_DIE_AT = """
import os, signal, sys
from pathlib import Path
from tests.user_clone import UserClone
user = UserClone.__new__(UserClone)
user.root, user.dvc = Path(sys.argv[1]), Path(sys.argv[2])
user.months = {p.relative_to(user.root / "data/raw").as_posix(): p for p in (user.root / "data/raw").rglob("*.parquet")}
def at_phase(phase):
    if phase == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[4] == "data":
    user.version_data(user.repository(at_phase=at_phase), run_id="killed")
else:
    user.version_models("second", repository=user.repository(at_phase=at_phase), run_id="killed")
"""


pytestmark = pytest.mark.usefixtures("home")


def _killed(user: UserClone, phase: str, what: str = "data") -> None:
    command = [sys.executable, "-c", _DIE_AT, str(user.root), str(user.dvc), phase, what]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def _locks(folder: Path) -> list[Path]:
    return list((folder / ".git").rglob("*.lock"))


@pytest.mark.parametrize("phase", PHASES)
def test_killed_in_a_data_commit_a_rerun_ends_as_if_undisturbed(phase: str, tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", origin=True, dvc=QUICK_DVC)
    first = user.version_data()
    user.month("2026-02", b"february, corrected")
    user.month("2026-03", b"march")
    before = user.all_but_the_branch()
    _killed(user, phase)
    assert user.remote_holds_what_the_tip_names()
    again = user.version_data(run_id="run-2")
    assert user.all_but_the_branch() == before
    assert (
        user.git("log", "--first-parent", "--format=%H", f"{first.commit}..pipeline", "--not", "main") == again.commit
    )
    assert (
        user.git("rev-parse", "pipeline")
        == sh(tmp_path, "git", "--git-dir=origin.git", "rev-parse", "pipeline").strip()
    )
    assert user.remote_holds_what_the_tip_names()
    assert _locks(user.root) == _locks(user.clone) == []


_KILLS_ALL_THAT_PUSH = """#!{python}
import os, sys, psutil
if sys.argv[1] == "prepared" and "refs/heads/pipeline" in sys.stdin.read():
    push = psutil.Process(os.getsid(0))
    for process in [push.parent(), *push.children(recursive=True), push]:
        if process.pid != os.getpid():
            process.kill()
"""


def test_killed_with_the_branch_of_the_user_locked_a_rerun_frees_it(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.version_data()
    user.month("2026-03", b"march")
    before = user.all_but_the_branch()
    hook = user.write(".git/hooks/reference-transaction", _KILLS_ALL_THAT_PUSH.format(python=sys.executable))
    hook.chmod(0o755)
    _killed(user, "never")
    hook.unlink()
    assert _locks(user.root) == [user.root / ".git" / "refs" / "heads" / "pipeline.lock"]
    again = user.version_data(run_id="run-2")
    assert user.git("rev-parse", "pipeline") == again.commit
    assert user.remote_holds_what_the_tip_names()
    assert user.all_but_the_branch() == before
    assert _locks(user.root) == _locks(user.clone) == []


@pytest.mark.long
@pytest.mark.parametrize("phase", PHASES)
def test_killed_in_a_models_commit_with_real_dvc_a_rerun_ends_as_if_undisturbed(phase: str, tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", origin=True)
    user.version_data()
    user.version_models("first")
    _killed(user, phase, "models")
    again = user.version_models("second", run_id="run-2")
    assert user.git("rev-parse", "pipeline") == again.commit
    assert len(user.git("log", "--first-parent", "--format=%H", "main..pipeline").splitlines()) == 3
    assert user.remote_holds_the_tip()
    sh(user.clone, str(REAL_DVC), "checkout", "-q")
    assert (user.clone / "models/bert/weights.bin").read_text() == "bert second"


@pytest.mark.long
def test_killed_at_any_moment_a_rerun_ends_as_if_undisturbed(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", origin=True)
    for round_, delay_s in enumerate((0.3, 0.7, 1.1, 1.5, 1.9, 2.3, 2.7, 3.1)):
        user.month("2026-03", b"march %d" % round_)
        command = [sys.executable, "-c", _DIE_AT, str(user.root), str(user.dvc), "never", "data"]
        process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
        try:
            process.wait(delay_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        user.version_data(run_id=f"run-{round_}")
        assert user.remote_holds_the_tip()
    assert sh(user.clone, "git", "fsck", "--strict", "--no-dangling", "--no-progress") == ""


def _delete(user: UserClone) -> None:
    shutil.rmtree(user.clone)


def _make_it_a_file(user: UserClone) -> None:
    shutil.rmtree(user.clone)
    user.clone.write_text("not a folder")


def _lose_git(user: UserClone) -> None:
    shutil.rmtree(user.clone / ".git")


def _garble_index(user: UserClone) -> None:
    (user.clone / ".git" / "index").write_bytes(b"garbage")


def _garble_head(user: UserClone) -> None:
    (user.clone / ".git" / "HEAD").write_bytes(b"\0\0\0")


def _lose_objects(user: UserClone) -> None:
    shutil.rmtree(user.clone / ".git" / "objects")


def _garble_dvc(user: UserClone) -> None:
    for name in ("rwlock", "lock", "rwlock.lock"):
        (user.clone / ".dvc" / "tmp" / name).parent.mkdir(exist_ok=True)
        (user.clone / ".dvc" / "tmp" / name).write_bytes(b"{garbage")
    (user.clone / ".staged.json").write_bytes(b"{garbage")


DAMAGES = [_delete, _make_it_a_file, _lose_git, _garble_index, _garble_head, _lose_objects]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_a_damaged_clone_is_made_anew(damage: Callable[[UserClone], None], tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    first = user.version_data()
    damage(user)
    user.month("2026-03", b"march")
    before = user.all_but_the_branch()
    second = user.version_data(run_id="run-2")
    assert user.all_but_the_branch() == before
    assert user.git("rev-parse", "pipeline~1") == first.commit
    assert user.git("rev-parse", "pipeline") == second.commit
    assert user.remote_holds_what_the_tip_names()


@pytest.mark.long
def test_damaged_files_of_dvc_itself_are_made_anew(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user")
    user.version_data()
    _garble_dvc(user)
    user.month("2026-03", b"march")
    assert user.version_data(run_id="run-2").changed


@pytest.mark.parametrize("lock", ["index.lock", "HEAD.lock", "refs/heads/pipeline.lock", "config.lock"])
def test_a_lock_of_a_killed_git_is_removed_from_the_clone(lock: str, tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.version_data()
    (user.clone / ".git" / lock).touch()
    user.month("2026-03", b"march")
    assert user.version_data(run_id="run-2").changed
    assert _locks(user.clone) == []


def test_a_lock_on_the_users_branch_is_waited_for(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.version_data()
    user.month("2026-03", b"march")
    lock = user.root / ".git" / "refs" / "heads" / "pipeline.lock"
    lock.touch()
    release = threading.Timer(2.0, lock.unlink)
    release.start()
    done = user.version_data(run_id="run-2")
    release.join()
    assert user.git("rev-parse", "pipeline") == done.commit


def test_a_lock_on_the_users_branch_that_stays_is_named_and_nothing_changed(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    first = user.version_data()
    user.month("2026-03", b"march")
    lock = user.root / ".git" / "refs" / "heads" / "pipeline.lock"
    lock.touch()
    before = user.all_but_the_branch()
    with pytest.raises(LockHeld, match=r"refs/heads/pipeline\.lock"):
        user.version_data(user.repository(lock_wait_s=1.0), run_id="run-2")
    assert user.all_but_the_branch() == before
    lock.unlink()
    assert user.git("rev-parse", "pipeline") == first.commit


@pytest.mark.long
def test_a_dvc_that_runs_in_the_clone_is_waited_for(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user")
    user.version_data()
    user.month("2026-03", b"march")
    hold = "from zc.lockfile import LockFile; import sys; lock = LockFile(sys.argv[1]); print(1, flush=True); input()"
    command = [str(REAL_DVC.with_name("python")), "-c", hold, str(user.clone / ".dvc" / "tmp" / "lock")]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdin
    assert other.stdout
    with other, other.stdin, other.stdout:
        assert other.stdout.readline() == b"1\n"
        with pytest.raises(LockHeld, match="another DVC process"):
            user.version_data(user.repository(lock_wait_s=0.5), run_id="run-2")
        release = threading.Timer(2.0, other.kill)
        release.start()
        assert user.version_data(run_id="run-3").changed
        release.join()


def test_a_second_pipeline_process_waits_its_turn(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.version_data()
    holder = user.repository()
    with holder.locked(), pytest.raises(LockHeld, match="another pipeline process"):
        user.repository(lock_wait_s=0.3).prepare()
    user.repository(lock_wait_s=0.3).prepare()
