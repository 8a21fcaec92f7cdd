"""Public REST against a fake exchange that pages as Upbit does, without a socket."""

from collections.abc import Callable

import httpx
import pytest

from fakes import START_MS, FixedClock
from tickloop.adapters.upbit.budget import Budget
from tickloop.adapters.upbit.public import UpbitPublic
from tickloop.adapters.upbit.rest import UpbitMarketData
from tickloop.domain.market import Change, Side, Source
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, Window
from tickloop.errors import ExchangeError, RejectedError, RetryableError, UnknownMarketError
from upbit_fakes import PagingExchange, candle_row, json_answer, trade_row

DAY = Window(START_MS, START_MS + DAY_MS)


def open_data(
    handler: Callable[[httpx.Request], httpx.Response], clock: FixedClock
) -> tuple[UpbitMarketData, list[float]]:
    """Give the adapter over a handler; every pause moves the clock and is recorded."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        clock.advance(max(1, round(seconds * 1000)))

    transport = httpx.MockTransport(handler)
    return UpbitMarketData(UpbitPublic("http://exchange", clock, pause=pause, transport=transport), clock), pauses


def test_candles_of_two_weeks_are_paged_to_the_window_with_gaps_left_out() -> None:
    """Pages of 200 that exist; minutes without trades are absent; oldest first."""
    clock = FixedClock(START_MS + 14 * DAY_MS)
    window = Window(START_MS, START_MS + 14 * DAY_MS)
    every = range(window.start_ms - HOUR_MS, window.end_ms + HOUR_MS, MINUTE_MS)
    minutes = [minute for minute in every if minute // MINUTE_MS % 7]
    exchange = PagingExchange(clock, minutes, [])
    data, _ = open_data(exchange, clock)

    candles = data.candles("KRW-BTC", window)

    assert [candle.ts_open_ms for candle in candles] == [minute for minute in minutes if minute in window]
    assert len(exchange.asked) == 87  # 17,280 candles
    assert (candles[0].open, candles[0].high, candles[0].low, candles[0].close) == (10.0, 12.0, 9.0, 11.0)
    assert (candles[0].volume, candles[0].notional) == (2.0, 22.0)


def test_candles_before_the_listing_are_an_empty_list() -> None:
    """Empty means known but without data."""
    clock = FixedClock()
    data, _ = open_data(PagingExchange(clock, [START_MS + 2 * DAY_MS], []), clock)

    assert data.candles("KRW-BTC", DAY) == []


def test_trades_are_paged_over_days_with_ties_and_come_oldest_first() -> None:
    """Ids decide the order within a millisecond; a page boundary inside a tie loses and doubles nothing."""
    clock = FixedClock(START_MS + DAY_MS + HOUR_MS)
    rows = [trade_row(START_MS + number // 700 * HOUR_MS, 1_000 + number) for number in range(2_100)]
    rows += [trade_row(START_MS + DAY_MS + 5, 9_000, price=101.0, ask_bid="BID")]
    exchange = PagingExchange(clock, [], rows)
    data, _ = open_data(exchange, clock)

    trades = data.trades("KRW-BTC", Window(START_MS + HOUR_MS, START_MS + DAY_MS + HOUR_MS))

    assert [trade.trade_id for trade in trades] == [*range(1_700, 3_100), 9_000]
    last = trades[-1]
    assert (last.price, last.qty_e8, last.side, last.change) == (101.0, 50_000_000, Side.BUY, Change.RISE)
    assert (last.source, last.arrival, last.ts_received_ns) == (Source.REST, 0, 0)
    assert trades[0].change is Change.EVEN


def test_trades_of_today_begin_near_the_windows_end() -> None:
    """A repair of a minute this morning does not page through the whole day."""
    clock = FixedClock(START_MS + 20 * HOUR_MS)
    rows = [trade_row(START_MS + number * 1_000, number + 1) for number in range(20 * 3_600)]
    exchange = PagingExchange(clock, [], rows)
    data, _ = open_data(exchange, clock)

    trades = data.trades("KRW-BTC", Window(START_MS + MINUTE_MS, START_MS + 2 * MINUTE_MS))

    assert [trade.trade_id for trade in trades] == list(range(61, 121))
    assert [query.get("to") for _, query in exchange.asked] == ["00:02:01", None]


def test_trades_older_than_seven_days_are_not_asked_for() -> None:
    """They are gone; the part of the window that is left still comes."""
    clock = FixedClock(START_MS + 8 * DAY_MS)
    exchange = PagingExchange(clock, [], [trade_row(START_MS, 1), trade_row(START_MS + DAY_MS, 2)])
    data, _ = open_data(exchange, clock)

    trades = data.trades("KRW-BTC", Window(START_MS, START_MS + 2 * DAY_MS))

    assert [trade.trade_id for trade in trades] == [2]
    assert {query["days_ago"] for _, query in exchange.asked} == {"7"}


def test_unknown_market_is_named_with_the_known_ones() -> None:
    """404 "Code not found" is not an empty answer."""
    clock = FixedClock()
    data, _ = open_data(PagingExchange(clock, [], []), clock)

    with pytest.raises(UnknownMarketError, match=r"'KRW-NONE' is not known here; valid: KRW-BTC, KRW-ETH"):
        data.candles("KRW-NONE", DAY)


@pytest.mark.parametrize(
    "refusal",
    [
        httpx.Response(429, text="Too many API requests."),
        httpx.Response(429, json={"error": {"name": "too_many_requests", "message": "m"}}),
        httpx.Response(503, text="<html>"),
        httpx.ReadTimeout("slow"),
        httpx.Response(418, text="blocked", headers={"Retry-After": "90"}),
        httpx.DecodingError("incorrect header check"),
        httpx.RemoteProtocolError("cut"),
        httpx.ConnectError("refused"),
    ],
    ids=["429 text", "429 json", "503", "time-out", "418", "bad gzip", "cut", "refused"],
)
def test_passing_trouble_is_waited_out(refusal: httpx.Response | Exception) -> None:
    """Reads are repeated after a pause."""
    clock = FixedClock()
    answers: list[httpx.Response | Exception] = [refusal, refusal, json_answer([{"market": "KRW-BTC"}])]
    data, pauses = open_data(_in_turn(answers), clock)

    assert data.markets() == ["KRW-BTC"]
    assert len(pauses) >= 2


def test_lock_out_is_waited_out_for_as_long_as_it_says_and_twice_as_long_again() -> None:
    """418 by 60 s where nothing is said; the next one doubles it."""
    clock = FixedClock()
    answers: list[httpx.Response | Exception] = [httpx.Response(418), httpx.Response(418), json_answer([])]
    data, _ = open_data(_in_turn(answers), clock)

    assert data.markets() == []

    assert 180.0 <= clock.elapsed_s() < 190.0


def test_end_within_a_second_takes_in_the_candle_of_that_second() -> None:
    """`to` is written in whole seconds, so it is rounded up."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["to"])
        return json_answer([])

    with UpbitPublic("http://exchange", FixedClock(), transport=httpx.MockTransport(answer)) as public:
        public.seconds("KRW-BTC", START_MS + 1)
        public.seconds("KRW-BTC", START_MS + 1_000)

    assert asked == ["2024-01-22T00:00:01Z", "2024-01-22T00:00:01Z"]


