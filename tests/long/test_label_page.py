"""The pages for people in a real browser: one labels with the keyboard alone, and approves a release."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import expect
from starlette.routing import Route

from mlops_assets.cli.label.page import LabelPage, guarded
from mlops_assets.cli.label.release_page import ReleasePage
from mlops_assets.reviews.labels.queue import Queue, Waiting
from mlops_assets.reviews.labels.table import LabelTable
from mlops_assets.serving.overview_file import OVERVIEW, publish
from tests.browser import open_page
from tests.integration.clients import wait_until
from tests.unit.cli.label.test_release_page import Place
from tests.user_clone import free_port

pytestmark = pytest.mark.long

HOSTILE = "<img src=x onerror=\"document.title='taken over'\"> mantap"


@contextmanager
def served(labels: LabelPage, releases: Callable[[str], list[Route]] = lambda _: []) -> Iterator[str]:
    """The address of the pages."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    app = guarded(labels.app(further=releases("")), url, "")
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert wait_until(lambda: server.started)
        yield url
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    texts = [HOSTILE, "jelek sekali", "biasa"]
    drawn = [Waiting(f"d{n}", text, "com.example.app", "2026-11-01", "drawn") for n, text in enumerate(texts)]
    queue = Queue(drawn, [], {"d0", "d1", "d2"}, {"negative", "positive"}, wanted=100)
    with served(LabelPage(lambda: queue, LabelTable(tmp_path), lambda: datetime.now(UTC))) as url:
        yield url


def test_a_person_labels_with_the_keyboard_alone(url: str, tmp_path: Path) -> None:
    table = LabelTable(tmp_path)
    with open_page() as page:
        page.goto(url)
        expect(page.locator("#message")).to_contain_text("Write your name")
        expect(page.locator("#by")).to_be_focused()
        page.keyboard.type("Ani")
        page.keyboard.press("Enter")
        expect(page.locator("#review")).to_have_text(HOSTILE)
        page.keyboard.press("3")
        expect(page.locator("#review")).to_have_text("jelek sekali")
        page.keyboard.press("3")
        expect(page.locator("#review")).to_have_text("biasa")
        page.keyboard.press("u")
        expect(page.locator("#review")).to_have_text("jelek sekali")
        page.keyboard.press("1")
        expect(page.locator("#review")).to_have_text("biasa")
        expect(page.locator("#count")).to_have_text("2 of 100")
        page.keyboard.press("Space")
        expect(page.locator("#done")).to_be_visible()
        assert page.title() == "Label reviews"
        page.reload()
        expect(page.locator("#done")).to_be_visible()
    assert [(each.text, each.answer) for each in table.given()] == [
        ("d0", "positive"),
        ("d1", "positive"),
        ("d1", None),
        ("d1", "negative"),
        ("d2", "skip"),
    ]
    assert {each.by for each in table.given()} == {"Ani"}


def test_a_person_reads_what_a_release_changes_and_approves_it(tmp_path: Path) -> None:
    place = Place(tmp_path / "clone")
    changes = [{"from": "negative", "to": "positive", "n": 41}]
    examples = [{"text": HOSTILE, "from": "negative", "to": "positive"}]
    shown = {"said": "97.9 % alike", "changes": changes, "examples": examples, "model_version": place.model}
    publish(place.settings.service_folder, OVERVIEW, json.dumps({"format": 1, "models": {"comparison": shown}}))
    labels = LabelPage(lambda: None, LabelTable(tmp_path), lambda: datetime.now(UTC))
    with served(labels, ReleasePage(place.settings, place.service).routes) as url, open_page() as page:
        page.goto(f"{url}/release")
        expect(page.locator("#examples")).to_contain_text(HOSTILE)
        expect(page.locator("#about")).to_contain_text(place.release)
        page.get_by_label("Comment").fill("looks good")
        page.get_by_role("button", name="Approve").click()
        expect(page.locator("#message")).to_contain_text("a name must have")
        page.get_by_label("Your name").fill("Ani")
        page.get_by_role("button", name="Approve").click()
        expect(page.locator("#said")).to_contain_text(f"Release {place.release} is approved by Ani (page)")
        expect(page.locator("#release")).to_be_hidden()
        assert page.title() == "Approve a release"
    newest = place.service.log.entries()[0]
    assert (newest.outcome, newest.caused_by, newest.reason) == ("approved", "Ani (page)", "looks good")
