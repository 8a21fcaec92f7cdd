"""`tickloop backtest --fill-model book` over order books that a collector has recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backtest_home import MARKET, MINUTES, START, WINDOW, Done, command, make_home
from tickloop.adapters.local.journal_line import line_of
from tickloop.adapters.local.segments import OpenSegment
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.bootstrap import open_app
from tickloop.domain.tables import BAR_1M
from tickloop.domain.window import MINUTE_MS
from tickloop.settings import load_settings

TEN_SECONDS = 10_000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two hours of trades, and in the journal a book every ten seconds of the first of them."""
    folder = make_home(tmp_path / "home")
    with open_app(load_settings(folder)) as app:
        prices = app.warehouse.read(BAR_1M, MARKET)["open"].to_list()
    segment = OpenSegment(folder / "journal", "collector", START * 1_000_000)
    for number, ms in enumerate(range(0, MINUTES // 2 * MINUTE_MS, TEN_SECONDS)):
        frame = _book(START + ms, prices[ms // MINUTE_MS])
        segment.write(line_of(frame, parse_frame(frame), (START + ms) * 1_000_000, START * 1_000_000 + number))
    segment.close()
    return folder


def _book(ts_ms: int, price: float) -> bytes:
    """A thin book: 0.00005 BTC at the price and as much a tick of it away, on both sides."""
    units = [
        {"ask_price": price + n * 1_000, "bid_price": price - (n + 1) * 1_000, "ask_size": 0.00005, "bid_size": 0.00005}
        for n in range(2)
    ]
    body = {"type": "orderbook", "code": MARKET, "timestamp": ts_ms, "total_ask_size": 0.0001, "total_bid_size": 0.0001}
    return json.dumps({**body, "orderbook_units": units, "level": 0}, separators=(",", ":")).encode()


def _backtest(home: Path, capfd: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch, *more: str) -> Done:
    asked = ("backtest", "--market", MARKET, "--window", WINDOW, "--strategy", "grid", "--mode", "ticks", "--json")
    return command(capfd, patch, *asked, *more, "--home", str(home))


def test_result_tells_partial_fills_and_fills_without_a_book(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders of 6,000 KRW find 5,000 in the first hour, and no book at all in the second."""
    book = _backtest(home, capfd, monkeypatch, "--fill-model", "book")
    spread = _backtest(home, capfd, monkeypatch)

    assert book.code == 0, book.err
    found, other = json.loads(book.out), json.loads(spread.out)
    assert found["fill_model"] == "book"
    assert "recorded order book" in found["caveat"]
    assert found["recorded_books"] == MINUTES // 2 * MINUTE_MS // TEN_SECONDS
    assert found["partial"] > 5
    assert 0 < found["fills_without_depth"] < found["buys"] + found["sells"]
    assert (other["partial"], other["fills_without_depth"]) == (0, None)


def test_text_and_page_say_so_too(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among what a reader must know."""
    page = tmp_path / "page.html"

    asked = ("backtest", "--market", MARKET, "--window", WINDOW, "--strategy", "grid", "--mode", "ticks")
    done = command(capfd, monkeypatch, *asked, "--fill-model", "book", "--html", str(page), "--home", str(home))

    assert done.code == 0, done.err
    assert "filled in part" in done.out
    assert "met no recorded order book, and counted one tick against us" in done.out
    assert "Fills without a recorded order book, one tick against us instead: " in page.read_text(encoding="utf-8")


def test_window_without_recorded_books_is_refused_before_any_number(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the setting that would have recorded them."""
    done = _backtest(home, capfd, monkeypatch, "--fill-model", "book", "--window", "2024-01-22T01")

    assert (done.code, done.out) == (1, "")
    assert "no order book of KRW-BTC was recorded in 2024-01-22T01" in done.err
    assert "collect.with_orderbook" in done.err
