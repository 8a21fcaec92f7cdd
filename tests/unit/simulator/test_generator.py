"""The made market: the same for the same seed however it is cut, and with the stylised facts of a real one."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tickloop.domain.rules import tick_size
from tickloop.domain.window import DAY_MS, HOUR_MS
from tickloop.errors import UsageError
from tickloop.simulator.generator import GeneratedDays, GeneratedMarkets, market_codes, spans_of
from tickloop.simulator.market import SimulatedExchange
from tickloop.simulator.periods import every_minutes
from tickloop.simulator.tape import SIDES

DAY = 1_772_582_400_000  # 2026-03-04T00:00Z
SEED = 7


def minute_returns(market: str, days: int) -> NDArray[np.float64]:
    made = GeneratedDays(market, SEED)
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


def test_volatility_clusters_and_returns_do_not() -> None:
    """The size of one minute's move tells of the next one's; its direction does not."""
    returns = minute_returns("KRW-BTC", 5)

    assert correlation(np.abs(returns), 1) > 0.1
    assert correlation(np.abs(returns), 20) > 0.05
    assert abs(correlation(returns, 1)) < 0.05


def test_returns_have_heavier_tails_than_the_normal() -> None:
    returns = minute_returns("KRW-BTC", 5)
    standard = (returns - returns.mean()) / returns.std()

    assert (standard**4).mean() > 5.0  # 3 for the normal


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
