"""A page in Debian's chromium; the tests of one without it are skipped."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect, sync_playwright

_WAITS_MS = 120_000
"""A busy machine needs more than the five seconds that `expect` waits."""


@contextmanager
def open_page(*, width: int = 900, height: int = 900) -> Iterator[Page]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    expect.set_options(timeout=_WAITS_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(_WAITS_MS)
        yield page
        browser.close()
