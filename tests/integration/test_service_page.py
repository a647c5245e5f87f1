"""The page at `/` in a real browser: a person pastes reviews and sees the answers; nothing comes from elsewhere."""

import os

import pytest
from playwright.sync_api import expect

from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.release import build_release
from mlops_assets.deploy.service import Service
from tests.browser import open_page
from tests.fakes.service import UNWATCHED
from tests.fakes.tiny_model import seal_tiny_model
from tests.user_clone import free_port

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    seal_tiny_model(folder / "model")
    environment = {"PATH": os.environ["PATH"]}  # noqa: TID251 - the test starts programs, settings do not
    service = Service(ProcessBackend(folder / "state", free_port(), environment=environment))
    service.deploy(build_release(folder / "model", folder / "releases"), lambda _line: None, watching=UNWATCHED)
    yield service
    service.stop()


@pytest.fixture
def page():
    with open_page() as page:
        yield page


def test_pasted_reviews_get_label_probability_and_the_words_that_drove_it(service, page, tmp_path):
    faults: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(service.url)
    page.get_by_label("Reviews").fill("aplikasi ini bagus sekali\n\nsering error <b>terus</b>")
    page.get_by_role("button", name="Classify").click()
    items = page.locator("#results li")
    expect(items).to_have_count(2)
    expect(items.nth(0)).to_contain_text("positive")
    expect(items.nth(0).locator("mark")).to_have_text(["bagus"])
    expect(items.nth(1)).to_contain_text("negative")
    expect(items.nth(1)).to_contain_text("<b>terus</b>")
    expect(page.locator("#model")).to_contain_text("100.0 % of 3 reviews")
    expect(page.locator("#model")).to_contain_text(service.live().model_version)
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert faults == []
    assert [url for url in asked if not url.startswith(service.url) and not url.startswith("data:")] == []


def test_a_refusal_is_shown_where_the_person_looks(service, page):
    page.goto(service.url)
    page.get_by_label("Reviews").fill("a" * 10_001)
    page.get_by_role("button", name="Classify").click()
    expect(page.get_by_role("status")).to_contain_text("text: must have at most 10000 characters")


def test_the_interface_is_described_and_tried_without_anything_from_elsewhere(service, page, tmp_path):
    faults: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{service.url}/docs")
    operation = page.locator("details", has=page.get_by_text("POST /predict", exact=True))
    operation.locator("summary").click()
    expect(operation).to_contain_text("422")
    operation.get_by_role("button", name="Try it").click()
    expect(operation.locator("pre")).to_contain_text("200 OK")
    expect(operation.locator("pre")).to_contain_text(service.live().model_version)
    page.screenshot(path=tmp_path / "docs.png", full_page=True)
    assert faults == []
    assert [url for url in asked if not url.startswith(service.url) and not url.startswith("data:")] == []
