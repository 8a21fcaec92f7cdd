"""The dashboard in a real browser: what its script does cannot be seen from Python."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, WebSocket, expect

from browsing import DEADLINE_MS, opened
from dashboard_api import SeededApi, listening

pytestmark = pytest.mark.server

CHART = ".tickloop-chart"

SERVE = """
import asyncio, signal, sys
from tickloop.entrypoints.dashboard.client import ApiClient
from tickloop.entrypoints.dashboard.run import serve_dashboard

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client, port = ApiClient(sys.argv[1]), int(sys.argv[2])
    await serve_dashboard(client, "127.0.0.1", port, lambda url: print(url, flush=True), stop)

asyncio.run(main())
"""


@pytest.fixture
def api() -> SeededApi:
    return SeededApi(240)


@pytest.fixture
def served(api: SeededApi) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The dashboard as a process, and the address that it says it is ready at."""
    with listening(api) as url:
        command = [sys.executable, "-c", SERVE, url, "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield process, process.stdout.readline().strip()
            finally:
                process.kill()


@pytest.fixture
def page() -> Iterator[Page]:
    with opened() as page:
        yield page


class Witness:
    """Keeps what must not happen in a page, and the size of what the server sent."""

    def __init__(self, page: Page, home: str) -> None:
        self.errors: list[str] = []
        self.outside: list[str] = []
        self.received: list[int] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: self._saw(asked.url, home))
        page.on("websocket", self._listen)

    def _saw(self, url: str, home: str) -> None:
        if not url.startswith((f"{home}/", "blob:", "data:")):
            self.outside.append(url)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: self.received.append(len(frame)))


def until(page: Page, name: str, value: object) -> None:
    """Wait until the chart tells a value of itself."""
    expect(page.locator(CHART)).to_have_attribute(f"data-{name}", str(value), timeout=DEADLINE_MS)


def figure(page: Page, name: str) -> int:
    return int(page.locator(CHART).get_attribute(f"data-{name}") or 0)


def test_chart_follows_the_market_without_being_built_again(
    served: tuple[subprocess.Popen[str], str], api: SeededApi, page: Page
) -> None:
    """Candles, forecasts and marks arrive; a trade and a new minute move the last bar; the library comes once."""
    _, home = served
    witness = Witness(page, home)

    page.goto(home)
    until(page, "bars", 180)

    assert page.locator(f"{CHART} canvas").count() > 0
    assert (figure(page, "forecasts"), figure(page, "marks")) == (180, 21)
    sets, updates, received = figure(page, "sets"), figure(page, "updates"), len(witness.received)
    page.evaluate("document.querySelector('.tickloop-chart canvas').dataset.mine = 'yes'")
    api.trade("KRW-BTC", 55_912_000.0)
    until(page, "last", 55_912_000)
    api.close_minute()
    until(page, "last", int(api.price("KRW-BTC")))
    assert figure(page, "sets") == sets == 4  # candles, volume, actual, forecast: each once
    assert figure(page, "updates") > updates
    assert page.locator(f"{CHART} canvas[data-mine=yes]").count() == 1
    assert max(witness.received[received:]) < 60_000  # the library alone has 200,000
    assert (witness.errors, witness.outside) == ([], [])


def test_choice_of_market_outlives_refreshes_an_outage_and_other_pages(
    served: tuple[subprocess.Popen[str], str], api: SeededApi, page: Page
) -> None:
    """The reader's market stays, whatever the page goes through; every page opens without an error."""
    _, home = served
    witness = Witness(page, home)
    page.goto(home)
    until(page, "id", "KRW-BTC")

    page.get_by_role("radio", name="KRW-ETH").click()
    until(page, "id", "KRW-ETH")
    api.trade("KRW-ETH", 3_199_000.0)
    until(page, "last", 3_199_000)
    api.is_away = True
    expect(page.get_by_text("Waiting for the API at")).to_be_visible(timeout=DEADLINE_MS)
    api.is_away = False
    until(page, "id", "KRW-ETH")

    for title, sign in [
        ("Equity", "The bot's purse"),
        ("Models", "KRW-ETH"),
        ("Data health", "KRW-ETH: minutes by state"),
    ]:
        page.get_by_role("link", name=title).click()
        expect(page.get_by_role("heading", name=sign)).to_be_visible(timeout=DEADLINE_MS)
    page.get_by_role("link", name="Live").click()
    until(page, "id", "KRW-ETH")
    assert (witness.errors, witness.outside) == ([], [])


def test_process_ends_soon_after_sigterm_with_a_page_open(
    served: tuple[subprocess.Popen[str], str], page: Page
) -> None:
    """The supervisor stops one process after another: nobody waits long for the pages."""
    process, home = served
    page.goto(home)
    until(page, "bars", 180)

    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=10)

    assert (code, time.monotonic() - started < 1.5) == (0, True)


def test_port_of_another_program_is_refused_with_the_setting_to_change() -> None:
    """Streamlit alone would end the process with a line of its own."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        ended = subprocess.run([sys.executable, "-c", SERVE, "http://api", str(port)], capture_output=True, text=True)

    assert f"PortInUseError: dashboard.port = {port} of 127.0.0.1 is in use" in ended.stderr
