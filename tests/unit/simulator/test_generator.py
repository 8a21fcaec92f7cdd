"""The made market: the same for the same seed however it is cut, and with the stylised facts of a real one."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from running_simulator import config_in, running

from tickloop.domain.rules import tick_size
from tickloop.domain.window import DAY_MS, HOUR_MS
from tickloop.errors import DataError, SettingsError, UsageError
from tickloop.simulator.prices.exchange import SimulatedExchange
from tickloop.simulator.prices.generator import GeneratedDays, GeneratedMarkets
from tickloop.simulator.prices.made_markets import END_MS, FIRST_DAY_MS, market_codes, markets_of, spans_of
from tickloop.simulator.prices.market import SimulatedMarket
from tickloop.simulator.prices.periods import DAYS, MONTHS, WEEKS, Period, every_minutes
from tickloop.simulator.prices.tape import SIDES

DAY = 1_772_582_400_000  # 2026-03-04T00:00Z
SEED = 7


def minute_returns(market: str, days: int, seed: int = SEED) -> NDArray[np.float64]:
    made = GeneratedDays(market, seed)
    closes = np.concatenate([made.minutes(DAY + day * DAY_MS).close for day in range(days)])
    return np.diff(np.log(closes))


def correlation(values: NDArray[np.float64], lag: int) -> float:
    return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])


def test_a_day_is_the_same_whatever_was_asked_before() -> None:
    straight = GeneratedDays("KRW-BTC", SEED).day(DAY).tape
    made = GeneratedDays("KRW-BTC", SEED)
    for day_ms in (DAY + 5 * DAY_MS, DAY - 3 * DAY_MS):
        made.day(day_ms)

    for name in ("ts_event", "trade_id", "price", "qty_e8", "side", "change", "prev_close"):
        assert (getattr(straight, name) == getattr(made.day(DAY).tape, name)).all(), name


def test_another_seed_and_another_market_are_other_tapes() -> None:
    tapes = [GeneratedDays(*one).day(DAY).tape for one in (("KRW-BTC", 1), ("KRW-BTC", 2), ("KRW-ETH", 1))]

    assert len({tape.price[:50].tobytes() for tape in tapes}) == 3


def test_trades_are_ones_the_exchange_could_have_printed() -> None:
    """In order, inside the day, with unique ids, whole quantities, and prices on the price steps of that date."""
    for market in ("KRW-BTC", "KRW-S003", "KRW-S050"):
        tape = GeneratedDays(market, SEED).day(DAY).tape

        assert (np.diff(tape.ts_event) >= 0).all()
        assert ((tape.ts_event >= DAY) & (tape.ts_event < DAY + DAY_MS)).all()
        assert len(np.unique(tape.trade_id)) == len(tape)
        assert (tape.qty_e8 > 0).all()
        for price in np.unique(tape.price)[:50]:
            exact = Decimal(repr(float(price)))
            assert exact % tick_size(market, exact, DAY) == 0, (market, price)


@pytest.mark.parametrize(("market", "bound"), [("KRW-BTC", 0.04), ("KRW-ETH", 0.10)])
def test_volatility_clusters_and_returns_do_not(market: str, bound: float) -> None:
    """The size of one minute's move tells of the next one's, for half an hour; its direction does not.

    Where a price step is large against a minute's move, the bounce between buyers and sellers makes it -0.05 or so.
    """
    runs = [minute_returns(market, 3, seed) for seed in range(4)]

    def mean_correlation(lag: int, *, of_sizes: bool) -> float:
        return float(np.mean([correlation(np.abs(run) if of_sizes else run, lag) for run in runs]))

    assert mean_correlation(1, of_sizes=True) > 0.15
    assert mean_correlation(10, of_sizes=True) > 0.10
    assert mean_correlation(30, of_sizes=True) > 0.03
    assert all(abs(mean_correlation(lag, of_sizes=False)) < bound for lag in (1, 2, 5))


@pytest.mark.parametrize("seed", range(4))
def test_returns_have_heavier_tails_than_the_normal(seed: int) -> None:
    returns = minute_returns("KRW-BTC", 3, seed)
    standard = (returns - returns.mean()) / returns.std()

    assert (standard**4).mean() > 5.0  # 3 for the normal
    assert 0.005 < returns.std() * np.sqrt(1_440) < 0.06  # a day's volatility


def test_sizes_spread_over_orders_of_magnitude_and_several_trades_share_a_millisecond() -> None:
    tape = GeneratedDays("KRW-BTC", SEED).day(DAY).tape
    low, high = np.quantile(tape.qty_e8, (0.05, 0.95))

    assert high / low > 100
    assert (np.diff(tape.ts_event) == 0).mean() > 0.1


def test_busy_minutes_and_quiet_ones() -> None:
    """Bursts many times the usual; the quieter of 288 markets have hours without a trade."""
    busy = np.bincount((GeneratedDays("KRW-BTC", SEED).day(DAY).tape.ts_event - DAY) // 60_000, minlength=1_440)
    quiet = np.bincount((GeneratedDays("KRW-S200", SEED).day(DAY).tape.ts_event - DAY) // 60_000, minlength=1_440)

    assert busy.max() > 5 * np.median(busy)
    assert (quiet == 0).mean() > 0.9


def test_prices_go_on_across_midnight() -> None:
    made = GeneratedDays("KRW-BTC", SEED)
    before, after = made.day(DAY - DAY_MS).tape, made.day(DAY).tape

    assert abs(after.price[0] / before.price[-1] - 1) < 0.005
    assert (after.prev_close == before.price[-1]).all()


@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-S001", "KRW-S150", "KRW-S286"])
def test_prices_of_days_that_were_not_made_are_those_of_their_trades(market: str) -> None:
    """Extremes of 52 weeks and previous closes come from a shorter way than the trades, and agree with them."""
    whole, short = GeneratedDays(market, SEED), GeneratedDays(market, SEED)
    tapes = [whole.day(DAY - days * DAY_MS).tape for days in range(364, 0, -1) if days % 13 == 1 or days < 20]
    tapes = [tape for tape in tapes if len(tape)]

    before = short.day(DAY).before

    assert before is not None
    assert before.high >= max(tape.price.max() for tape in tapes)
    assert before.low <= min(tape.price.min() for tape in tapes)
    for day_ms, price, pick in ((before.high_day_ms, before.high, "max"), (before.low_day_ms, before.low, "min")):
        assert getattr(whole.day(day_ms).tape.price, pick)() == price
    last = max(tapes, key=lambda tape: tape.ts_event[-1])
    assert set(short.day(DAY).tape.prev_close) <= {last.price[-1]}


@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-S040"])
def test_candle_of_a_whole_day_is_its_minutes_put_together(market: str) -> None:
    """The quick way that years of candles take."""
    made = GeneratedDays(market, SEED)

    whole, minutes = made.whole(DAY), made.minutes(DAY)

    assert whole.ts_open.tolist() == [DAY]
    assert (whole.open[0], whole.close[0]) == (minutes.open[0], minutes.close[-1])
    assert (whole.high[0], whole.low[0]) == (minutes.high.max(), minutes.low.min())
    assert whole.qty_e8[0] == minutes.qty_e8.sum() > 0
    assert whole.notional[0] == pytest.approx(minutes.notional.sum(), rel=1e-12)
    assert whole.ts_last[0] == minutes.ts_last[-1]


def test_weeks_and_months_reach_back_as_far_as_asked() -> None:
    """One row each, starts in a row, every day's volume in them."""
    market = SimulatedExchange(GeneratedMarkets(("KRW-S100",)), SEED).market("KRW-S100")

    weeks = market.candles(WEEKS, None, 20, DAY + HOUR_MS)
    days = market.candles(DAYS, None, 200, DAY + HOUR_MS)

    assert np.unique(np.diff(weeks.ts_open)).tolist() == [-7 * DAY_MS]
    assert len(weeks.ts_open) == 20
    inside = days.ts_open >= weeks.ts_open[-1]
    assert weeks.qty_e8.sum() == days.qty_e8[inside].sum()
    assert len(market.candles(MONTHS, None, 6, DAY + HOUR_MS).ts_open) == 6


