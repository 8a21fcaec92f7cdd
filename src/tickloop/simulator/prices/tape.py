"""Trades of one market as parallel arrays: made from candles, or as recorded.

Made trades are a function of (seed, market, minute) alone, so any cut of the recording gives the same ones. Prices,
volume and minute are real; the path inside the minute, the sizes, times, sides and ids are invented.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.market import Change, Side
from tickloop.domain.tables import CHANGE, SIDE, TIME
from tickloop.simulator.prices.candle_trades import count_trades, fill_trades
from tickloop.simulator.prices.grid import in_steps, price_steps
from tickloop.simulator.prices.seeded import key_of, number_trades

SIDES = tuple(Side)
CHANGES = tuple(Change)

_BUY, _SELL = SIDES.index(Side.BUY), SIDES.index(Side.SELL)


@dataclass(frozen=True)
class Tape:
    """Trades of one market, all arrays of one length; in exchange order unless a function says otherwise.

    Attributes:
        ts_event: int64, epoch ms UTC.
        trade_id: int64, ms x 10,000 + n: unique, and as on the exchange no order inside one millisecond.
        price: float64, KRW.
        qty_e8: int64.
        side: uint8, index into SIDES.
        change: uint8, index into CHANGES.
        prev_close: float64, close of the previous UTC day; the trade's own price (and EVEN) where it is not known.
    """

    market: str
    ts_event: NDArray[np.int64]
    trade_id: NDArray[np.int64]
    price: NDArray[np.float64]
    qty_e8: NDArray[np.int64]
    side: NDArray[np.uint8]
    change: NDArray[np.uint8]
    prev_close: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ts_event)

    def take(self, rows: slice | NDArray[Any]) -> Tape:
        """Give the trades of a slice, a mask or an array of indices."""
        return Tape(self.market, *(getattr(self, field.name)[rows] for field in fields(self)[1:]))

    def frame(self) -> pl.DataFrame:
        """Give what bars need: market, ts_event, price, qty_e8, side, change, as in the TRADE table."""
        return pl.DataFrame(
            {
                "market": pl.repeat(self.market, len(self), eager=True),
                "ts_event": pl.Series(self.ts_event).cast(TIME),
                "price": self.price,
                "qty_e8": self.qty_e8,
                "side": pl.Series(SIDES, dtype=SIDE)[self.side],
                "change": pl.Series(CHANGES, dtype=CHANGE)[self.change],
            }
        )


def trades_from_candles(market: str, candles: pl.DataFrame, seed: int) -> Tape:
    """Make the trades of candles: 4 to 40 each, more when the turnover is large, fewer when the volume forbids 4.

    Args:
        candles: rows of a `candles` recording of this market, in order.

    Returns:
        A tape whose bars are the candles exactly: open first, close last, high and low reached, every price inside
        and on the price steps, and the sum of `qty_e8` / 1e8 is the candle's volume.
    """
    ts_open, qty_e8, prev_close = (candles[name].to_numpy() for name in ("ts_open", "qty_e8", "prev_close"))
    prices = candles.select("open", "high", "low", "close").to_numpy()
    over, under = price_steps(market, ts_open, prices)
    steps = np.ascontiguousarray(in_steps(prices, over[:, None], under[:, None]))
    key = key_of(seed, market)
    counts = count_trades(key, ts_open, steps, qty_e8, qty_e8 / 1e8 * prices[:, 3])
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    ts_event, step, qty = (np.empty(total, dtype=np.int64) for _ in range(3))
    side = np.empty(total, dtype=np.uint8)
    fill_trades(key, ts_open, steps, qty_e8, ends, ts_event, step, qty, side)
    price = step * np.repeat(over, counts) / np.repeat(under, counts)
    return tape_of(market, key, ts_event, price, qty, side, np.repeat(prev_close, counts))


def trades_as_recorded(market: str, trades: pl.DataFrame, seed: int) -> Tape:
    """Give recorded trades; ids and sides that the recording lacks are made, sides by the tick rule.

    A price above the last different one is a buy, one below a sell, an equal one as before; the first is a buy.

    Args:
        trades: rows of a `trades` recording of this market, in order; a slice loses the side's memory, so pass all.
    """
    ts_event, price, qty_e8, prev_close = (
        trades[name].to_numpy() for name in ("ts_event", "price", "qty_e8", "prev_close")
    )
    side, trade_id = _sides(price), None
    if "side" in trades.columns:
        side = np.where((trades["side"] == Side.BUY.value).to_numpy(), _BUY, _SELL).astype(np.uint8)
    if "trade_id" in trades.columns:
        trade_id = trades["trade_id"].to_numpy()
    return tape_of(market, key_of(seed, market), ts_event, price, qty_e8, side, prev_close, trade_id)


def tape_of(
    market: str,
    key: np.uint64,
    ts_event: NDArray[np.int64],
    price: NDArray[np.float64],
    qty_e8: NDArray[np.int64],
    side: NDArray[np.uint8],
    prev_close: NDArray[np.float64],
    trade_id: NDArray[np.int64] | None = None,
) -> Tape:
    """Give trades in order of time as a tape; where ids are not given, they are made from the key."""
    if trade_id is None:
        trade_id = np.empty(len(ts_event), dtype=np.int64)
        number_trades(key, np.ascontiguousarray(ts_event), trade_id)
    prev_close = np.where(np.isnan(prev_close), price, prev_close)
    change = (CHANGES.index(Change.EVEN) + np.sign(price - prev_close)).astype(np.uint8)
    return Tape(market, ts_event, trade_id, price, qty_e8, side, change, prev_close)


def change_against(price: float, prev_close: float) -> Change:
    """Tell how a price stands to the close of the day before."""
    if price == prev_close:
        return Change.EVEN
    return Change.RISE if price > prev_close else Change.FALL


def _sides(price: NDArray[np.float64]) -> NDArray[np.uint8]:
    move = np.sign(np.diff(price, prepend=price[:1]))
    last_move = np.maximum.accumulate(np.where(move != 0, np.arange(len(price)), 0))
    return np.where(move[last_move] < 0, _SELL, _BUY).astype(np.uint8)
