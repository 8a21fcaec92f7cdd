"""The exchange's rules for orders in KRW markets, as dated rows with their source.

Back-test, paper account, simulator and bot read these rows and no others. A row that was neither documented nor
seen in recorded prices for its time is `unconfirmed`, and results that used one say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickloop.domain.kernel import kernel
from tickloop.domain.window import to_ms
from tickloop.errors import UnknownMarketError, UsageError

QTY_STEP = Decimal("0.00000001")
"""Quantities have 8 decimals; what is below is cut off (upbit-api: "truncated to 8 decimals", FAQ on orders)."""

EVER = 1 << 62  # later than any time in ms


def _day(text: str) -> int:
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))


@dataclass(frozen=True)
class PriceUnit:
    """One rung of a ladder: prices of at least `min_price` move in steps of `tick`.

    `confirmed` is the span `[from, to)` in ms for which the step is documented or was seen in prices, else None.
    """

    min_price: Decimal
    tick: Decimal
    confirmed: tuple[int, int] | None
    source: str


@dataclass(frozen=True)
class Ladder:
    """The price units in force from `valid_from_ms` on, highest first; the last rung starts at 0."""

    valid_from_ms: int
    units: tuple[PriceUnit, ...]


@dataclass(frozen=True)
class OrderRules:
    """Fee and size of orders in KRW markets from `valid_from_ms` on."""

    valid_from_ms: int
    fee_rate: Decimal
    min_total: Decimal
    max_total: Decimal
    source: str


# The notice names the day and no hour; the day of the exchange starts at 00:00 UTC.
_LADDER_2025 = _day("2025-07-31")
_DOCS_2025 = "Upbit developer centre, KRW market info (price units in force since 2025-07-31), read 2026"
_SEEN = "greatest common divisor of recorded one-minute candle prices of this band"
_OLD_CLIENT = "price-unit table of the client library pyupbit 0.2.34 (older than 2025-07-31)"
_OLD_DIGITS = "assumed: one more decimal per decade, as in the bands above"


def _documented(min_price: str, tick: str) -> PriceUnit:
    return PriceUnit(Decimal(min_price), Decimal(tick), (_LADDER_2025, EVER), _DOCS_2025)


def _seen(min_price: str, tick: str, first_day: str, end_day: str) -> PriceUnit:
    return PriceUnit(Decimal(min_price), Decimal(tick), (_day(first_day), _day(end_day)), _SEEN)


def _unconfirmed(min_price: str, tick: str, source: str) -> PriceUnit:
    return PriceUnit(Decimal(min_price), Decimal(tick), None, source)


LADDERS = (
    Ladder(
        valid_from_ms=0,
        units=(
            _seen("2000000", "1000", "2018-01-01", "2025-06-01"),
            _seen("1000000", "500", "2022-06-01", "2023-04-01"),
            _unconfirmed("500000", "100", _OLD_CLIENT),
            _seen("100000", "50", "2022-01-01", "2025-06-01"),
            _seen("10000", "10", "2022-03-01", "2024-01-01"),
            _unconfirmed("1000", "1", _OLD_CLIENT),
            _unconfirmed("100", "0.1", _OLD_CLIENT),
            _unconfirmed("10", "0.01", _OLD_CLIENT),
            _unconfirmed("1", "0.001", _OLD_DIGITS),
            _unconfirmed("0.1", "0.0001", _OLD_DIGITS),
            _unconfirmed("0.01", "0.00001", _OLD_DIGITS),
            _unconfirmed("0.001", "0.000001", _OLD_DIGITS),
            _unconfirmed("0.0001", "0.0000001", _OLD_DIGITS),
            _unconfirmed("0", "0.00000001", _OLD_DIGITS),
        ),
    ),
    Ladder(
        valid_from_ms=_LADDER_2025,
        units=(
            _documented("1000000", "1000"),
            _documented("500000", "500"),
            _documented("100000", "100"),
            _documented("50000", "50"),
            _documented("10000", "10"),
            _documented("5000", "5"),
            _documented("100", "1"),
            _documented("10", "0.1"),
            _documented("1", "0.01"),
            _documented("0.1", "0.001"),
            _documented("0.01", "0.0001"),
            _documented("0.001", "0.00001"),
            _documented("0.0001", "0.000001"),
            _documented("0.00001", "0.0000001"),
            _documented("0", "0.00000001"),
        ),
    ),
)

# Their own table of 2025-03-21 (0.5 KRW) may or may not still hold beside the general one.
_OWN_TABLE_MARKETS = frozenset({"KRW-USDT", "KRW-USDC"})

ORDER_RULES = (
    OrderRules(
        valid_from_ms=0,
        fee_rate=Decimal("0.0005"),
        min_total=Decimal(5_000),
        max_total=Decimal(1_000_000_000),
        source="Upbit developer centre, KRW market info and available-order info (0.05 % a side, 5,000 KRW), read 2026",
    ),
)


def tick_size(market: str, price: Decimal, at_ms: int) -> Decimal:
    """Give the smallest price step at a price in KRW and a time.

    Raises:
        UnknownMarketError: if the market is not quoted in KRW.
        UsageError: if the price is not above 0.
    """
    return _unit(market, price, at_ms).tick


def is_confirmed(market: str, price: Decimal, at_ms: int) -> bool:
    """Tell whether the price unit used at that price and time is documented or was seen in recorded prices."""
    confirmed = _unit(market, price, at_ms).confirmed
    return confirmed is not None and confirmed[0] <= at_ms < confirmed[1] and market not in _OWN_TABLE_MARKETS


def is_confirmed_over(market: str, low: Decimal, high: Decimal, start_ms: int, end_ms: int) -> bool:
    """Tell whether every price unit between two prices is confirmed over all of `[start_ms, end_ms)`."""
    moments = {start_ms, end_ms - 1, *(ladder.valid_from_ms for ladder in _ladders_within(start_ms, end_ms))}
    prices = {low, high, *(u.min_price for ladder in LADDERS for u in ladder.units if low < u.min_price <= high)}
    return all(is_confirmed(market, price, at_ms) for price in prices for at_ms in moments)


def fee_rate(market: str, at_ms: int) -> Decimal:
    """Give the fee of one side as a fraction of the executed funds; maker and taker pay the same."""
    return _order_rules(market, at_ms).fee_rate


def min_total(market: str, at_ms: int) -> Decimal:
    """Give the least price x quantity of an order in KRW, before fees, for either side."""
    return _order_rules(market, at_ms).min_total


def max_total(market: str, at_ms: int) -> Decimal:
    """Give the greatest price x quantity of an order in KRW."""
    return _order_rules(market, at_ms).max_total


def floor_qty(qty: Decimal) -> Decimal:
    """Cut a quantity off after 8 decimals, as the exchange does."""
    return qty.quantize(QTY_STEP, rounding=ROUND_FLOOR)


def floor_to_tick(market: str, price: Decimal, at_ms: int) -> Decimal:
    """Give the highest allowed price that is not above `price`."""
    tick = tick_size(market, price, at_ms)
    return (price / tick).to_integral_value(rounding=ROUND_FLOOR) * tick


def ceil_to_tick(market: str, price: Decimal, at_ms: int) -> Decimal:
    """Give the lowest allowed price that is not below `price`."""
    tick = tick_size(market, price, at_ms)
    return (price / tick).to_integral_value(rounding=ROUND_CEILING) * tick


class LadderTable(NamedTuple):
    """The ladders of a span of time for compiled rules.

    Attributes:
        valid_from: int64 (p,), ms, ascending: from when each row holds.
        thresholds: float64 (p, r), KRW, ascending from 0; infinite where a row has fewer rungs.
        ticks: float64 (p, r), KRW: the step from that threshold on.
    """

    valid_from: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    ticks: NDArray[np.float64]


def ladder_arrays(market: str, at_ms: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give thresholds (ascending from 0) and ticks of the ladder in force, both float64 (r,), in KRW."""
    units = _ladder(market, at_ms).units[::-1]
    return np.array([float(u.min_price) for u in units]), np.array([float(u.tick) for u in units])