def test_a_seed_gives_the_same_market_on_every_machine() -> None:
    """Written down once: what these numbers are made of rounds alike everywhere."""
    tape = GeneratedDays("KRW-BTC", SEED).day(DAY).tape
    lines = zip(tape.ts_event.tolist(), tape.trade_id.tolist(), tape.price.tolist(), tape.qty_e8.tolist(), strict=True)

    digest = sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()

    assert digest[:16] == "d8d664b1814fecd5"


def test_every_market_and_day_is_affordable() -> None:
    """A day of all 288 markets is some 200,000 trades, and three days of them are kept."""
    exchange = GeneratedMarkets(market_codes(288))

    counts = [len(exchange.days(code, SEED).day(DAY).tape) for code in exchange.markets]

    assert 100_000 < sum(counts) < 500_000
    assert min(counts) < 100
    assert exchange.days("KRW-BTC", SEED).day.cache_info().maxsize == 3


def test_days_run_on_to_the_edges_of_time() -> None:
    """Nothing before the beginning, nothing after the end, and no search that never ends."""
    made = GeneratedDays("KRW-S286", SEED)

    assert made.day_before(FIRST_DAY_MS) is None
    assert made.day_from(END_MS) is None
    assert made.day_from(0) is not None
    assert len(made.day(FIRST_DAY_MS - DAY_MS).tape) == len(made.day(END_MS).tape) == 0
    assert made.day(FIRST_DAY_MS).before is None
    last = made.day_before(END_MS + DAY_MS)
    assert last is not None
    assert END_MS - 30 * DAY_MS < last < END_MS


