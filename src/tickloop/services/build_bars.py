"""Trades, ledger and, where ours do not stand, candles -> one-minute bars."""

from __future__ import annotations

from typing import Any

import polars as pl

from tickloop.domain.bars import bars_from_candles, build_bars, candle_frame
from tickloop.domain.ledger import FROM_CANDLE, label_bars
from tickloop.domain.tables import BAR_1M, CANDLE, LEDGER, TRADE
from tickloop.domain.window import MINUTE_MS, Window
from tickloop.errors import DataError
from tickloop.services.build_features import mark_later
from tickloop.services.steps import StepPorts


def bars(ports: StepPorts, market: str, window: Window) -> dict[str, Any]:
    """Replace the bars of a window; counts: `rows`, and `from_candles` of them.

    Where they change, features of later hours that looked back into the window are marked due.

    Raises:
        DataError: if a minute of the window is not in the ledger, or calls for a candle that the exchange lacks now.
    """
    ledger = ports.warehouse.read(LEDGER, market, window)
    minutes = (window.end_ms - window.start_ms) // MINUTE_MS
    if ledger.height != minutes:
        raise DataError(
            f"the ledger has {ledger.height} of {minutes} minutes of {market} in {window}; run verify first"
        )
    trade_bars = build_bars(ports.warehouse.read(TRADE, market, window))
    rows = label_bars(trade_bars, bars_from_candles(_candles(ports, market, window, ledger)), ledger)
    before = ports.warehouse.read(BAR_1M, market, window)
    ports.warehouse.replace(BAR_1M, market, window, rows)
    if not before.equals(rows):
        mark_later(ports, market, window)
    return {"rows": rows.height, "from_candles": rows.filter(pl.col("state").is_in(FROM_CANDLE)).height}


def _candles(ports: StepPorts, market: str, window: Window, ledger: pl.DataFrame) -> pl.DataFrame:
    needs_candle = pl.col("state").is_in(FROM_CANDLE) & pl.col("candle_volume").is_not_null()
    if ledger.filter(needs_candle).is_empty():
        return CANDLE.empty()
    return candle_frame(ports.market_data.candles(market, window))
