"""A server or a deployment that was killed, hangs or was moved: the next deployment brings the service to order."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from mlops_assets.deploy.process import backend
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.process.system import control_argument
from mlops_assets.deploy.service import Service
from mlops_assets.deploy.service_client import NoAnswer
from mlops_assets.serving.socket_file import unix_address
from tests.docker_engine import port_of
from tests.fakes.service import UNWATCHED, silent
from tests.integration.clients import Clients, answers_of, wait_until
from tests.integration.process.place import ENVIRONMENT, processes
from tests.repository import ROOT
from tests.user_clone import free_port


def test_a_service_whose_clone_was_renamed_goes_on_and_the_next_deployment_brings_it_to_the_new_place(
    releases, tmp_path
):
    port = free_port()
    service = Service(ProcessBackend(tmp_path / "clone" / "state", port, environment=ENVIRONMENT))
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    before = service.live()
    renamed = (tmp_path / "clone").rename(tmp_path / "renamed")
    service = Service(ProcessBackend(renamed / "state", port, environment=ENVIRONMENT))
    try:
        assert service.live() == replace(before, moved_from=str(tmp_path / "clone" / "state"))
        with Clients(port, answers_of(releases["a"])) as clients:
            assert service.deploy(releases["a"], silent, watching=UNWATCHED).changed
        assert clients.failures == []
        assert not psutil.pid_exists(before.pid)
        assert str(renamed) in " ".join(psutil.Process(service.live().pid).cmdline())
        assert not service.deploy(releases["a"], silent, watching=UNWATCHED).changed
    finally:
        service.stop()


def test_a_process_that_answers_its_clients_is_never_ended_as_if_it_hung(service, releases, monkeypatch):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    before = service.live()
    monkeypatch.setattr(backend, "_HELLO_S", 0.2)
    (process,) = processes(service)
    control = control_argument(process.pid)
    control.unlink()
    with socket.socket(socket.AF_UNIX) as never_answers, unix_address(control) as address:
        never_answers.bind(address)
        never_answers.listen()
        with pytest.raises(NoAnswer, match=rf"process {process.pid} serves port .* nothing was changed: .* make stop"):
            service.deploy(releases["b"], silent, watching=UNWATCHED)
    assert service.live() == before
    assert service.stop()
    assert service.live() is None


def test_a_process_that_hangs_is_replaced(service, releases, monkeypatch):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    hung = service.live().pid
    os.kill(hung, signal.SIGSTOP)
    with monkeypatch.context() as patched:
        for name in ("_HELLO_S", "_READY_S", "_STOP_S"):
            patched.setattr(backend, name, 0.3)
        assert service.deploy(releases["b"], silent, watching=UNWATCHED).changed
    assert not psutil.pid_exists(hung)
    assert service.live().release_version == releases["b"].version


def test_a_service_that_was_killed_is_replaced_and_stop_leaves_nothing(service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    os.kill(service.live().pid, signal.SIGKILL)
    assert wait_until(lambda: service.live() is None)
    assert service.deploy(releases["a"], silent, watching=UNWATCHED).changed
    assert service.live().release_version == releases["a"].version
    assert service.stop()
    assert service.live() is None
    assert not service.stop()


@pytest.mark.long
@pytest.mark.parametrize(
    "point",
    [
        "after ProcessBackend.sweep",
        "after ProcessBackend.start",
        "before ProcessBackend.switch",
        "before ProcessBackend._record",
        "after ProcessBackend._record",
        "after ProcessBackend.switch",
        "before ProcessBackend._end",
    ],
)
def test_a_deployment_killed_at_any_step_is_finished_by_the_next_one(service, releases, point):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    command = [sys.executable, "-m", "tests.integration.killed_deployment", "process", point]
    command += [service.folder, port_of(service), releases["b"].folder]
    with Clients(port_of(service), answers_of(releases["a"], releases["b"])) as clients:
        done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert f"killed {point}" in done.stdout
        service.deploy(releases["b"], silent, watching=UNWATCHED, caused_by="the next one")
    assert clients.failures == []
    assert service.live().release_version == releases["b"].version
    assert len(processes(service)) == 1
    newest = service.log.entries()[0]
    assert (newest.outcome, newest.release_version, newest.caused_by) == (
        "live",
        releases["b"].version,
        "the next one",
    )
