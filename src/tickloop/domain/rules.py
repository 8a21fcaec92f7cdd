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
"""Quantities have 8 decimals; what is below is cut off (Upbit developer centre, FAQ on orders)."""

KRW_STEP = Decimal("0.00000001")
"""Amounts of KRW are told with 8 decimals (Upbit developer centre, order and account samples); how the exchange rounds
a ninth is not told, so what is spent is cut off and what is owed is rounded up: never more than there is."""

EVER = 1 << 62  # later than any time in ms


def _day(text: str) -> int:
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))


@dataclass(frozen=True)
class PriceUnit:
    """One rung of a ladder: prices of at least `min_price` move in steps of `tick`.

    `confirmed` is the span `[from, to)` in ms for which the step is documented or was seen in prices.
    """

    min_price: Decimal
    tick: Decimal
    confirmed: tuple[int, int]
    source: str


@dataclass(frozen=True)
class Ladder:
    """The price units in force from `valid_from_ms` on, highest first; the last rung starts at 0."""

    valid_from_ms: int
    units: tuple[PriceUnit, ...]


@dataclass(frozen=True)
class OwnUnit:
    """A price unit that some markets have instead of the ladder's rung of the same `min_price`, in `[from, to)` ms."""

    markets: frozenset[str]
    valid_from_ms: int
    valid_to_ms: int
    unit: PriceUnit


@dataclass(frozen=True)
class OrderRules:
    """Fee and size of orders in KRW markets from `valid_from_ms` on."""

    valid_from_ms: int
    fee_rate: Decimal
    min_total: Decimal
    max_total: Decimal
    source: str


# The notices name the day and no hour (but for 2025-03-21); the day of the exchange starts at 00:00 UTC.
_LADDER_2024 = _day("2024-01-29")
_SIXTEEN_2024 = _day("2024-10-14")
_STABLE_2025 = _day("2025-03-20T16:00")  # 2025-03-21, 01:00 in Korea, after a maintenance
_LADDER_2025 = _day("2025-07-31")

_DOCS_2023 = "Upbit developer centre v1.4.1, KRW price units (until 2024-01-29; when they began is not told)"
_DOCS_2024 = "Upbit developer centre v1.4.5, KRW price units (below 10,000 KRW changed on 2024-01-29)"
_DOCS_SIXTEEN = "Upbit developer centre, changelog krw_tick_unit_change (16 markets) and KRW market info (2024-10-14)"
_DOCS_STABLE = "Upbit developer centre, changelog usdtkrw_tick_unit_change (2025-03-21)"
_DOCS_2025 = "Upbit developer centre, KRW market info (price units in force since 2025-07-31), read 2026"
_SEEN = "; seen as the greatest common divisor of recorded one-minute candle prices of this band"

_BEFORE_2024 = (_day("2024-01-01"), _LADDER_2024)
"""The page was replaced on 2024-01-29 and is not dated; so much is taken for granted before it, and no more."""


def _documented(min_price: str, tick: str, source: str, since_ms: int, until_ms: int = EVER) -> PriceUnit:
    return PriceUnit(Decimal(min_price), Decimal(tick), (since_ms, until_ms), source)


def _until_2024(min_price: str, tick: str, seen_since: str = "") -> PriceUnit:
    since_ms = _day(seen_since) if seen_since else _BEFORE_2024[0]
    source = _DOCS_2023 + _SEEN if seen_since else _DOCS_2023
    return PriceUnit(Decimal(min_price), Decimal(tick), (since_ms, _BEFORE_2024[1]), source)


def _of_2024(min_price: str, tick: str) -> PriceUnit:
    return _documented(min_price, tick, _DOCS_2024, _LADDER_2024, _LADDER_2025)


def _of_2025(min_price: str, tick: str) -> PriceUnit:
    return _documented(min_price, tick, _DOCS_2025, _LADDER_2025)


LADDERS = (
    Ladder(
        valid_from_ms=0,
        units=(
            _until_2024("2000000", "1000", "2018-01-01"),
            _until_2024("1000000", "500", "2022-06-01"),
            _until_2024("500000", "100"),
            _until_2024("100000", "50", "2022-01-01"),
            _until_2024("10000", "10", "2022-03-01"),
            _until_2024("1000", "5"),
            _until_2024("100", "1"),
            _until_2024("10", "0.1"),
            _until_2024("1", "0.01"),
            _until_2024("0.1", "0.001"),
            _until_2024("0", "0.0001"),
        ),
    ),
    Ladder(
        valid_from_ms=_LADDER_2024,
        units=(
            _of_2024("2000000", "1000"),
            _of_2024("1000000", "500"),
            _of_2024("500000", "100"),
            _of_2024("100000", "50"),
            _of_2024("10000", "10"),
            _of_2024("1000", "1"),
            _of_2024("100", "0.1"),
            _of_2024("10", "0.01"),
            _of_2024("1", "0.001"),
            _of_2024("0.1", "0.0001"),
            _of_2024("0.01", "0.00001"),
            _of_2024("0.001", "0.000001"),
            _of_2024("0.0001", "0.0000001"),
            _of_2024("0", "0.00000001"),
        ),
    ),
    Ladder(
        valid_from_ms=_LADDER_2025,
        units=(
            _of_2025("1000000", "1000"),
            _of_2025("500000", "500"),
            _of_2025("100000", "100"),
            _of_2025("50000", "50"),
            _of_2025("10000", "10"),
            _of_2025("5000", "5"),
            _of_2025("100", "1"),
            _of_2025("10", "0.1"),
            _of_2025("1", "0.01"),
            _of_2025("0.1", "0.001"),
            _of_2025("0.01", "0.0001"),
            _of_2025("0.001", "0.00001"),
            _of_2025("0.0001", "0.000001"),
            _of_2025("0.00001", "0.0000001"),
            _of_2025("0", "0.00000001"),
        ),
    ),
)