def ladder_table(market: str, start_ms: int, end_ms: int) -> LadderTable:
    """Give every ladder in force during `[start_ms, end_ms)`, for `tick_at`."""
    since = [start_ms, *(ladder.valid_from_ms for ladder in _ladders_within(start_ms, end_ms))]
    rows = [ladder_arrays(market, at_ms) for at_ms in since]
    width = max(len(thresholds) for thresholds, _ in rows)
    table = LadderTable(
        np.array(since, dtype=np.int64), np.full((len(rows), width), np.inf), np.full((len(rows), width), np.nan)
    )
    for row, (thresholds, ticks) in enumerate(rows):
        table.thresholds[row, : len(thresholds)] = thresholds
        table.ticks[row, : len(ticks)] = ticks
    return table


@kernel
def tick_at(ladders: LadderTable, price: float, at_ms: int) -> float:
    """Give the tick size in KRW at a price and time, as `tick_size` does."""
    row = 0
    while row + 1 < len(ladders.valid_from) and ladders.valid_from[row + 1] <= at_ms:
        row += 1
    rung = 0
    while rung + 1 < ladders.thresholds.shape[1] and ladders.thresholds[row, rung + 1] <= price:
        rung += 1
    return float(ladders.ticks[row, rung])


def _unit(market: str, price: Decimal, at_ms: int) -> PriceUnit:
    if not (price.is_finite() and price > 0):
        raise UsageError(f"price {price} of {market} has no price unit; valid: a price above 0 KRW")
    return next(unit for unit in _ladder(market, at_ms).units if price >= unit.min_price)


def _ladder(market: str, at_ms: int) -> Ladder:
    _check_krw(market)
    return next(ladder for ladder in reversed(LADDERS) if ladder.valid_from_ms <= at_ms)


def _ladders_within(start_ms: int, end_ms: int) -> list[Ladder]:
    return [ladder for ladder in LADDERS if start_ms < ladder.valid_from_ms < end_ms]


def _order_rules(market: str, at_ms: int) -> OrderRules:
    _check_krw(market)
    return next(rules for rules in reversed(ORDER_RULES) if rules.valid_from_ms <= at_ms)


def _check_krw(market: str) -> None:
    if not market.startswith("KRW-"):
        raise UnknownMarketError(market, ("KRW-BTC", "KRW-ETH", "any other KRW market"))
