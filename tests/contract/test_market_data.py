"""All market data keeps to the window, comes oldest first, and agrees with itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal

import httpx
import pytest

from fakes import START_MS, FakeMarketData, FixedClock
from simulated_exchange import running_simulator
from tickloop.adapters.upbit.public import UpbitPublic
from tickloop.adapters.upbit.rest import UpbitMarketData
from tickloop.domain.market import Candle, Change, Side, Source, Trade
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, Window
from tickloop.errors import UnknownMarketError
from tickloop.ports import MarketData
from upbit_fakes import PagingExchange, candle_row, trade_row


@dataclass(frozen=True)
class Case:
    """Market data with trades and candles of KRW-BTC in the window, on both sides of a UTC midnight."""

    data: MarketData
    window: Window


WINDOW = Window(START_MS + DAY_MS - 6 * HOUR_MS, START_MS + DAY_MS + 6 * HOUR_MS)

# Three trades in every minute but each fifth, two of them in one millisecond; 0.5 units each.
MADE = [
    (minute_ms + offset_ms, 10_000 + number * 3 + place)
    for number, minute_ms in enumerate(range(START_MS, START_MS + 2 * DAY_MS, MINUTE_MS))
    if number % 5
    for place, offset_ms in enumerate((1_000, 1_000, 59_999))
]
MINUTES = sorted({ts_ms - ts_ms % MINUTE_MS for ts_ms, _ in MADE})


def fake_case() -> Case:
    trades = [
        Trade("KRW-BTC", trade_id, ts_ms, 1, 1, 100.0, 50_000_000, Side.SELL, Change.EVEN) for ts_ms, trade_id in MADE
    ]
    candles = [Candle("KRW-BTC", minute_ms, 100.0, 100.0, 100.0, 100.0, 1.5, 150.0) for minute_ms in MINUTES]
    return Case(FakeMarketData(candles, trades), WINDOW)


def upbit_case() -> Case:
    clock = FixedClock(START_MS + 2 * DAY_MS)
    exchange = PagingExchange(clock, MINUTES, [trade_row(ts_ms, trade_id) for ts_ms, trade_id in MADE])
    exchange.make_candle = lambda minute_ms: {**candle_row(minute_ms), "candle_acc_trade_volume": 1.5}
    public = UpbitPublic(
        "http://exchange",
        clock,
        pause=lambda seconds: clock.advance(max(1, round(seconds * 1000))),
        transport=httpx.MockTransport(exchange),
    )
    return Case(UpbitMarketData(public, clock), WINDOW)


@pytest.fixture(scope="module")
def simulator_case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    day_before = Window(START_MS - 30 * HOUR_MS, START_MS - 18 * HOUR_MS)
    with (
        running_simulator(tmp_path_factory.mktemp("simulator")) as running,
        UpbitMarketData(UpbitPublic(running.rest_url, running.clock), running.clock) as data,
    ):
        yield Case(data, day_before)


@pytest.fixture(params=["memory", "upbit", "simulator"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "simulator":
        running: Case = request.getfixturevalue("simulator_case")
        return running
    return fake_case() if request.param == "memory" else upbit_case()


def halves(window: Window) -> tuple[Window, Window]:
    middle = (window.start_ms + window.end_ms) // 2 // MINUTE_MS * MINUTE_MS
    return Window(window.start_ms, middle), Window(middle, window.end_ms)


def test_known_markets_are_listed(case: Case) -> None:
    """By code, quote first."""
    assert {"KRW-BTC", "KRW-ETH"} <= set(case.data.markets())


def test_candles_are_whole_minutes_of_the_window_oldest_first(case: Case) -> None:
    """No minute twice; empty minutes are absent; prices make sense."""
    candles = case.data.candles("KRW-BTC", case.window)
    opens = [candle.ts_open_ms for candle in candles]

    assert opens
    assert opens == sorted(set(opens))
    assert all(ts_ms in case.window and ts_ms % MINUTE_MS == 0 for ts_ms in opens)
    assert all(0 < candle.low <= min(candle.open, candle.close) for candle in candles)
    assert all(max(candle.open, candle.close) <= candle.high for candle in candles)


def test_halves_of_a_window_give_the_whole(case: Case) -> None:
    """Where pages and windows are cut changes nothing."""
    first, second = halves(case.window)
    data = case.data

    assert data.candles("KRW-BTC", first) + data.candles("KRW-BTC", second) == data.candles("KRW-BTC", case.window)
    assert data.trades("KRW-BTC", first) + data.trades("KRW-BTC", second) == data.trades("KRW-BTC", case.window)


def test_trades_are_distinct_and_in_exchange_order(case: Case) -> None:
    """Marked as from REST; arrival and receipt are the journal's to set."""
    trades = case.data.trades("KRW-BTC", case.window)
    times = [trade.ts_event_ms for trade in trades]

    assert trades
    assert times == sorted(times)
    assert all(ts_ms in case.window for ts_ms in times)
    assert len({trade.trade_id for trade in trades}) == len(trades)
    assert {(trade.arrival, trade.ts_received_ns, trade.source) for trade in trades} == {(0, 0, Source.REST)}


def test_trades_of_a_minute_sum_to_its_candle(case: Case) -> None:
    """The ledger rests on this equality."""
    volumes: dict[int, int] = {}
    for trade in case.data.trades("KRW-BTC", case.window):
        minute_ms = trade.ts_event_ms - trade.ts_event_ms % MINUTE_MS
        volumes[minute_ms] = volumes.get(minute_ms, 0) + trade.qty_e8

    candles = case.data.candles("KRW-BTC", case.window)

    assert {ts_ms: float(Decimal(qty).scaleb(-8)) for ts_ms, qty in volumes.items()} == {
        candle.ts_open_ms: candle.volume for candle in candles
    }


def test_threads_at_the_same_time_get_what_one_gets(case: Case) -> None:
    """A back-fill asks for several markets side by side."""
    windows = [*halves(case.window), case.window, case.window]
    alone = [(case.data.candles("KRW-BTC", one), case.data.trades("KRW-BTC", one)) for one in windows]

    with ThreadPoolExecutor(len(windows)) as pool:
        candles = [pool.submit(case.data.candles, "KRW-BTC", one) for one in windows]
        trades = [pool.submit(case.data.trades, "KRW-BTC", one) for one in windows]

    assert [(one.result(), other.result()) for one, other in zip(candles, trades, strict=True)] == alone


def test_unknown_market_is_an_error(case: Case) -> None:
    """Not an empty list: that means "no trades"."""
    with pytest.raises(UnknownMarketError):
        case.data.candles("KRW-NONE", case.window)
    with pytest.raises(UnknownMarketError):
        case.data.trades("KRW-NONE", case.window)
