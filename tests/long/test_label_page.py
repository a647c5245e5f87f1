"""The page for labels in a real browser: a person labels with the keyboard alone."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import expect

from mlops_assets.cli.label.page import LabelPage, guarded
from mlops_assets.reviews.labels.queue import Queue, Waiting
from mlops_assets.reviews.labels.table import LabelTable
from tests.browser import open_page
from tests.integration.clients import wait_until
from tests.user_clone import free_port

pytestmark = pytest.mark.long

HOSTILE = "<img src=x onerror=\"document.title='taken over'\"> mantap"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    texts = [HOSTILE, "jelek sekali", "biasa"]
    drawn = [Waiting(f"d{n}", text, "com.example.app", "2026-11-01", "drawn") for n, text in enumerate(texts)]
    queue = Queue(drawn, [], {"d0", "d1", "d2"}, {"negative", "positive"}, wanted=100)
    page = LabelPage(lambda: queue, LabelTable(tmp_path), lambda: datetime.now(UTC))
    url = f"http://127.0.0.1:{(port := free_port())}"
    config = uvicorn.Config(guarded(page.app(), url, ""), host="127.0.0.1", port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert wait_until(lambda: server.started)
    yield url
    server.should_exit = True
    thread.join()


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