_SIXTEEN = "ADA ALGO BLUR CELO ELF EOS GRS GRT ICX MANA MINA POL SAND SEI STG TRX"
_STABLECOINS = frozenset({"KRW-USDT", "KRW-USDC"})

OWN_UNITS = (
    OwnUnit(
        markets=frozenset(f"KRW-{base}" for base in _SIXTEEN.split()),
        valid_from_ms=_SIXTEEN_2024,
        valid_to_ms=_LADDER_2025,
        unit=_documented("100", "1", _DOCS_SIXTEEN, _SIXTEEN_2024, _LADDER_2025),
    ),
    OwnUnit(
        markets=_STABLECOINS,
        valid_from_ms=_STABLE_2025,
        valid_to_ms=_LADDER_2025,
        unit=_documented("1000", "0.5", _DOCS_STABLE, _STABLE_2025, _LADDER_2025),
    ),
)

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
    if market in _STABLECOINS and at_ms >= _LADDER_2025:
        return False  # whether their own unit still holds beside the general table of that day is not told
    since_ms, until_ms = _unit(market, price, at_ms).confirmed
    return since_ms <= at_ms < until_ms


def is_confirmed_over(market: str, low: Decimal, high: Decimal, start_ms: int, end_ms: int) -> bool:
    """Tell whether every price unit between two prices is confirmed over all of `[start_ms, end_ms)`."""
    moments = {start_ms, end_ms - 1, *_changes_within(market, start_ms, end_ms)}
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


def order_changes(market: str, start_ms: int, end_ms: int) -> list[int]:
    """Give the times in `(start, end)` from which on other fees or sizes of orders hold, oldest first."""
    _check_krw(market)
    return [one.valid_from_ms for one in ORDER_RULES if start_ms < one.valid_from_ms < end_ms]


def floor_qty(qty: Decimal) -> Decimal:
    """Cut a quantity off after 8 decimals, as the exchange does."""
    return qty.quantize(QTY_STEP, rounding=ROUND_FLOOR)


def floor_krw(amount: Decimal) -> Decimal:
    """Cut an amount of KRW to spend or to receive off after 8 decimals."""
    return amount.quantize(KRW_STEP, rounding=ROUND_FLOOR)


def ceil_krw(amount: Decimal) -> Decimal:
    """Round an amount of KRW that is owed, such as a fee or a lock, up to 8 decimals."""
    return amount.quantize(KRW_STEP, rounding=ROUND_CEILING)


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
    units = _units(market, at_ms)[::-1]
    return np.array([float(u.min_price) for u in units]), np.array([float(u.tick) for u in units])


def ladder_table(market: str, start_ms: int, end_ms: int) -> LadderTable:
    """Give every ladder in force during `[start_ms, end_ms)`, for `tick_at`."""
    since = [start_ms, *_changes_within(market, start_ms, end_ms)]
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
    return next(unit for unit in _units(market, at_ms) if price >= unit.min_price)


def _units(market: str, at_ms: int) -> tuple[PriceUnit, ...]:
    """Give the rungs of a market at a time, highest first."""
    _check_krw(market)
    ladder = next(ladder for ladder in reversed(LADDERS) if ladder.valid_from_ms <= at_ms)
    own = {
        one.unit.min_price: one.unit
        for one in OWN_UNITS
        if market in one.markets and one.valid_from_ms <= at_ms < one.valid_to_ms
    }
    return tuple(own.get(unit.min_price, unit) for unit in ladder.units)


def _changes_within(market: str, start_ms: int, end_ms: int) -> list[int]:
    """Give the times in `(start, end)` at which rungs of a market changed, oldest first."""
    own = [one for one in OWN_UNITS if market in one.markets]
    times = {ladder.valid_from_ms for ladder in LADDERS}
    times |= {at_ms for one in own for at_ms in (one.valid_from_ms, one.valid_to_ms)}
    return sorted(at_ms for at_ms in times if start_ms < at_ms < end_ms)


def _order_rules(market: str, at_ms: int) -> OrderRules:
    _check_krw(market)
    return next(rules for rules in reversed(ORDER_RULES) if rules.valid_from_ms <= at_ms)


def _check_krw(market: str) -> None:
    if not market.startswith("KRW-"):
        raise UnknownMarketError(market, ("KRW-BTC", "KRW-ETH", "any other KRW market"))
