"""The Dagster UI in a real browser: the graph materialized, an option changed, months backfilled, the result read."""

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import dagster as dg
import psutil
import pytest
from playwright.sync_api import Page, expect

from mlops_assets.checks.reviews import VALIDATED, claim_result
from mlops_assets.cli.instance import open_instance
from mlops_assets.definitions import build_definitions
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from mlops_assets.reviews.quality.claims import Claim
from tests.browser import open_page
from tests.dagster_ui import DagsterUi
from tests.user_clone import free_port, make_clone, settings_of

pytestmark = pytest.mark.long
USER = psutil.Process().username()
NOW = "2026-03-15T00:00:00Z"
MONTHS = "[2025-12...2026-02]"
LOCATION = "/locations/mlops_assets"
RUNS = "{runsOrError{... on Runs{results{runId jobName status tags{key value}}}}}"


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterUi]:
    """The UI of a clone in which nothing ran yet; the tests below go on from each other."""
    root, port = make_clone(tmp_path_factory.mktemp("user") / "clone"), free_port()
    ui = DagsterUi(root, NOW=NOW, PORT=str(port))
    ui.start()
    yield ui
    ui.stop()
    Service(ProcessBackend(root / ".serving", port)).stop()


@pytest.fixture
def page(ui: DagsterUi) -> Iterator[Page]:
    with open_page(width=1500, height=1000) as page:
        yield page


def test_the_graph_is_materialized_from_its_job(ui: DagsterUi, page: Page) -> None:
    page.goto(f"{ui.url}{LOCATION}/jobs/pipeline")
    page.get_by_role("button", name="Materialize all").click()
    _choose_months(page)
    page.get_by_role("button", name="Launch backfill").click()
    expect(page.get_by_text("Created backfill")).to_be_visible()
    summary = _ended(ui, "pipeline")
    assert {row["stage"]: row["status"] for row in summary["stages"]} == dict.fromkeys(_assets(ui), "done")
    assert re.fullmatch(rf"backfill \w+ by {USER}", summary["trigger"])

    page.goto(f"{ui.url}/assets/deployed_image?view=overview")
    expect(page.get_by_text(f"model {summary['live']['model_version']} answers at").first).to_be_visible()
    page.goto(f"{ui.url}/assets/raw_reviews?view=partitions")
    expect(page.get_by_text("Materialized (3)")).to_be_visible()


def test_force_retrain_is_changed_in_the_launchpad(ui: DagsterUi, page: Page) -> None:
    page.goto(f"{ui.url}{LOCATION}/jobs/refresh_models/playground")
    partition = page.get_by_placeholder("Partition")
    partition.click()
    partition.fill("sample.app|2026-02")
    page.get_by_text("sample.app|2026-02", exact=True).first.click()
    line = page.locator(".CodeMirror-line").filter(has_text="force_retrain")
    line.get_by_text("false").dblclick()
    page.keyboard.type("true")
    expect(line).to_contain_text("true")
    expect(page.get_by_text("No errors")).to_be_visible()
    page.get_by_role("button", name="Launch Run").click()
    page.wait_for_url("**/runs/*")
    summary = _ended(ui, "refresh_models")
    reasons = {row["stage"]: (row["status"], row["reason"]) for row in summary["stages"]}
    assert reasons["bert_model"] == reasons["classic_model"] == ("done", "force_retrain is set")
    assert reasons["raw_reviews"] == ("skipped", "not part of this run")
    assert summary["trigger"] == f"by {USER}"

    expect(page.get_by_text("The run's summary").last).to_be_visible()
    page.get_by_text("[Show Markdown]").last.click()
    expect(page.get_by_text(f"Run {summary['run_id'][:8]}: succeeded")).to_be_visible()


def test_three_months_are_backfilled_from_the_page_of_an_asset(ui: DagsterUi, page: Page) -> None:
    page.goto(f"{ui.url}/assets/raw_reviews?view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    _choose_months(page)
    expect(page.get_by_text("3 partitions")).to_be_visible()
    page.get_by_role("button", name="Launch backfill").click()
    page.get_by_text("Created backfill").wait_for()
    summary = _ended(ui, "__ASSET_JOB")
    assert {name: summary["stages"][0][name] for name in ("stage", "status", "reason")} == {
        "stage": "raw_reviews", "status": "done", "reason": "0 new, 0 changed of source sample",
    }  # fmt: skip
    page.goto(f"{ui.url}/runs/{summary['run_id']}")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    page.goto(f"{ui.url}/assets/raw_reviews?view=partitions")
    expect(page.get_by_text("Materialized (3)")).to_be_visible()


def test_every_page_says_what_it_is_and_none_is_broken(ui: DagsterUi, page: Page, tmp_path: Path) -> None:
    """Each kind of page that a person can open, with what it says first; a screenshot of each is left."""
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(f"{page.url}: {error}"))
    definitions = build_definitions(settings_of(ui.root, NOW=NOW))
    described = {
        f"/assets/{one.key.to_user_string()}?view=overview": _words(one.description) for one in _specs(definitions)
    }
    for check in definitions.asset_checks or ():
        for spec in check.check_specs:
            address = f"/assets/{spec.asset_key.to_user_string()}?view=checks&checkDetail={spec.name}"
            described[address] = _words(spec.description)
    checks = {address.partition("&")[0]: address for address in described if "&" in address}
    described |= {f"{LOCATION}/jobs/{one.name}": _words(one.description) for one in definitions.jobs or ()}
    described |= {f"{LOCATION}/schedules/{one.name}": _words(one.description) for one in definitions.schedules or ()}
    described |= {f"{LOCATION}/sensors/{one.name}": _words(one.description) for one in definitions.sensors or ()}
    assert [address for address, words in described.items() if not words] == []
    for number, (address, words) in enumerate(described.items()):
        if "&" in address and address not in checks.values():
            continue  # one check of each asset: the others have the same page
        page.goto(f"{ui.url}{address}")
        expect(page.get_by_text(words).first, address).to_be_visible()
        page.screenshot(path=tmp_path / f"{number:02d}.png")
    assert broken == []
    assert len(described) > 30


