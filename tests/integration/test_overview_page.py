"""The overview page: what the pipeline left and the server counted, readable, escaped, behind the key."""

import hashlib
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import expect
from starlette.testclient import TestClient

from mlops_assets.deploy.history import DeploymentLog, Entry
from mlops_assets.reviews.quality.validate import validate_months
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.serving.app import create_app
from mlops_assets.serving.options import ServerOptions
from mlops_assets.steps.refresh_dashboards import Dashboards
from mlops_assets.text import text_digest
from mlops_assets.training.champion import Decision, write_decision
from tests.browser import open_page
from tests.integration.clients import wait_until
from tests.unit.reporting.summaries import FAILED, STAGE, summary, write
from tests.unit.reviews.rows import frame, review
from tests.unit.serving.served import loaded, ready
from tests.user_clone import free_port, make_clone, settings_of

APP = "com.valar.pintu"
NOW = datetime(2026, 3, 4, 6, 1, tzinfo=UTC)
CHANGED = "lumayan 0"
COMPLAINT = "jelek <b>sekali</b>, tidak bisa masuk & error terus"


def scored(accuracy: float, n: int) -> dict[str, Any]:
    low, high = accuracy - 0.05, min(1.0, accuracy + 0.05)
    names = ("accuracy", "macro_f1")
    return {"n": n} | dict.fromkeys(names, accuracy) | {f"{name}_interval": [low, high] for name in names}


