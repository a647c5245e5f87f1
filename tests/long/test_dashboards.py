"""Every panel of every dashboard has an answer: a real PostgreSQL and a real Prometheus, filled by real pipeline runs
and a real load. The panels are read from the JSON that Grafana gets, so that a new one is tested by itself.
"""

import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from mlops_assets.cli.run import run_pipeline
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from mlops_assets.reviews.labels.table import LabelTable
from mlops_assets.reviews.stored.months import files_below
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.reviews.stored.usable import read_usable
from mlops_assets.text import text_digest
from mlops_assets.trained_on import SAMPLE_APP
from tests.integration.clients import wait_until
from tests.integration.postgres_server import Postgres, running_postgres
from tests.repository import ROOT
from tests.unit.reviews.rows import frame, review
from tests.user_clone import free_port, make_clone, settings_of

pytestmark = pytest.mark.long

STACK = ROOT / "stack"
DASHBOARDS = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in STACK.glob("grafana/dashboards/*.json")
}
QUERIES = [
    pytest.param(target, id=f"{uid}: {panel['title']} {target['refId']}")
    for uid, dashboard in sorted(DASHBOARDS.items())
    for panel in dashboard["panels"]
    for target in panel.get("targets", [])
]
NOW = datetime.now(UTC)
SCRAPE_S = 1


@dataclass
class Monitoring:
    """What Grafana would ask."""

    postgres: Postgres
    prometheus: str
    apps: list[str]

    def rows(self, text: str) -> list[tuple[Any, ...]]:
        return self.postgres.rows(self._expanded(text))

    def samples(self, text: str) -> list[float]:
        """Every value of the last minutes that is a number."""
        end = datetime.now(UTC)
        expr = re.sub(r"\$__(rate_)?interval", f"{15 * SCRAPE_S}s", text)
        assert "$" not in expr, f"a macro that this test does not know: {expr}"
        asked = {"query": expr, "start": (end - timedelta(minutes=4)).timestamp(), "end": end.timestamp(), "step": "2"}
        answer = httpx.get(f"{self.prometheus}/api/v1/query_range", params=asked, timeout=60).json()
        assert answer["status"] == "success", answer
        values = [float(value) for series in answer["data"]["result"] for _, value in series["values"]]
        return [value for value in values if not math.isnan(value)]

    def _expanded(self, text: str) -> str:
        since, until = (f"'{at:%Y-%m-%dT%H:%M:%SZ}'" for at in (NOW - timedelta(days=3650), NOW + timedelta(days=1)))
        text = re.sub(r"\$__timeFilter\(([^()]+)\)", rf"\1 BETWEEN {since} AND {until}", text)
        text = text.replace("$__timeFrom()", since).replace("$__timeTo()", until)
        text = text.replace("$app", ", ".join(f"'{app}'" for app in self.apps))
        assert "$" not in text, f"a macro that this test does not know: {text}"
        return text


@pytest.fixture(scope="module")
def monitoring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    for program in ("prometheus", "prometheus-node-exporter"):
        if shutil.which(program) is None:
            said = f"no {program} on this machine: apt-get install {program}"
            if os.environ.get("REQUIRE_DOCKER") == "1":  # noqa: TID251  a promise about the tests, no setting
                pytest.fail(f"REQUIRE_DOCKER=1, but {said}")
            pytest.skip(said)
    folder = tmp_path_factory.mktemp("monitored")
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        root, port = make_clone(folder / "clone"), free_port()
        stack.callback(Service(ProcessBackend(root / ".serving", port)).stop)
        for at in (NOW - timedelta(days=45), NOW):
            _leave_unusable_reviews(root)
            settings = settings_of(root, NOW=at.isoformat(), PORT=str(port), **postgres.environment)
            assert run_pipeline(settings) == 0
            _label_every_text(root)
        prometheus = stack.enter_context(_prometheus(folder, port))
        _ask_for_a_while(f"http://127.0.0.1:{port}", postgres)
        apps = [app for (app,) in postgres.rows("SELECT DISTINCT app_id FROM facts.volumes")]
        yield Monitoring(postgres, prometheus, apps)


def _leave_unusable_reviews(root: Path) -> None:
    """Reviews for the quarantine, of which the sample has none."""
    texts = [review(f"broken-{number}", app_id=SAMPLE_APP, source="sample", review_text="") for number in range(3)]
    ReviewStore(root / "data" / "raw").upsert(SAMPLE_APP, frame(*texts))


