"""A made market that looks like one: a function of (seed, market, UTC day) alone, so any cut of it is the same.

Its numbers are chosen, not fitted: volatility that clusters (a log-volatility that reverts within hours), returns with
heavy tails, spread and price steps of the exchange's rules, sizes over several orders of magnitude, bursts, minutes and
hours without a trade in the quieter markets, a day that follows Korean waking hours, and several trades in one
millisecond. Volatility starts each day anew; the price goes on across midnight.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickloop.domain.market import Side
from tickloop.domain.rules import ladder_table
from tickloop.domain.window import DAY_MS, HOUR_MS, MINUTE_MS
from tickloop.errors import HomeNotWritableError, UsageError
from tickloop.simulator.candles import Candles, minutes_of
from tickloop.simulator.days import DAYS_KEPT, MINUTES_KEPT, YEAR_DAYS, Day, Extreme, day_of
from tickloop.simulator.seeded import key_of
from tickloop.simulator.tape import CHANGES, SIDES, Tape, change_against, tape_of

SEEDED = "seeded"
"""Name of this source among the recordings."""

FIRST_DAY_MS = 1_577_836_800_000
"""2020-01-01: generated markets begin here and never end."""

END_MS = 2_208_988_800_000  # 2040-01-01

MINUTES = DAY_MS // MINUTE_MS

_NAMED = {"KRW-BTC": (90_000_000.0, 30_000.0), "KRW-ETH": (4_000_000.0, 18_000.0)}
"""Market -> price at its beginning in KRW, trades a day on average."""

_MOMENT = re.compile(r"(KRW-[A-Z0-9]+):\+(\d{1,6})([hm])")

_DAILY_SIGMA = 0.03
_VOLATILITY_SIGMA = 0.6  # of the logarithm of a minute's volatility, around the day's
_VOLATILITY_MEMORY = 0.985  # per minute: half of it is left after three quarters of an hour
_TAILS = 4.0  # degrees of freedom of a minute's return
_BURST_SHARE = 0.003  # of minutes, in which activity is many times the usual
_SAME_MS = 0.25  # of trades that share the millisecond of the one before
_SIDE_MEMORY = 0.7  # probability that a taker's side follows the one before
_SIZE_MEDIAN_KRW, _SIZE_SIGMA = 150_000.0, 1.7


class Printed(msgspec.Struct, frozen=True):
    """A trade that an order of the account made, printed for everybody."""

    market: str
    ts_ms: int
    trade_id: int
    price: float
    qty_e8: int
    side: Side


class GeneratedMarkets:
    """A made exchange as a source of prices.

    Args:
        spans: market -> from when to when (epoch ms) it is on offer; others always are.
        prints: file of the fills that were printed; a killed simulator goes on with them.
    """

    def __init__(
        self, markets: Sequence[str], spans: Mapping[str, tuple[int, int]] | None = None, prints: Path | None = None
    ) -> None:
        self.markets = tuple(markets)
        self.spans = dict(spans or {})
        self._prints = prints
        self._days: dict[str, GeneratedDays] = {}

    def days(self, market: str, seed: int) -> GeneratedDays:
        made = GeneratedDays(market, seed, self.spans.get(market, (FIRST_DAY_MS, END_MS)))
        self._days[market] = made
        for trade in _read_prints(self._prints):
            if trade.market == market:
                made.print_trade(trade)
        return made

    def print_trade(self, trade: Printed) -> None:
        """Add a trade to the market, for good.

        Raises:
            HomeNotWritableError: it cannot be kept; nothing was printed.
        """
        if self._prints is not None:
            try:
                with self._prints.open("ab") as file:
                    file.write(msgspec.json.encode(trade) + b"\n")
            except OSError as exc:
                raise HomeNotWritableError(f"printed trades {self._prints} cannot be written: {exc.strerror}") from exc
        self._days[trade.market].print_trade(trade)


def _read_prints(path: Path | None) -> list[Printed]:
    if path is None or not path.is_file():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [msgspec.json.decode(line, type=Printed) for line in whole.splitlines() if line]


def market_codes(count: int) -> tuple[str, ...]:
    """Give the codes of a made exchange: KRW-BTC, KRW-ETH, then KRW-S001 and on, ever quieter."""
    return (*_NAMED, *(f"KRW-S{number:03d}" for number in range(1, count)))[:count]


def spans_of(listings: Sequence[str], delistings: Sequence[str], start_ms: int) -> dict[str, tuple[int, int]]:
    """Read from when to when markets are on offer, from texts such as `KRW-S005:+2h`.

    Raises:
        UsageError: naming the text and what would be valid.
    """
    first = dict(_moment(text, start_ms) for text in listings)
    last = dict(_moment(text, start_ms) for text in delistings)
    return {code: (first.get(code, FIRST_DAY_MS), last.get(code, END_MS)) for code in {**first, **last}}


def _moment(text: str, start_ms: int) -> tuple[str, int]:
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise UsageError(f"listing {text!r}; valid: a market and h or m after the start, such as KRW-S005:+2h")
    return match[1], start_ms + int(match[2]) * (HOUR_MS if match[3] == "h" else MINUTE_MS)


class GeneratedDays:
    """All days of one made market, in the form of a recorded one's."""

    def __init__(self, market: str, seed: int, span_ms: tuple[int, int] = (FIRST_DAY_MS, END_MS)) -> None:
        self.market = market
        self.start_ms, self.end_ms = span_ms
        self._key = int(key_of(seed, f"seeded/{market}"))
        self._begin_price, self._trades_a_day = _character(market)
        self._printed: dict[int, list[Printed]] = {}
        self.day = lru_cache(DAYS_KEPT)(self._day)
        self.minutes = lru_cache(MINUTES_KEPT)(self._minutes)
        self._made = lru_cache(DAYS_KEPT)(self._made_day)
        self._trades = lru_cache(2)(self._trades_of)  # the close of a day is wanted by the next one

    def day_before(self, ts_ms: int) -> int | None:
        """Give the start of the last day with trades among those that start before a moment, or None."""
        return self._first_with_trades(day_of(ts_ms - 1), -DAY_MS)

    def day_from(self, ts_ms: int) -> int | None:
        """Give the start of the first day with trades that starts at a moment or later, or None."""
        return self._first_with_trades(-(-ts_ms // DAY_MS) * DAY_MS, DAY_MS)

    def trades_between(self, start_ms: int, end_ms: int) -> Tape:
        """Give the trades of `[start_ms, end_ms)`, all within one UTC day."""
        tape = self.day(day_of(start_ms)).tape
        first, last = np.searchsorted(tape.ts_event, (start_ms, end_ms))
        return tape.take(slice(int(first), int(last)))

    def print_trade(self, trade: Printed) -> None:
        """Add a trade; its day is made anew with it."""
        day_ms = day_of(trade.ts_ms)
        self._printed.setdefault(day_ms, []).append(trade)
        self.day.cache_clear()
        self.minutes.cache_clear()

    def _first_with_trades(self, day_ms: int, step_ms: int) -> int | None:
        for _ in range(YEAR_DAYS):  # a market that is this dead has ended for everybody who asks
            if not day_of(self.start_ms) <= day_ms < self.end_ms:
                return None
            if len(self.day(day_ms).tape):
                return day_ms
            day_ms += step_ms
        return None

    def _day(self, start_ms: int) -> Day:
        made = self._made(start_ms)
        printed = self._printed.get(start_ms, [])
        tape = made if not printed else _with_printed(made, printed)
        return Day(tape, self._extreme_before(start_ms))

    def _minutes(self, start_ms: int) -> Candles:
        return minutes_of(self.day(start_ms).tape)

    def _made_day(self, start_ms: int) -> Tape:
        if not day_of(self.start_ms) <= start_ms < self.end_ms:
            return tape_of(self.market, *_nothing(), np.empty(0))
        ts_event, price, qty_e8, side = self._trades_of(start_ms)
        previous = self._trades_of(start_ms - DAY_MS)[1][-1:] if start_ms > self.start_ms else np.empty(0)
        before = (
            float(previous[0]) if len(previous) else float(_rounded(self.market, self._opens_at(start_ms), start_ms)[0])
        )
        tape = tape_of(self.market, ts_event, price, qty_e8, side, np.full(len(ts_event), before))
        return tape.take((tape.ts_event >= self.start_ms) & (tape.ts_event < self.end_ms))

    def _trades_of(
        self, start_ms: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.uint8]]:
        draw = np.random.Generator(np.random.Philox([self._key, start_ms // DAY_MS]))
        log_volatility = _volatility(draw)
        counts = draw.poisson(self._activity(draw, log_volatility))
        total = int(counts.sum())
        if not total:
            return _nothing()
        minute = np.repeat(np.arange(MINUTES), counts)
        ts_event = start_ms + minute * MINUTE_MS + draw.integers(0, MINUTE_MS, total)
        ts_event.sort()
        is_same = draw.random(total) < _SAME_MS
        is_same[0] = False
        ts_event = ts_event[np.maximum.accumulate(np.where(is_same, 0, np.arange(total)))]
        side = _sides(draw, total)
        mid = np.interp(
            ts_event, start_ms + np.arange(MINUTES + 1) * MINUTE_MS, self._path(draw, start_ms, log_volatility)
        )
        price = _on_grid(self.market, mid, side, start_ms)
        krw = _SIZE_MEDIAN_KRW * np.exp(_SIZE_SIGMA * draw.standard_normal(total))
        qty_e8 = np.maximum(np.rint(krw / price * 1e8), 1).astype(np.int64)
        return ts_event, price, qty_e8, side

    def _activity(self, draw: np.random.Generator, log_volatility: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the expected trades of each minute of a day."""
        hours = np.arange(MINUTES) / 60 + 9  # in Korea
        season = 1 + 0.5 * np.sin((hours - 14) / 24 * 2 * np.pi)
        day = np.exp(0.4 * draw.standard_normal() - 0.08)
        burst = np.where(draw.random(MINUTES) < _BURST_SHARE, draw.uniform(5, 30, MINUTES), 1.0)
        liveliness = np.exp(log_volatility - _VOLATILITY_SIGMA**2 / 2)
        expected: NDArray[np.float64] = self._trades_a_day / MINUTES * day * season * burst * liveliness
        return expected

    def _path(
        self, draw: np.random.Generator, start_ms: int, log_volatility: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Give the mid price at each minute's start and at the day's end, where the next day begins."""
        steps = draw.standard_t(_TAILS, MINUTES) * np.exp(log_volatility) * _DAILY_SIGMA / np.sqrt(2 * MINUTES)
        walk = np.concatenate([[0.0], np.cumsum(steps)])
        first, last = np.log(self._open(start_ms)), np.log(self._open(start_ms + DAY_MS))
        bridge = walk + np.arange(MINUTES + 1) / MINUTES * (last - first - walk[-1])
        result: NDArray[np.float64] = np.exp(first + bridge)
        return result

    def _opens_at(self, day_ms: int) -> NDArray[np.float64]:
        place = (day_ms - FIRST_DAY_MS) // DAY_MS
        result: NDArray[np.float64] = self._opens[place : place + 1]
        return result

    def _open(self, day_ms: int) -> float:
        return float(self._opens_at(day_ms)[0])

    @cached_property
    def _opens(self) -> NDArray[np.float64]:
        """Give the mid price at the start of every day."""
        draw = np.random.Generator(np.random.Philox([self._key, 0]))
        count = (END_MS - FIRST_DAY_MS) // DAY_MS + 1
        returns = _DAILY_SIGMA * draw.standard_normal(count)
        log_price = np.empty(count)
        value = 0.0
        for place in range(count):  # drawn back towards its beginning, or twenty years would lead anywhere
            log_price[place] = value
            value = 0.995 * value + returns[place]
        result: NDArray[np.float64] = self._begin_price * np.exp(log_price)
        return result

    def _extreme_before(self, day_ms: int) -> Extreme | None:
        """Give the extremes of the 52 weeks before a day, by the opens of its days."""
        place = (day_ms - FIRST_DAY_MS) // DAY_MS
        opens = self._opens[max(place - YEAR_DAYS, 0) : place]
        if not len(opens):
            return None
        first = place - len(opens)
        high, low = int(opens.argmax()), int(opens.argmin())
        at = [FIRST_DAY_MS + (first + one) * DAY_MS for one in (high, low)]
        prices = _rounded(self.market, opens[[high, low]], day_ms)
        return Extreme(float(prices[0]), at[0], float(prices[1]), at[1])


def _character(market: str) -> tuple[float, float]:
    """Give a market's price at its beginning and its trades a day; both spread over orders of magnitude."""
    if market in _NAMED:
        return _NAMED[market]
    number = int(market.removeprefix("KRW-S")) if market.removeprefix("KRW-S").isdecimal() else 1
    draw = np.random.Generator(np.random.Philox([int(key_of(0, market)), 0]))
    return float(np.exp(draw.uniform(np.log(1.0), np.log(500_000.0)))), 12_000.0 / number**1.1


def _volatility(draw: np.random.Generator) -> NDArray[np.float64]:
    """Give the logarithm of each minute's volatility against the day's usual one."""
    shocks = _VOLATILITY_SIGMA * np.sqrt(1 - _VOLATILITY_MEMORY**2) * draw.standard_normal(MINUTES)
    result = np.empty(MINUTES)
    value = _VOLATILITY_SIGMA * draw.standard_normal()
    for place in range(MINUTES):
        result[place] = value
        value = _VOLATILITY_MEMORY * value + shocks[place]
    return result


def _sides(draw: np.random.Generator, total: int) -> NDArray[np.uint8]:
    """Give takers' sides; each keeps the one before with some probability."""
    is_turn = draw.random(total) >= _SIDE_MEMORY
    side: NDArray[np.uint8] = ((np.cumsum(is_turn) + draw.integers(0, 2)) % 2).astype(np.uint8)
    return side


def _on_grid(market: str, mid: NDArray[np.float64], side: NDArray[np.uint8], at_ms: int) -> NDArray[np.float64]:
    """Give prices: half a step above the mid for a buyer, half a step below for a seller, on the price steps."""
    sign = np.where(side == SIDES.index(Side.BUY), 0.5, -0.5)
    steps = _steps(market, mid, at_ms)
    return _rounded(market, np.maximum(mid + sign * steps, steps), at_ms)


def _rounded(market: str, prices: NDArray[np.float64], at_ms: int) -> NDArray[np.float64]:
    steps = _steps(market, prices, at_ms)
    whole = np.maximum(np.rint(prices / steps), 1)
    # A step below 1 is divided by its inverse: the nearest double of the decimal, as the exchange would print it.
    inverse = np.maximum(np.rint(1 / steps), 1)
    result: NDArray[np.float64] = np.where(steps < 1, whole / inverse, whole * steps)
    return result


def _steps(market: str, prices: NDArray[np.float64], at_ms: int) -> NDArray[np.float64]:
    table = ladder_table(market, at_ms, at_ms + 1)
    place = np.searchsorted(table.thresholds[0], prices, side="right") - 1
    result: NDArray[np.float64] = table.ticks[0][place]
    return result


def _nothing() -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.uint8]]:
    return np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), np.empty(0, np.uint8)


def _with_printed(made: Tape, printed: Sequence[Printed]) -> Tape:
    rows = [
        [one.ts_ms for one in printed],
        [one.trade_id for one in printed],
        [one.price for one in printed],
        [one.qty_e8 for one in printed],
        [SIDES.index(one.side) for one in printed],
    ]
    before = float(made.prev_close[0]) if len(made) else printed[0].price
    change = [CHANGES.index(change_against(one.price, before)) for one in printed]
    columns = (*rows, change, [before] * len(printed))
    names = ("ts_event", "trade_id", "price", "qty_e8", "side", "change", "prev_close")
    joined = [
        np.concatenate([getattr(made, name), np.array(column, dtype=getattr(made, name).dtype)])
        for name, column in zip(names, columns, strict=True)
    ]
    order = np.argsort(joined[0], kind="stable")
    return Tape(made.market, *(column[order] for column in joined))
