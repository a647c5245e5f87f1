"""Alerts reach people: a real Prometheus and a real Alertmanager with the stack's own configuration, the receiver as
the stack runs it, the outbox, and a webhook that people read.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import yaml

from mlops_assets.reporting.notifier import Notifier
from mlops_assets.settings import Settings
from tests.integration.clients import wait_until
from tests.integration.receivers import Hooks
from tests.repository import ROOT
from tests.user_clone import free_port, make_clone, settings_of

pytestmark = pytest.mark.long

STACK = ROOT / "stack"
RESEND_S = 5
"""Alertmanager takes an alert for resolved after four of these: longer than a restart takes on a busy machine."""
SILENT_S = 10
"""The sign of life comes about once a second."""


class Service(BaseHTTPRequestHandler):
    """What Prometheus asks of the model service."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"http_requests_total 1\n")

    def log_message(self, *_: Any) -> None: ...


@dataclass
class Chain:
    """From the model service to a webhook, each part startable and killable by name."""

    folder: Path
    root: Path
    hooks: Hooks
    ports: dict[str, int] = field(
        default_factory=lambda: {name: free_port() for name in ("service", "prometheus", "alertmanager", "alerts")}
    )
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.notifier = Notifier.of(self.settings())

    def settings(self, **more: str) -> Settings:
        return settings_of(self.root, NOTIFY_URLS=f"json://127.0.0.1:{self.hooks.port}/x", **more)

    def configure(self) -> None:
        """The stack's files, but for addresses and for how long everything takes."""
        prometheus = read(STACK / "prometheus" / "prometheus.yml")
        prometheus["global"] = {"scrape_interval": "200ms", "evaluation_interval": "200ms"}
        prometheus["rule_files"] = [f"{self.folder}/rules/*.yml"]
        [alertmanager] = prometheus["alerting"]["alertmanagers"]
        assert alertmanager == {"static_configs": [{"targets": ["alertmanager:9093"]}]}
        alertmanager["static_configs"][0]["targets"] = [self.address("alertmanager")]
        [service] = [job for job in prometheus["scrape_configs"] if job["job_name"] == "model-service"]
        del service["dns_sd_configs"]
        service["static_configs"] = [{"targets": [self.address("service")]}]
        prometheus["scrape_configs"] = [service]
        write(self.folder / "prometheus.yml", prometheus)

        for path in (STACK / "prometheus" / "rules").glob("*.yml"):
            rules = read(path)
            for rule in (rule for group in rules["groups"] for rule in group["rules"]):
                if rule.get("alert") == "ServiceDown":
                    assert rule["for"] == "1m"
                    rule["for"] = "1s"
            write(self.folder / "rules" / path.name, rules)

        routing = read(STACK / "alertmanager" / "alertmanager.yml")
        [watchdog] = routing["route"]["routes"]
        routing["route"] |= {"group_wait": "100ms", "group_interval": "300ms"}
        watchdog |= {"group_interval": "300ms", "repeat_interval": "600ms"}
        for receiver in routing["receivers"]:
            [hook] = receiver["webhook_configs"]
            assert hook["url"] == "http://alerts:9095/"
            hook["url"] = f"http://{self.address('alerts')}/"
        write(self.folder / "alertmanager.yml", routing)

    def address(self, part: str) -> str:
        return f"127.0.0.1:{self.ports[part]}"

    def start(self, *parts: str) -> None:
        commands = {
            "prometheus": [
                "prometheus",
                f"--config.file={self.folder}/prometheus.yml",
                f"--storage.tsdb.path={self.folder}/tsdb",
                f"--web.listen-address={self.address('prometheus')}",
                f"--rules.alert.resend-delay={RESEND_S}s",
                *of_the_stack("prometheus", "--web.route-prefix=", "--web.external-url="),
            ],
            "alertmanager": [
                "prometheus-alertmanager",
                f"--config.file={self.folder}/alertmanager.yml",
                f"--storage.path={self.folder}/alertmanager",
                f"--web.listen-address={self.address('alertmanager')}",
                *of_the_stack("alertmanager", "--cluster.listen-address="),
            ],
            "alerts": [sys.executable, *of_the_stack("alerts", "-m", "mlops"), "--port", str(self.ports["alerts"])],
        }
        environment = {**os.environ, "PIPELINE_ROOT": str(self.root)}  # noqa: TID251  a container's
        for part in parts:
            with (self.folder / f"{part}.log").open("a") as log:
                self.running[part] = subprocess.Popen(commands[part], stdout=log, stderr=log, cwd=ROOT, env=environment)
        for part in parts:
            path = {"prometheus": "/prometheus/-/ready", "alertmanager": "/-/ready", "alerts": "/health"}[part]
            url = f"http://{self.address(part)}{path}"
            assert wait_until(partial(answers, url)), self.log(part)

    def kill(self, part: str) -> None:
        process = self.running.pop(part)
        process.kill()
        process.wait(30)

    def log(self, part: str) -> str:
        return (self.folder / f"{part}.log").read_text(encoding="utf-8")[-2000:]

    def told(self, *titles: str, timeout_s: float = 120) -> dict[str, Any]:
        """Deliver, as the daemon does, until people have these messages and no other; the last one."""

        def arrived() -> bool:
            self.notifier.deliver()
            return [body["title"] for body in self.hooks.bodies] == list(titles)

        logs = "\n".join(map(self.log, self.running))
        assert wait_until(arrived, timeout_s=timeout_s), f"{self.hooks.bodies}\n{logs}"
        return self.hooks.bodies[-1]


