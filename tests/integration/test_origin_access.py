"""The user's origin: reached with the user's own ssh command and credentials, and never waited for without end."""

import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mlops_assets.settings import child_environment
from mlops_assets.versioning.git import history as git_history
from mlops_assets.versioning.git import origin
from mlops_assets.versioning.git.history import GitHistory
from mlops_assets.versioning.git.user_repository import NoRepository
from tests.user_clone import QUICK_DVC, UserClone, sh

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes every connection and says nothing."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in taken:
        connection.close()


def _talking_to(port: int) -> list[str]:
    found = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [command for command in found if f"127.0.0.1:{port}" in command]


@pytest.mark.parametrize("scheme", ["http", "git"])
def test_a_silent_origin_costs_a_bounded_time_and_leaves_no_process(
    scheme: str, silent_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.remote_url = str(tmp_path / "store")
    user.git("remote", "add", "origin", f"{scheme}://127.0.0.1:{silent_port}/x.git")
    monkeypatch.setattr(git_history, "_FETCH_S", 0.7)
    monkeypatch.setattr(origin, "_ANSWER_S", 0.8)
    monkeypatch.setattr(origin, "_ANSWER_TO_OLD_NEWS_S", 0.5)
    monkeypatch.setattr(origin, "_LOOK_S", 0.6)

    assert GitHistory(user.root).fetch("main").problem == "origin gave no answer in 0.7 s"
    new, idle = user.version_data(), user.version_data(run_id="run-2")

    assert (new.changed, new.origin) == (True, "not pushed: origin gave no answer in 0.8 s")
    assert (idle.changed, idle.origin) == (False, "not pushed: origin gave no answer in 0.5 s")
    repository = user.repository()
    repository.prepare()
    assert "gave no answer in 0.6 s" in (repository.look_at_origin() or "")
    assert _talking_to(silent_port) == []


@pytest.fixture
def ssh(tmp_path: Path) -> Path:
    """A stand-in for ssh: notes its arguments and its folder, and runs what the server would run, right here."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$PWD $*" >> {tmp_path}/called\nfor last; do :; done\n'
        f'case "$last" in git-*) cd {tmp_path} && exec sh -c "$last";; esac\n'
    )
    program.chmod(0o755)
    return program


ENVIRONMENT, REPOSITORY, EVERYWHERE = "GIT_SSH_COMMAND", "core.sshCommand", "the home folder"


@pytest.mark.parametrize("set_by", [(ENVIRONMENT, REPOSITORY), (REPOSITORY, EVERYWHERE), (EVERYWHERE,), ("GIT_SSH",)])
def test_the_users_ssh_command_is_used_by_the_sensor_and_for_the_push(
    set_by: tuple[str, ...], ssh: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = UserClone(tmp_path / "user", origin=True, dvc=QUICK_DVC)
    user.git("remote", "set-url", "origin", "git@host.invalid:origin.git")
    (user.root / "keys").mkdir()
    shutil.copy(ssh, user.root / "keys" / "ssh")
    for place in set_by:
        command = f"{'keys/ssh' if place == REPOSITORY else ssh} -i keys/{place.replace(' ', '-')}"
        if place == ENVIRONMENT:
            monkeypatch.setenv(place, command)
        elif place == REPOSITORY:
            user.git("config", place, command)
        elif place == EVERYWHERE:
            (home / ".gitconfig").write_text(f'[includeIf "gitdir:{user.root}/.git"]\n path = work\n')
            (home / "work").write_text(f"[core]\n sshCommand = {command}\n")
        else:
            monkeypatch.setenv(place, str(ssh))

    upstream = GitHistory(user.root).fetch("main")
    done = user.version_data()

    assert (upstream.problem, done.origin) == ("", "pushed")
    calls = (tmp_path / "called").read_text().splitlines()
    assert len(calls) >= 3  # the fetch, and before the push whether anybody is there
    for call in calls:
        assert call.startswith(f"{user.root} "), "relative paths begin at the top of the user's repository"
        if set_by != ("GIT_SSH",):
            assert f" -i keys/{set_by[0].replace(' ', '-')} " in call
            assert " -o BatchMode=yes " in call


def test_the_users_credentials_and_headers_from_every_place_go_with_the_push(tmp_path: Path, home: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    (home / ".gitconfig").write_text(
        "[credential]\n helper = store --file=mine\n[http]\n sslVerify\n extraHeader = A: 1\n extraHeader = B: 2\n"
        '[url "https://token@host.invalid/"]\n insteadOf = https://host.invalid/\n[core]\n autocrlf = true\n'
    )
    user.git("config", "credential.https://host.invalid.username", "robot")
    repository = user.repository()
    repository.prepare()
    git = repository.clone.user.on_the_way_to_origin(repository.clone.branch.git)

    listed = git.run("config", "--list").splitlines()

    wanted = [
        "credential.helper=store --file=mine",
        "http.sslverify=true",
        "http.extraheader=A: 1",
        "http.extraheader=B: 2",
    ]
    assert [line for line in listed if line in wanted] == wanted
    assert "credential.https://host.invalid.username=robot" in listed
    assert "http.lowspeedlimit=1" in listed
    assert "core.autocrlf=true" not in listed
    user.git("remote", "add", "origin", "https://host.invalid/x.git")
    assert repository.clone.user.origin(push=True) == "https://token@host.invalid/x.git"


@pytest.fixture
def of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git takes every repository for another user's, as its own tests have it do."""
    program = tmp_path / "other" / "git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {shutil.which("git")} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{child_environment()['PATH']}")


@pytest.mark.usefixtures("of_somebody_else")
@pytest.mark.parametrize("heeded", ["as git says", "in the environment"])
def test_a_repository_of_somebody_else_is_refused_with_gits_own_remedy_and_taken_after_it(
    heeded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = UserClone(tmp_path / "user", commits=0, dvc=QUICK_DVC)
    remedy = f"git config --global --add safe.directory {user.root}"

    place = GitHistory(user.root).position(["main"])
    with pytest.raises(NoRepository) as refused:
        user.version_data()

    assert f"\tgit config --global --add safe.directory {user.root}" in str(place)
    assert "no git repository" not in str(place)
    assert "detected dubious ownership in repository" in str(refused.value)
    assert remedy in str(refused.value)

    sh(tmp_path, *remedy.split())
    if heeded == "in the environment":
        (tmp_path / "home" / ".gitconfig").rename(tmp_path / "elsewhere")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "elsewhere"))
    sh(user.root, "git", "-c", f"safe.directory={user.root}", "commit", "-q", "--allow-empty", "-m", "start")
    assert GitHistory(user.root).position(["main"]).release == "main"
    assert user.version_data().changed
    assert user.version_models("w").changed