def test_neither_another_site_nor_a_review_operates_the_ui(ui: DagsterUi, page: Page) -> None:
    mutation = 'mutation{setConcurrencyLimit(concurrencyKey:"attacked",limit:0)}'
    body = json.dumps(json.dumps({"query": mutation}))
    asked: list[str] = []

    class OtherSite(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(
                f"""<img src='{ui.url}/graphql?query={quote(mutation)}'><script>let ended = [];
                fetch('{ui.url}/graphql', {{method: 'POST', mode: 'no-cors', body: {body}}})
                  .finally(() => ended.push('POST'));
                let socket = new WebSocket('{ui.url.replace("http", "ws")}/graphql', 'graphql-ws');
                socket.onopen = () => ended.push('opened'); socket.onerror = () => ended.push('refused');
                </script>""".encode()
            )

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), OtherSite) as site:
        Thread(target=site.serve_forever, daemon=True).start()
        elsewhere = f"http://localhost:{site.server_port}"
        page.goto(f"{elsewhere}/page")
        page.wait_for_function("ended.length == 2")
        assert sorted(page.evaluate("ended")) == ["POST", "refused"]

        image = f"![]({elsewhere}/image.png) ![](/graphql?query={quote(mutation)})"
        review = f"{image} <img src={elsewhere}/html.png> https://x.example"
        result = claim_result(
            "imports_are_understood", Claim(passed=False, reason=review, rows=[{"text": review}]), stops=False
        )
        with open_instance(settings_of(ui.root, NOW=NOW)) as instance:
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    asset_key=VALIDATED,
                    check_name="imports_are_understood",
                    passed=False,
                    description=result.description,
                    metadata={**result.metadata, "unescaped": dg.MetadataValue.md(f"![]({elsewhere}/markdown.png)")},
                )
            )
        page.goto(f"{ui.url}/assets/validated_reviews?view=checks&checkDetail=imports_are_understood")
        for number, shown in enumerate([review, None]):
            page.get_by_text("[Show Markdown]").nth(number).click()
            if shown:
                expect(page.locator(".dagster-markdown td")).to_have_text(shown)
                expect(page.locator(".dagster-markdown td").locator("a, img")).to_have_count(0)
            page.wait_for_load_state("networkidle")
            page.keyboard.press("Escape")
        site.shutdown()
    assert [path for path in asked if path != "/favicon.ico"] == ["/page"]
    limits = ui.ask("{instance{concurrencyLimits{concurrencyKey}}}")["instance"]["concurrencyLimits"]
    assert "attacked" not in {limit["concurrencyKey"] for limit in limits}


def test_the_lineage_graph_shows_every_asset(ui: DagsterUi, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.url}/asset-groups")
    expect(page.get_by_text("training", exact=True).last).to_be_visible()
    page.mouse.click(1000, 700, button="right")
    page.get_by_role("menuitem", name="Expand all groups").click()
    for asset in _assets(ui):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()
    page.screenshot(path=tmp_path / "lineage.png")


def _choose_months(page: Page) -> None:
    """The sample's three months in the dialog that Dagster opens for partitioned assets."""
    months = page.get_by_placeholder("ex: 2016-01")
    months.wait_for()
    page.get_by_text("Select a partition or create one").click()
    page.locator("label").filter(has_text="sample.app").or_(
        page.get_by_role("menuitem", name="sample.app")
    ).first.click()
    page.keyboard.press("Escape")
    months.fill(MONTHS)
    page.keyboard.press("Tab")


def _ended(ui: DagsterUi, job: str) -> dict[str, Any]:
    """The summary of the job's newest run, once it stands in the run's events."""

    def summarised() -> str | None:
        runs = [one for one in ui.ask(RUNS)["runsOrError"]["results"] if one["jobName"] == job]
        assert not runs or runs[0]["status"] != "FAILURE", runs[0]
        return runs[0]["runId"] if runs and "mlops/summary" in {tag["key"] for tag in runs[0]["tags"]} else None

    run_id = ui.wait_for(summarised, f"the summary of {job}", within_s=900)
    return json.loads((ui.root / ".dagster" / "summaries" / f"{run_id}.json").read_text(encoding="utf-8"))


def _assets(ui: DagsterUi) -> list[str]:
    return [node["assetKey"]["path"][-1] for node in ui.ask("{assetNodes{assetKey{path}}}")["assetNodes"]]


def _specs(definitions: Any) -> list[Any]:
    return list(definitions.resolve_all_asset_specs())


def _words(description: str | None) -> re.Pattern[str] | str:
    """The first words of a description, as they stand on a page."""
    words = re.split(r"[`_*\n]", (description or "").strip())[0].split()[:6]
    return re.compile(r"\s+".join(map(re.escape, words))) if words else ""
