"""DEPLOY_HOST before an engine is asked: the login, the lock, the files there, and connections that break."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_assets import outside
from mlops_assets.cli.status import print_service
from mlops_assets.deploy.docker.machine import EngineDown
from mlops_assets.deploy.docker.shown import show_there
from mlops_assets.deploy.docker.ssh_connection import HostAway
from mlops_assets.deploy.docker.ssh_machine import SshMachine, require_engine
from mlops_assets.failures import rerun_may_help
from mlops_assets.serving.overview_file import LAST_SUCCESS, OVERVIEW, SHOWN, publish
from mlops_assets.settings import Settings
from tests.integration.clients import wait_until
from tests.integration.ssh_host import running_host
from tests.repository import ROOT
from tests.user_clone import free_port


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    with (
        running_host(folder / "sshd", home=str(folder / "home of it")) as host,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("PATH", f"{host.bin}:{os.environ['PATH']}")  # noqa: TID251  for programs
        yield host


@pytest.fixture
def machine(host):
    return SshMachine(f"{host.address}/nobody/listens.sock")


def refusal(address: str) -> HostAway:
    with pytest.raises(HostAway, match="DEPLOY_HOST") as refused:
        require_engine(Settings.load({"DEPLOY_HOST": address}, ROOT))
    return refused.value


def test_an_unknown_host_key_is_refused_with_the_next_step(host):
    known = host.known_hosts.read_text()
    host.known_hosts.write_text("")
    try:
        error = refusal(host.address)
    finally:
        host.known_hosts.write_text(known)
    assert f"Host key verification failed: log in once by hand (ssh {host.address}), compare" in str(error)
    assert not rerun_may_help(error)


def test_a_refused_login_is_told_with_the_next_step(host):
    key = host.user_key.read_bytes()
    host.user_key.unlink()
    try:
        error = refusal(host.address)
    finally:
        host.user_key.touch(mode=0o600)
        host.user_key.write_bytes(key)
    assert "Permission denied (publickey" in str(error)
    assert "let this user log in with a key that asks no passphrase" in str(error)
    assert not rerun_may_help(error)


def test_a_host_that_is_away_may_be_back_later(host):
    error = refusal(f"ssh://somebody@127.0.0.1:{free_port()}")
    assert "Connection refused: check DEPLOY_HOST, and that ssh ssh://somebody@127.0.0.1" in str(error)
    assert rerun_may_help(error)


def test_the_status_says_that_the_host_is_away_and_not_that_nothing_serves(host, capsys):
    settings = Settings.load({"DEPLOY_HOST": f"ssh://somebody@127.0.0.1:{free_port()}"}, ROOT)
    assert not print_service(settings, outside.service(settings))
    assert "Live: not known: ssh://somebody@127.0.0.1" in capsys.readouterr().out


def test_a_host_without_an_engine_is_told_from_one_that_is_away(host):
    with pytest.raises(EngineDown, match=r"is reached, but no Docker engine answers there .*group docker"):
        require_engine(Settings.load({"DEPLOY_HOST": f"{host.address}/nobody/listens.sock"}, ROOT))


def test_files_there_are_replaced_whole_and_a_missing_one_is_none(machine):
    folder = machine.folder("mlops-1", Path("/here/gateway"))
    assert folder.path.endswith("/home of it/.mlops-assets/mlops-1/gateway")
    assert folder.read("live.json") is None
    folder.write("live.json", "blue\nä\n", mode=0o600)
    assert folder.read("live.json") == "blue\nä\n"
    assert Path(folder.path, "live.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in Path(folder.path).iterdir()] == ["live.json"]
    folder.remove("live.json")
    assert folder.read("live.json") is None


def test_after_a_break_the_next_question_takes_a_new_connection(host, machine):
    folder = machine.folder("mlops-2", Path("/here/gateway"))
    with machine.locked("mlops-2"):
        folder.write("a", "1")
        assert host.break_connections() > 0
        assert wait_until(lambda: machine.lost() != "")
        assert folder.read("a") == "1"
        assert machine.lost(), "whoever does the work is told at its end"
    with machine.locked("mlops-2"):
        assert not machine.lost()


def test_what_the_page_shows_is_brought_to_the_host_once_and_again_when_it_changed(host, tmp_path):
    settings = Settings.load({"DEPLOY_HOST": host.address, "PORT": "8123"}, ROOT).model_copy(update={"root": tmp_path})
    publish(settings.service_folder, OVERVIEW, "{}")
    show_there(settings)
    shown = SshMachine(host.address).folder("mlops-8123", Path(SHOWN))
    assert shown.read(OVERVIEW) == "{}"
    assert Path(shown.path).stat().st_mode & 0o777 == 0o755, "another user reads it in the container"
    assert Path(shown.path, OVERVIEW).stat().st_mode & 0o777 == 0o644
    away = host.bin / "ssh"
    away.rename(host.bin / "not-ssh")
    away.write_text("#!/bin/sh\nexit 255\n")
    away.chmod(0o755)
    try:
        show_there(settings)
        publish(settings.service_folder, LAST_SUCCESS, "1772330400\n")
        with pytest.raises(HostAway):
            show_there(settings)
    finally:
        (host.bin / "not-ssh").replace(away)
    show_there(settings)
    assert shown.read(LAST_SUCCESS) == "1772330400\n"


def test_of_two_deployers_one_waits_and_a_killed_one_keeps_nobody_out(host, machine):
    script = (
        "import sys\nfrom mlops_assets.deploy.docker.ssh_machine import SshMachine\n"
        "with SshMachine(sys.argv[1]).locked('mlops-3'):\n    print('locked', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, f"{host.address}/nobody/listens.sock"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        lock = Path(machine.folder("mlops-3", Path("x")).path).with_name("lock")
        assert subprocess.run(["flock", "-n", lock, "true"], check=False).returncode == 1
        other.kill()
    with machine.locked("mlops-3"):
        assert subprocess.run(["flock", "-n", lock, "true"], check=False).returncode == 1
    assert wait_until(lambda: subprocess.run(["flock", "-n", lock, "true"], check=False).returncode == 0)


def test_who_lost_the_lock_with_the_connection_touches_nothing_more(host, machine):
    folder = machine.folder("mlops-4", Path("/here/gateway"))
    with machine.locked("mlops-4"):
        folder.write("a", "1")
        lock = Path(folder.path).with_name("lock")
        other = subprocess.Popen(["flock", lock, "sh", "-c", "echo locked; exec cat"], stdin=-1, stdout=-1)
        try:
            host.break_connections()
            assert other.stdout.readline() == b"locked\n"
            assert wait_until(lambda: machine.lost() != "")
            for _ in range(2):
                with pytest.raises(HostAway, match="another deployment there began after the connection broke"):
                    folder.write("a", "2")
        finally:
            other.communicate()
    assert folder.read("a") == "1"