def _label_every_text(root: Path) -> None:
    """Labels from a person who reads what the stars say."""
    reviews = read_usable(files_below(root / "data" / "validated")).drop_duplicates("review_text")
    answers = [
        (text_digest(text), "positive" if stars > 3 else "negative")
        for text, stars in zip(reviews["review_text"], reviews["rating"], strict=True)
    ]
    LabelTable(root / "data" / "labels").add_all(answers, "Ani", how="page", now=NOW - timedelta(days=40))


@contextmanager
def _prometheus(folder: Path, service_port: int) -> Iterator[str]:
    """Prometheus as in the stack, but for where its targets are and how often it asks; its address."""
    own, node = free_port(), free_port()
    config = yaml.safe_load((STACK / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"}
    config["rule_files"] = [str(STACK / "prometheus" / "rules" / "*.yml")]
    places = {"prometheus": own, "model-service": service_port, "node": node}
    # The door is the stack's alone, and no panel asks for it.
    config["scrape_configs"] = [job for job in config["scrape_configs"] if job["job_name"] != "door"]
    for job in config["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": [f"127.0.0.1:{places.pop(job['job_name'])}"]}]
    assert not places, f"prometheus.yml has no job {', '.join(places)}"
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    commands = (
        ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{node}"],
        [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{own}",
            "--web.route-prefix=/prometheus",
        ],
    )
    address = f"http://127.0.0.1:{own}/prometheus"
    with ExitStack() as stack:
        log = stack.enter_context((folder / "prometheus.log").open("w"))
        for command in commands:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
        assert wait_until(lambda: _targets_up(address) == {"prometheus", "model-service", "node"})
        yield address


def _targets_up(address: str) -> set[str]:
    try:
        found = httpx.get(f"{address}/api/v1/targets", timeout=60).json()["data"]["activeTargets"]
    except (httpx.HTTPError, ValueError):
        return set()
    return {one["labels"]["job"] for one in found if one["health"] == "up"}


def _ask_for_a_while(url: str, postgres: Postgres) -> None:
    """Several seconds of good requests, bad ones, and what the right answers were."""
    texts = ["bagus sekali, mantap", "jelek, error terus", "lumayan lah", "tidak bisa login", "aplikasi terbaik"]
    ids: list[str] = []

    def ask(number: int) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            for _ in range(12):
                answer = client.post("/predict", json={"text": texts[number % len(texts)]}).json()
                ids.append(answer["request_id"])
                client.post("/predict/batch", json={"texts": texts})
                client.post("/predict", json={"text": ""})
                client.get("/nothing-here")

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            list(pool.map(ask, range(4)))
    assert wait_until(lambda: postgres.rows("SELECT count(*) FROM predictions")[0][0] >= len(ids))
    for number, request_id in enumerate(ids[:20]):
        label = "positive" if number % 3 else "negative"
        assert (
            httpx.post(f"{url}/feedback", json={"request_id": request_id, "label": label}, timeout=60).status_code
            == 200
        )


@pytest.mark.parametrize("target", QUERIES)
def test_a_panel_has_an_answer(monitoring: Monitoring, target: dict[str, Any]) -> None:
    if "rawSql" in target:
        rows = monitoring.rows(target["rawSql"])
        assert rows, target["rawSql"]
        assert any(value is not None for value in rows[0])
    else:
        # A scrape or two may lie between the load and the query.
        assert wait_until(lambda: bool(monitoring.samples(target["expr"]))), target["expr"]


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_variables_and_annotations_have_an_answer(monitoring: Monitoring, uid: str) -> None:
    for variable in DASHBOARDS[uid]["templating"]["list"]:
        assert monitoring.rows(variable["query"])
    for annotation in DASHBOARDS[uid]["annotations"]["list"]:
        assert monitoring.rows(annotation["target"]["rawSql"])


def test_no_alert_fires_while_everything_is_well(monitoring: Monitoring) -> None:
    answer = httpx.get(f"{monitoring.prometheus}/api/v1/rules", timeout=60).json()["data"]["groups"]
    rules = [rule for group in answer for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    firing = {rule["name"] for rule in rules if rule.get("state") == "firing"}
    assert firing - {"DiskFillsUp"} == {"Watchdog"}, "the watchdog always fires, and the disk is this machine's"
