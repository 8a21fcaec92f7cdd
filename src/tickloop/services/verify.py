"""Trades of a window against the exchange's candles: the completeness ledger, and repair from REST."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from tickloop.domain.bars import candle_frame
from tickloop.domain.ledger import OUTCOME_FETCHED, OUTCOME_GONE, classify, pending_ranges
from tickloop.domain.market import Trade
from tickloop.domain.tables import LEDGER, REPAIR, TRADE
from tickloop.domain.window import MINUTE_MS, Window, hour_of
from tickloop.services.steps import StepPorts, mark_due, require_over


def verify(ports: StepPorts, market: str, window: Window) -> dict[str, Any]:
    """Replace the ledger of a window; ask REST once for the trades of minutes that are short.

    Trades that REST gives go to the raw store, and extract of their hours is marked due: they count only once they
    came down the chain. Until then their minutes stay `unknown`, reason `pending`.

    Returns:
        Counts: minutes by state, `asked` (minutes asked for), `fetched` (trades new to us).

    Raises:
        WindowError: if a minute of the window is not over.
        ExchangeError: if the exchange does not answer; nothing is changed then.
    """
    require_over(window, ports.clock.now_ms())
    candles = candle_frame(ports.market_data.candles(market, window))
    trades = ports.warehouse.read(TRADE, market, window)
    repairs = ports.warehouse.read(REPAIR, market, window)
    ledger = classify(market, window, trades, candles, repairs)
    pending = pending_ranges(ledger)
    fetched: list[Trade] = []
    if pending:
        fetched, asked = _ask(ports, market, pending, trades)
        open_minutes = {trade.ts_event_ms - trade.ts_event_ms % MINUTE_MS for trade in fetched}
        settled = asked.filter(~pl.col("minute").to_physical().is_in(sorted(open_minutes)))
        ledger = classify(market, window, trades, candles, pl.concat([repairs, settled]))
    ports.warehouse.replace(LEDGER, market, window, ledger)
    states = {str(state): count for state, count in ledger["state"].value_counts().sort("state").iter_rows()}
    asked_minutes = sum(part.end_ms - part.start_ms for part in pending) // MINUTE_MS
    return {**states, "asked": asked_minutes, "fetched": len(fetched)}


def _ask(
    ports: StepPorts, market: str, pending: Sequence[Window], trades: pl.DataFrame
) -> tuple[list[Trade], pl.DataFrame]:
    """Fetch trades of some minutes; give those new to us, and the REPAIR rows written."""
    answer = [
        trade for part in pending for trade in ports.market_data.trades(market, part) if trade.ts_event_ms in part
    ]
    known = set(trades["trade_id"])
    fetched = [trade for trade in answer if trade.trade_id not in known]
    repairs = _repair_rows(market, pending, answer, ports.clock.now_ms())
    # In this order a crash in between asks once more instead of settling a minute without its trades.
    if fetched:
        ports.raw.append_repairs(fetched)
        for start in sorted({hour_of(trade.ts_event_ms).start_ms for trade in fetched}):
            mark_due(ports, "extract", market, hour_of(start))
    ports.warehouse.upsert(REPAIR, repairs)
    return fetched, repairs


def _repair_rows(market: str, pending: Sequence[Window], answer: Sequence[Trade], now_ms: int) -> pl.DataFrame:
    counts = {start: 0 for part in pending for start in range(part.start_ms, part.end_ms, MINUTE_MS)}
    for trade in answer:
        counts[trade.ts_event_ms - trade.ts_event_ms % MINUTE_MS] += 1
    columns = {
        "market": [market] * len(counts),
        "minute": list(counts),
        "asked_at": [now_ms] * len(counts),
        "outcome": [OUTCOME_FETCHED if count else OUTCOME_GONE for count in counts.values()],
        "trades": list(counts.values()),
    }
    return pl.DataFrame(columns, schema=REPAIR.columns)
