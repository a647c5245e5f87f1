"""A new release takes the port over under load, or is refused or rolled back while the old one serves."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mlops_assets import artifact
from mlops_assets.deploy.kept_logs import kept_logs
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.process.system import PortTaken
from mlops_assets.deploy.release import build_release
from mlops_assets.deploy.rollout import DeploymentRefused, RolledBack
from mlops_assets.deploy.service import Service
from mlops_assets.params.operations import Watching
from tests.docker_engine import port_of
from tests.fakes.service import UNWATCHED, silent
from tests.integration.clients import Askers, Clients, answers_of, wait_until
from tests.integration.process.place import ENVIRONMENT, processes
from tests.integration.server_sources import REFUSED_FOR, server_with
from tests.service_cases import ServiceCases
from tests.user_clone import free_port


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


class TestProcesses(ServiceCases):
    """Every case on real processes."""


def test_another_port_moves_the_service_there(service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    moved = Service(ProcessBackend(service.folder, free_port(), environment=ENVIRONMENT))
    assert moved.live() is None
    moved.deploy(releases["a"], silent, watching=UNWATCHED)
    assert moved.live().url.endswith(str(port_of(moved)))
    assert service.live() is None
    assert len(processes(moved)) == 1


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