@pytest.fixture(scope="module")
def overview(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that four runs, one of them failed, and some reviews leave."""
    root = make_clone(tmp_path_factory.mktemp("user") / "clone")
    log = DeploymentLog(root / ".serving" / "deployments.sqlite")
    for number in range(4):
        ended = NOW - timedelta(hours=6 * (3 - number))
        kinds = {
            kind: {"model_version": f"{kind}-{number}", "dataset_version": f"data-{number}", "run_id": f"run-{number}"}
            | {"test": scored(start + 0.01 * number, 240), "newest": scored(start - 0.02, 90)}
            for kind, start in (("bert", 0.84), ("classic", 0.81))
        }
        champion = {**kinds["bert"], "model": "bert", "reason": "better", "forward": None}
        if number:
            champion["forward"] = {**scored(0.8, 41), "model_version": "bert-0"}
        more = FAILED if number == 2 else {"models": kinds, "champion": champion}
        stages = [{**STAGE, "seconds": 1.2}, {"stage": "bert_model", "status": "done", "reason": "data", "seconds": 88}]
        about = {"ended": ended.isoformat(), "duration_s": 95.0 + 20 * number, "stages": stages, **more}
        write(root / ".dagster" / "summaries", summary(f"run-{number}", **about))
        release = (f"release-{number}", f"bert-{number}", f"data-{number}")
        log.add(Entry(ended.isoformat(), "process", *release, f"run run-{number}", "live", ""))
    texts = [("bagus", 5), (COMPLAINT, 1), ("lumayan", 3), ("mantap sekali", 5), ("error lagi", 2), ("", 4)]
    rows = [
        review(
            f"r{month}-{place}-{copy}",
            app_id=APP,
            review_text=f"{text} {copy}" if text and text != COMPLAINT else text,
            rating=stars,
            app_version=f"3.{month}",
            review_date=f"2026-0{month}-0{place + 1}T12:00:00Z",
            scraped_at="2026-03-20T00:00:00Z",
        )
        for month in (1, 2, 3)
        for copy in range(month * 2)
        for place, (text, stars) in enumerate(texts)
    ]
    ReviewStore(root / "data" / "raw").upsert(APP, frame(*rows))
    validate_months(root / "data", APP, ["2026-01", "2026-02", "2026-03"])
    settings = settings_of(root, NOW=NOW.isoformat())
    examples = [
        {"text": text_digest(text), "from": "negative", "to": "positive"} for text in (CHANGED, "erased since then")
    ]
    changes = [{"from": "negative", "to": "positive", "n": 41}]
    compared = {"n": 2000, "said": "97.9 % are answered alike", "changes": changes, "examples": examples}
    settings.models.mkdir(exist_ok=True)
    write_decision(settings.models, Decision("bert-3", against="bert-2", comparison=compared))
    Dashboards.of(settings).refresh()
    return settings.service_folder / "shown" / "overview.json"


def test_the_content_shows_what_runs_left_and_what_the_server_counted_and_runs_no_markup(overview: Path) -> None:
    with TestClient(create_app(loaded, options=ServerOptions(overview_file=overview))) as client:
        ready(client)
        for _ in range(3):
            client.post("/predict", json={"text": "aaab"})
        client.post("/predict", json={"text": ""})
        shown = client.get("/overview/content").text
    for part in (
        "Labels: positive 100.0%, n = 3.",
        "<dt>Refused (4xx)</dt><dd>1</dd>",
        "versioned_dataset: the disk is full: free 2 GB",
        "bert bert-3 (champion)",
        "0.870 [0.820, 0.920]",
        "jelek &lt;b&gt;sekali&lt;/b&gt;, tidak bisa masuk &amp; error terus",
        "n = 41",
        "Before the switch: model bert-3 instead of bert-2",
        '<tr><td>negative</td><td>positive</td><td class="number">41</td></tr>',
        f"<tr><td>negative</td><td>positive</td><td>{CHANGED}</td></tr>",
    ):
        assert part in shown, part
    assert "<b>" not in shown
    assert "style=" not in shown  # the page's policy would refuse it


def test_where_keys_are_on_the_content_needs_one_and_the_empty_page_does_not(overview: Path) -> None:
    keys = {"reader": hashlib.sha256(b"k3y").hexdigest()}
    with TestClient(create_app(loaded, options=ServerOptions(overview_file=overview, api_keys=keys))) as client:
        assert client.get("/overview").status_code == 200
        assert client.get("/overview/content").status_code == 401
        assert "error terus" in client.get("/overview/content", headers={"Authorization": "Bearer k3y"}).text


@pytest.mark.parametrize("content", [None, "", "{", '{"format": 2}'], ids=["no file", "empty", "torn", "newer"])
def test_before_the_first_run_the_page_says_so_and_the_metrics_are_whole(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "overview.json"
    if content is not None:
        path.write_text(content)
    with TestClient(create_app(loaded, options=ServerOptions(overview_file=path))) as client:
        assert "The pipeline has written nothing" in client.get("/overview/content").text
        assert "http_requests_total" in client.get("/metrics").text


def test_the_metrics_show_how_the_pipeline_stands(overview: Path) -> None:
    with TestClient(create_app(loaded, options=ServerOptions(overview_file=overview))) as client:
        shown = client.get("/metrics").text
    assert "pipeline_interval_seconds 21600.0" in shown
    assert "pipeline_drift_sustained 0.0" in shown
    assert 'pipeline_runs{job="pipeline",outcome="failure"} 1.0' in shown
    last = re.search(r'pipeline_last_run_timestamp_seconds{job="pipeline",outcome="success"} (\S+)', shown)
    assert last is not None
    assert float(last[1]) == NOW.timestamp()


@pytest.fixture
def url(overview: Path) -> Iterator[str]:
    port = free_port()
    app = create_app(loaded, options=ServerOptions(overview_file=overview))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    assert wait_until(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.mark.long
def test_a_person_reads_it_in_a_browser_without_anything_from_elsewhere(url: str, tmp_path: Path) -> None:
    faults: list[str] = []
    asked: list[str] = []
    with open_page(width=1200) as page:
        page.on("console", lambda line: faults.append(line.text) if line.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.get_by_role("link", name="Overview").click()
        expect(page.get_by_role("heading", name="Inference")).to_be_visible()
        expect(page.locator("#content")).to_contain_text("tidak bisa masuk & error terus")
        assert page.locator("svg").count() >= 5
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.screenshot(path=tmp_path / "overview.png", full_page=True)
        page.set_viewport_size({"width": 400, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert faults == []
    assert [one for one in asked if not one.startswith(url) and not one.startswith("data:")] == []
