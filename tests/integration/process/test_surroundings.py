"""What a server is given, holds and writes: settings, descriptors, logs, figures."""

import contextlib
import hashlib
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys

import httpx
import psutil

from mlops_assets.deploy.kept_logs import kept_logs
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from mlops_assets.params.operations import Watching
from tests.docker_engine import port_of
from tests.fakes.service import UNWATCHED, silent
from tests.fakes.tiny_model import TEXTS
from tests.integration.clients import Clients, answers_of, last_success, wait_until
from tests.integration.process.place import ENVIRONMENT, answers_live
from tests.user_clone import free_port


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
        assert wait_until(lambda: answers_live(port))
        with contextlib.ExitStack() as idle:
            for _ in range(300):
                idle.enter_context(socket.create_connection(("127.0.0.1", port)))
            assert all(answers_live(port) for _ in range(3))
        server.terminate()
        _, log = server.communicate(timeout=120)
    assert "may open 200 files, so it takes 72 connections" in log
    assert log.count("more than 72 connections: the longest idle one was closed") == 1


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