def test_there_are_as_many_markets_as_wanted_each_quieter_than_the_first() -> None:
    codes = market_codes(288)
    counts = [len(GeneratedDays(code, SEED).day(DAY).tape) for code in codes[::40]]

    assert len(set(codes)) == 288
    assert codes[:3] == ("KRW-BTC", "KRW-ETH", "KRW-S001")
    assert counts[0] > 50 * counts[-1]


def test_printed_fill_is_a_trade_for_everybody_and_survives_a_restart(tmp_path: Path) -> None:
    """In candles, ticks, stream and truth, with its exact quantity, and after what the stream had told already."""
    prints = tmp_path / "prints.jsonl"
    exchange = SimulatedExchange(GeneratedMarkets(("KRW-BTC",), prints=prints), SEED)
    now_ms = DAY + HOUR_MS
    exchange.told_until_ms = now_ms
    before = exchange.market("KRW-BTC").candles(every_minutes(60), None, 1, now_ms + 1)

    trade_id = exchange.print_trade("KRW-BTC", 90_000_000.0, 12_345, SIDES[0], now_ms)
    again = SimulatedExchange(GeneratedMarkets(("KRW-BTC",), prints=prints), SEED)

    for one in (exchange, again):
        told = one.market("KRW-BTC").stream_between(now_ms, now_ms + 1)
        assert [event.trade_id for event in told] == [trade_id]
        assert one.market("KRW-BTC").trades_page(now_ms + 1, count=1).trade_id.tolist() == [trade_id]
        after = one.market("KRW-BTC").candles(every_minutes(60), None, 1, now_ms + 1)
        assert after.qty_e8[0] - (before.qty_e8[0] if before.ts_open[0] == after.ts_open[0] else 0) == 12_345


def test_printed_fill_counts_for_the_days_after_it() -> None:
    """As previous close and as an extreme; two in one millisecond have ids of their own."""
    exchange = SimulatedExchange(GeneratedMarkets(("KRW-S200",)), SEED)
    market = exchange.market("KRW-S200")
    usual = exchange.made("KRW-S200", DAY, DAY + DAY_MS)
    high = float(usual.price.max() * 10)

    ids = [exchange.print_trade("KRW-S200", high, 5, SIDES[1], DAY + DAY_MS - 1) for _ in range(2)]
    tomorrow = exchange.made("KRW-S200", DAY + DAY_MS, DAY + 2 * DAY_MS)
    ticker = market.ticker(DAY + 2 * DAY_MS - 1)

    assert len(set(ids) | set(usual.trade_id.tolist())) == len(usual) + 2
    assert set(tomorrow.prev_close) == {high}
    assert ticker is not None
    assert (ticker.year.high, ticker.year.high_day_ms) == (high, DAY)


def test_print_that_a_kill_cut_off_was_never_made(tmp_path: Path) -> None:
    """The half line is cut away, so that the next one begins on a line of its own; nonsense is named."""
    path = tmp_path / "prints.jsonl"
    exchange = SimulatedExchange(GeneratedMarkets(("KRW-BTC",), prints=path), SEED)
    first = exchange.print_trade("KRW-BTC", 9e7, 1, SIDES[0], DAY)
    with path.open("ab") as file:
        file.write(b'{"market":"KRW-B')

    again = SimulatedExchange(GeneratedMarkets(("KRW-BTC",), prints=path), SEED)
    second = again.print_trade("KRW-BTC", 9e7, 2, SIDES[0], DAY)

    last = SimulatedExchange(GeneratedMarkets(("KRW-BTC",), prints=path), SEED).made("KRW-BTC", DAY, DAY + 1)
    assert last.trade_id[-2:].tolist() == [first, second]
    path.write_bytes(b"nonsense\n")
    with pytest.raises(DataError, match=r"prints\.jsonl, line 1 is no printed trade"):
        GeneratedMarkets(("KRW-BTC",), prints=path)


