"""A real browser for pages: Debian's chromium, without a window."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DEADLINE_MS = 20_000


@contextmanager
def opened(width: int = 1440, height: int = 1000, scheme: Literal["light", "dark"] = "light") -> Iterator[Page]:
    """Open a page; skip where there is no browser, or fail where servers are required."""
    if not CHROMIUM.exists():
        if os.environ.get("TICKLOOP_TEST_REQUIRE_SERVERS") == "1":
            pytest.fail(f"{CHROMIUM} is not there; install Debian's chromium")
        pytest.skip(f"{CHROMIUM} is not there")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.set_default_timeout(DEADLINE_MS)
        yield page
        browser.close()