def test_lasting_trouble_ends_in_a_retryable_error() -> None:
    """Six tries, then the caller decides."""
    clock = FixedClock()
    asked: list[httpx.Request] = []

    def down(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(500, json={"error": {"name": "internal_server_error", "message": "m"}})

    data, _ = open_data(down, clock)

    with pytest.raises(RetryableError, match="500 internal_server_error"):
        data.markets()
    assert len(asked) == 6


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (httpx.Response(400, json={"error": {"name": 400, "message": "Invalid parameter."}}), RejectedError, "400"),
        (httpx.Response(200, text="<html>"), ExchangeError, "market/all is not as documented"),
        (httpx.Response(200, json=[{"name": "x"}]), ExchangeError, "required field `market`"),
    ],
)
def test_wrong_answers_are_errors_and_not_repeated(answer: httpx.Response, error: type[Exception], says: str) -> None:
    """What repeating cannot mend is raised at once."""
    data, pauses = open_data(_in_turn([answer]), FixedClock())

    with pytest.raises(error, match=says):
        data.markets()
    assert pauses == []


def test_candles_that_do_not_come_newest_first_are_refused() -> None:
    """An exchange that ignores `to` would otherwise be asked for ever."""
    page = json_answer([candle_row(START_MS), candle_row(START_MS + MINUTE_MS)])
    data, _ = open_data(lambda _request: page, FixedClock())

    with pytest.raises(ExchangeError, match="did not come newest first"):
        data.candles("KRW-BTC", DAY)


def test_budget_lets_ten_requests_into_any_market_second() -> None:
    """The eleventh waits until the first is a second old."""
    clock = FixedClock()
    budget = Budget(clock, pause=lambda seconds: clock.advance(max(1, round(seconds * 1000))))
    sent = []
    for _ in range(25):
        budget.wait()
        sent.append(clock.elapsed_s())

    assert sent[:10] == [0.0] * 10
    assert all(later - earlier >= 1.0 for earlier, later in zip(sent, sent[10:], strict=False))
    assert sent[-1] < 2.1


def test_budget_stops_when_the_exchange_says_that_nothing_is_left() -> None:
    """Another program behind the same address has used the second up."""
    clock = FixedClock()
    budget = Budget(clock, pause=lambda seconds: clock.advance(max(1, round(seconds * 1000))))
    budget.learn("group=candles; min=600; sec=0")
    budget.learn(None)
    budget.learn("group=candles; min=600; sec=9")

    budget.wait()

    assert clock.elapsed_s() >= 1.0


def _in_turn(answers: list[httpx.Response | Exception]) -> Callable[[httpx.Request], httpx.Response]:
    left = list(answers)

    def answer(_request: httpx.Request) -> httpx.Response:
        one = left.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    return answer