def of_the_stack(service: str, *starts: str) -> list[str]:
    """The arguments of a service in compose.yaml that begin like this."""
    command = read(ROOT / "compose.yaml")["services"][service]["command"]
    found = [part for part in command if part.startswith(starts)]
    assert len(found) == len(starts), command
    return [part.replace("${DOOR_URL:-https://localhost:8443}", "https://team.example") for part in found]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    for program in ("prometheus", "prometheus-alertmanager"):
        if shutil.which(program) is None:
            said = f"no {program} on this machine: apt-get install {program}"
            if os.environ.get("REQUIRE_DOCKER") == "1":  # noqa: TID251  a promise about the tests, no setting
                pytest.fail(f"REQUIRE_DOCKER=1, but {said}")
            pytest.skip(said)
    found = Chain(tmp_path, make_clone(tmp_path / "clone"), Hooks(free_port()))
    found.configure()
    with ExitStack() as stack:
        stack.enter_context(found.hooks.up())
        stack.callback(lambda: [found.kill(part) for part in list(found.running)])
        yield found


def test_an_alert_its_end_and_a_dead_prometheus_reach_people_once_through_restarts_of_every_part(chain: Chain) -> None:
    chain.start("alerts", "alertmanager", "prometheus")
    body = chain.told("Alert: ServiceDown")["message"]
    assert "ServiceDown (page), since 20" in body
    assert ": The model service does not answer.\n" in body
    assert "What to do: make status, then the log of its container; make rollback" in body
    assert "Apps: com.valar.pintu" in body
    assert "https://team.example/prometheus/alerts" in body

    for part in ("alerts", "alertmanager", "prometheus"):
        chain.kill(part)
        chain.start(part)
        assert wait_until(lambda: _fires(chain)), chain.log(part)
    chain.told("Alert: ServiceDown")

    with ThreadingHTTPServer(("127.0.0.1", chain.ports["service"]), Service) as service:
        Thread(target=service.serve_forever, daemon=True).start()
        body = chain.told("Alert: ServiceDown", "Resolved: ServiceDown")["message"]
        assert "ServiceDown (page) is over: it lasted from 20" in body

        # Not before: while the test restarts a part, it stays silent for as long as the machine is busy.
        chain.notifier = Notifier.of(chain.settings(SERVICE_NETWORK="as-in-the-stack"), silent_s=SILENT_S)
        chain.kill("prometheus")
        told = ["Alert: ServiceDown", "Resolved: ServiceDown", "Alert: AlertsDoNotArrive"]
        body = chain.told(*told)["message"]
        assert "stack/stack.sh ps shows which of prometheus, alertmanager and alerts is down" in body
        chain.start("prometheus")
        chain.told(*told, "Resolved: AlertsDoNotArrive")
        service.shutdown()


def _fires(chain: Chain) -> bool:
    found = httpx.get(f"http://{chain.address('alertmanager')}/api/v2/alerts", timeout=30).json()
    return "ServiceDown" in {alert["labels"]["alertname"] for alert in found}
