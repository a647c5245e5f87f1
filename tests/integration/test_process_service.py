"""The process target with real processes: it serves, changes hands under load, and refuses what is broken."""

import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from mlops_assets import artifact
from mlops_assets.artifact import Golden
from mlops_assets.deploy.kept_logs import kept_logs
from mlops_assets.deploy.process import backend
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.process.system import PortTaken, control_argument
from mlops_assets.deploy.release import build_release
from mlops_assets.deploy.rollout import DeploymentRefused, RolledBack
from mlops_assets.deploy.service import Service
from mlops_assets.deploy.service_client import NoAnswer
from mlops_assets.params.operations import Watching
from mlops_assets.serving.socket_file import unix_address
from tests.docker_engine import port_of
from tests.fakes.service import UNWATCHED, silent
from tests.fakes.tiny_model import TEXTS, seal, seal_tiny_model
from tests.integration.clients import Askers, Clients, answers_of, last_success, wait_until
from tests.integration.server_sources import FAILS_AT_TIMES, REFUSED_FOR, SLOW_AT_TIMES, server_with
from tests.repository import ROOT
from tests.service_cases import ServiceCases
from tests.user_clone import free_port

ENVIRONMENT = {"PATH": os.environ["PATH"]}  # noqa: TID251 - the test starts programs, settings do not


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("releases")
    for name, intercept in (("a", 0.0), ("b", 0.4), ("wrong", 0.0)):
        seal_tiny_model(folder / name, intercept=intercept)
    seal(folder / "wrong", [Golden(TEXTS[0], (0.99, 0.01))])
    built = {name: build_release(folder / name, folder / "built") for name in ("a", "b", "wrong")}
    for name, model, added in (
        ("fails at times", "b", FAILS_AT_TIMES),
        ("fails at times too", "a", FAILS_AT_TIMES),
        ("slow at times", "b", SLOW_AT_TIMES),
    ):
        package = server_with(folder / f"server-{name}", added, "prediction_routes.py")
        built[name] = build_release(folder / model, folder / "built", package=package)
    return built


@pytest.fixture
def service(tmp_path):
    # As deep as a real clone may lie: a socket's address holds only 108 bytes.
    service = Service(ProcessBackend(tmp_path / ("deep" * 30) / "state", free_port(), environment=ENVIRONMENT))
    yield service
    service.stop()


def processes(service):
    return list(ProcessBackend(service.folder, port_of(service)).processes())