async def test_listed_and_delisted_markets_come_and_go_for_clients(tmp_path: Path) -> None:
    """In market/all, candles and subscriptions; a code that is not on offer when it is asked for is ignored."""
    config = config_in(
        tmp_path,
        recording="seeded",
        markets=("KRW-BTC", "KRW-S001", "KRW-S002"),
        start_ms=DAY,
        spans=spans_of(["KRW-S001:+2m"], ["KRW-S002:+2m"], DAY),
        speed=60_000.0,
    )
    async with running(config) as sim:
        _, early = await sim.get("/v1/market/all")
        unknown, _ = await sim.get("/v1/candles/minutes/1", market="KRW-S001")
        _, tickers = await sim.get("/v1/ticker", markets="KRW-S002")
        await sim.clock(run=True)
        await sim.until(lambda status: status["market_ms"] > DAY + 600_000)
        _, late = await sim.get("/v1/market/all")
        gone, body = await sim.get("/v1/candles/minutes/1", market="KRW-S002")
        known, candles = await sim.get("/v1/candles/minutes/1", market="KRW-S001", count=200)

    assert [market["market"] for market in early] == ["KRW-BTC", "KRW-S002"]
    assert [market["market"] for market in late] == ["KRW-BTC", "KRW-S001"]
    assert (unknown, gone, body["error"]["message"]) == (404, 404, "Code not found")
    assert known == 200
    assert all(candle["timestamp"] >= DAY + 120_000 for candle in candles)
    assert tickers[0]["market"] == "KRW-S002"


async def test_page_that_takes_hundreds_of_days_holds_up_nobody(tmp_path: Path) -> None:
    """Others are answered while its days are made, not after the last of them."""
    async with running(config_in(tmp_path, recording="seeded", markets=("KRW-BTC",), start_ms=DAY)) as sim:
        asked = asyncio.create_task(sim.get("/v1/candles/weeks", market="KRW-BTC", count=20))
        others = 0
        while not asked.done():
            others += (await sim.get("/control/clock"))[0] == 200
        status, rows = await asked

    assert (status, len(rows)) == (200, 20)
    assert others > 5


@pytest.mark.parametrize("period", [DAYS, WEEKS, MONTHS])
def test_candles_of_days_that_were_made_before_make_no_day_anew(period: Period) -> None:
    """Nor do they drive out the day that the stream is in."""
    days = GeneratedDays("KRW-S100", SEED)
    market = SimulatedMarket(days, SEED)
    today, now_ms = days.day(DAY), DAY + HOUR_MS

    made = list(market.make_days(period, None, 3, now_ms))
    misses = days.whole.cache_info().misses
    found = market.candles(period, None, 3, now_ms)

    assert len(found.ts_open) == 3
    assert misses == len(made) == days.whole.cache_info().misses
    assert days.day(DAY) is today


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"markets": 0}, "valid: 1 to 999, or codes in KRW"),
        ({"markets": ("KRW-BTC", "KRW-BTC")}, "valid: 1 to 999, or codes in KRW"),
        ({"markets": ("BTC-ETH",)}, "valid: 1 to 999, or codes in KRW"),
    ],
)
def test_markets_that_cannot_be_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        config_in(tmp_path, recording="seeded", **changes)


async def test_span_of_a_market_that_is_not_made_is_refused(tmp_path: Path) -> None:
    """By name, and where prices are recorded altogether."""
    spans = spans_of(["KRW-S009:+2h"], [], DAY)

    with pytest.raises(UsageError, match="market 'KRW-S009' to list or delist is not made; valid: one of KRW-BTC"):
        async with running(config_in(tmp_path, recording="seeded", spans=spans)):
            pass
    with pytest.raises(UsageError, match="'KRW-S009' cannot be listed or delisted, as prices are recorded"):
        async with running(config_in(tmp_path, recording="bursts", spans=spans)):
            pass


def test_market_with_a_span_of_its_own_is_there_only_then() -> None:
    spans = spans_of(["KRW-S002:+2h"], ["KRW-S001:+30m"], DAY)
    exchange = SimulatedExchange(GeneratedMarkets(market_codes(4), spans), SEED)

    assert exchange.on_offer(DAY) == ("KRW-BTC", "KRW-ETH", "KRW-S001")
    assert exchange.on_offer(DAY + 30 * 60_000) == ("KRW-BTC", "KRW-ETH")
    assert exchange.on_offer(DAY + 2 * HOUR_MS) == ("KRW-BTC", "KRW-ETH", "KRW-S002")
    assert exchange.market("KRW-S001").state(DAY + HOUR_MS) == "DELISTED"
    assert exchange.made("KRW-S002", DAY, DAY + 2 * HOUR_MS).ts_event.size == 0


@pytest.mark.parametrize("text", ["KRW-S001", "KRW-S001:2h", "BTC:+2h", "KRW-S001:+2d"])
def test_listing_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="valid: a market and h or m"):
        spans_of([text], [], DAY)


def test_market_that_would_end_before_it_begins_is_refused() -> None:
    with pytest.raises(UsageError, match="KRW-S001 would end at"):
        spans_of(["KRW-S001:+2h"], ["KRW-S001:+1h"], DAY)


def test_markets_are_given_by_number_or_by_name() -> None:
    assert markets_of("288") == 288
    assert markets_of("KRW-BTC, KRW-S007") == ("KRW-BTC", "KRW-S007")