def test_no_request_is_lost_while_the_port_changes_hands(service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    with Clients(port_of(service), answers_of(releases["a"], releases["b"])) as clients:
        for name in ("b", "a", "b"):
            deployment = service.deploy(releases[name], silent, watching=Watching(watch_s=0.3))
            assert deployment.changed
            assert service.live().release_version == releases[name].version
            clients.wait_for(releases[name].model_version)
    assert clients.failures == []
    assert len(processes(service)) == 1
    log = service.folder / "requests.jsonl"

    def logged():
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        return [line["status"] for line in lines if not line["probe"]]

    assert wait_until(lambda: len(logged()) >= sum(clients.asked.values()))
    assert logged() == [200] * sum(clients.asked.values())
    assert log.stat().st_mode & 0o777 == 0o600
    assert [log.stem.split("-")[0] for log in kept_logs(service.folder)] == [
        releases[name].version for name in ("a", "b", "a")
    ]


def test_a_log_is_followed_until_its_server_ends_and_stays_when_it_was_killed(service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    following = service.read_log("service", 1, follow=True)
    assert next(following).startswith("INFO:")
    os.kill(service.live().pid, signal.SIGTERM)
    assert any("Finished server process" in line for line in following)
    assert list(service.read_log("gateway", 10)) == []
    service.deploy(releases["b"], silent, watching=UNWATCHED)
    os.kill(service.live().pid, signal.SIGKILL)
    assert wait_until(lambda: service.live() is None)
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    newest, earlier = kept_logs(service.folder)
    assert (newest.stem.split("-")[0], earlier.stem.split("-")[0]) == (releases["b"].version, releases["a"].version)
    assert "Uvicorn running" in newest.read_text()


def test_a_model_that_answers_wrongly_is_refused_under_load_and_the_old_one_is_untouched(service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    before = service.live()
    refused = pytest.raises(DeploymentRefused, match=r"golden sentence 'bagus' is answered .* off")
    with Clients(port_of(service), answers_of(releases["a"], releases["b"])) as clients, refused as caught:
        service.deploy(releases["wrong"], silent, watching=UNWATCHED)
    assert clients.failures == []
    assert service.live() == before
    assert "Uvicorn running" in str(caught.value)
    assert [entry.outcome for entry in service.log.entries()] == ["refused", "live"]


@pytest.mark.parametrize("name", REFUSED_FOR)
def test_what_only_some_texts_of_clients_meet_is_rolled_back(service, releases, name):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    before = service.live()
    with Askers(port_of(service)) as askers:
        askers.wait_for(100)
        with pytest.raises(RolledBack, match=REFUSED_FOR[name]):
            # A busy machine makes the old one slow too: five times its time would be more than the new one's.
            service.deploy(releases[name], silent, watching=Watching(watch_s=60, slower_at_most=3))
    assert service.live() == before
    with Askers(port_of(service)) as askers:
        askers.wait_for(30)
    assert set(askers.statuses) == {200}
    assert [entry.outcome for entry in service.log.entries()] == ["rolled back", "live"]


def test_one_that_fails_as_often_as_the_old_one_stays(service, releases):
    service.deploy(releases["fails at times too"], silent, watching=UNWATCHED)
    with Askers(port_of(service)) as askers:
        askers.wait_for(100)
        # Judged by its errors alone: on a busy machine a good server is slow at times.
        service.deploy(releases["fails at times"], silent, watching=Watching(watch_s=3, always_fast_s=60))
        askers.wait_for(30)
    assert askers.statuses[500] > 0
    assert service.live().release_version == releases["fails at times"].version


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


def test_a_deployments_golden_probes_are_nobodys_predictions(tmp_path, releases):
    log, port = tmp_path / "log.sqlite", free_port()
    environment = {**ENVIRONMENT, "PREDICTION_LOG": str(log)}
    service = Service(ProcessBackend(tmp_path / "state", port, environment=environment))
    try:
        for name in ("a", "b"):
            service.deploy(releases[name], silent, watching=Watching(watch_s=0.5))
        address, forged = f"http://127.0.0.1:{port}/predict", {"X-Golden-Probe": "1"}
        answer = httpx.post(address, json={"text": TEXTS[0]}, headers=forged, timeout=60)
        asked = answer.json()["request_id"]
    finally:
        service.stop()
    with contextlib.closing(sqlite3.connect(log)) as connection:
        assert connection.execute("SELECT request_id FROM predictions").fetchall() == [(asked,)]


def test_changed_settings_reach_a_running_service_and_can_be_read_nowhere(service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    key, port = "c0rrect-horse", port_of(service)
    digest = hashlib.sha256(key.encode()).hexdigest()
    closed = Service(
        ProcessBackend(service.folder, port, environment={**ENVIRONMENT, "API_KEYS": f"d:{digest}"}, key=key)
    )
    assert closed.live().other_settings == "API_KEYS"
    assert closed.answers_without_key()
    with Clients(port, answers_of(releases["a"]), key=key) as clients:
        assert closed.deploy(releases["a"], silent, watching=UNWATCHED).changed
    assert clients.failures == []
    assert not closed.answers_without_key()
    assert closed.live().other_settings == ""
    assert not closed.deploy(releases["a"], silent, watching=UNWATCHED).changed
    assert digest not in (service.folder / "state.json").read_text()
    (service.folder / "settings.key").unlink()
    assert set(closed.live().other_settings.split(", ")) == {"API_KEYS", "HOST_ADDRESS", "PATH"}


def test_a_release_that_cannot_start_is_refused_with_its_traceback(service, releases, tmp_path):
    package = tmp_path / "package"
    source = Path(artifact.__file__).parent
    (package / "serving").mkdir(parents=True)
    for module in source.glob("*.py"):
        (package / module.name).write_bytes(module.read_bytes())
    (package / "serving" / "__init__.py").touch()
    (package / "serving" / "__main__.py").write_text("raise RuntimeError('no such thing')")
    broken = build_release(releases["a"].model, tmp_path / "built", package=package)
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    with pytest.raises(DeploymentRefused, match=r"(?s)ended before it was ready.*no such thing"):
        service.deploy(broken, silent)
    assert service.live().release_version == releases["a"].version


def test_a_port_held_by_a_foreign_process_is_named_with_its_holder(service, releases):
    held = f"socket.create_server(('127.0.0.1', {port_of(service)}))"
    script = f"import socket, time; held = {held}; print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        holder.stdout.readline()
        with pytest.raises(PortTaken, match=rf"port {port_of(service)} .* process {holder.pid} holds it: .*PORT="):
            service.deploy(releases["a"], silent)
        holder.kill()
    assert service.live() is None
    assert processes(service) == []


FULL_EXECUTOR = """
import threading
from concurrent.futures import ThreadPoolExecutor
_start, _stop, _stopping = ServedModel._start, ServedModel.stop, threading.Event()
async def _start_and_fill(self):
    await _start(self)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    loop.run_in_executor(None, _stopping.wait)
async def _empty_and_stop(self):
    _stopping.set()
    await _stop(self)
ServedModel._start, ServedModel.stop = _start_and_fill, _empty_and_stop
"""


def test_a_server_whose_threads_are_all_at_work_hands_the_port_on(service, releases, tmp_path):
    package = server_with(tmp_path / "server", FULL_EXECUTOR, "served_model.py")
    busy = build_release(releases["a"].model, tmp_path / "built", package=package)
    service.deploy(busy, silent, watching=UNWATCHED)
    with Clients(port_of(service), answers_of(releases["a"], releases["b"])) as clients:
        assert service.deploy(releases["b"], silent, watching=UNWATCHED).previous == busy.version
    assert clients.failures == []


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


class TestProcesses(ServiceCases):
    """Every case on real processes."""


def test_a_service_that_was_killed_is_replaced_and_stop_leaves_nothing(service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    os.kill(service.live().pid, signal.SIGKILL)
    assert wait_until(lambda: service.live() is None)
    assert service.deploy(releases["a"], silent, watching=UNWATCHED).changed
    assert service.live().release_version == releases["a"].version
    assert service.stop()
    assert service.live() is None
    assert not service.stop()


def test_another_port_moves_the_service_there(service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    moved = Service(ProcessBackend(service.folder, free_port(), environment=ENVIRONMENT))
    assert moved.live() is None
    moved.deploy(releases["a"], silent, watching=UNWATCHED)
    assert moved.live().url.endswith(str(port_of(moved)))
    assert service.live() is None
    assert len(processes(moved)) == 1


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


def test_the_server_holds_nothing_that_its_deployer_had_open(service, releases):
    """Such as the lock of a cron job that runs `flock`: the next one would wait for ever."""
    read, write = os.pipe()
    os.set_inheritable(write, True)  # as a shell hands its descriptors on
    try:
        service.deploy(releases["a"], silent, watching=UNWATCHED)
    finally:
        os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert select.select([pipe], [], [], 30)[0], "the server holds the other end"
        assert pipe.read() == b""


def test_idle_connections_beyond_the_limit_of_files_close_nobody_else_out(releases):
    """1,100 idle connections took every descriptor, and the log said nothing."""
    port = free_port()
    command = [sys.executable, "-m", "mlops_assets.serving", "--model", releases["a"].model, "--port", str(port)]
    command = ["sh", "-c", 'ulimit -n 200 && exec "$@"', "sh", *map(str, command)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert wait_until(lambda: answers_live(port), timeout_s=60)
        with contextlib.ExitStack() as idle:
            for _ in range(300):
                idle.enter_context(socket.create_connection(("127.0.0.1", port)))
            assert all(answers_live(port) for _ in range(3))
        server.terminate()
        _, log = server.communicate(timeout=120)
    assert "may open 200 files, so it takes 72 connections" in log
    assert log.count("more than 72 connections: the longest idle one was closed") == 1


def answers_live(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/live", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def test_two_deployments_at_once_follow_one_another(service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    outcomes: list[object] = []

    def deploy(name: str) -> None:
        outcomes.append(service.deploy(releases[name], silent, watching=Watching(watch_s=0.2)))

    threads = [threading.Thread(target=deploy, args=(name,)) for name in ("b", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.changed for outcome in outcomes) == [False, True]
    assert len(processes(service)) == 1


def test_the_server_sees_nothing_of_the_deployers_environment(service, releases, monkeypatch):
    monkeypatch.setenv("AUTHOR_KEY", "secret")
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    assert "AUTHOR_KEY" not in psutil.Process(service.live().pid).environ()


def test_the_service_shows_when_the_pipeline_last_succeeded(service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    assert last_success(httpx.get(f"{service.url}/metrics", timeout=60).text) is None
    shown = service.folder / "shown" / "last_success"
    shown.parent.mkdir()
    shown.write_text("1772330400\n")
    assert last_success(httpx.get(f"{service.url}/metrics", timeout=60).text) == 1772330400
