"""Trades of a window against the exchange's candles: the completeness ledger, and repair from REST."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

import polars as pl

from tickloop.domain.bars import candle_frame
from tickloop.domain.ledger import (
    OUTCOME_FETCHED,
    OUTCOME_GONE,
    REASON_EXCESS,
    classify,
    pending_ranges,
    withdrawn,
)
from tickloop.domain.market import Trade
from tickloop.domain.tables import LEDGER, REPAIR, RUN, TRADE
from tickloop.domain.window import MINUTE_MS, Window, hour_of
from tickloop.services.steps import StepPorts, mark_due, require_over


def verify(ports: StepPorts, market: str, window: Window) -> dict[str, Any]:
    """Replace the ledger of a window; ask REST once for the trades of minutes that are short.

    Trades that REST gives go to the raw store, and extract of their hours is marked due: they count only once they
    came down the chain. Until then their minutes stay `unknown`, reason `pending`.

    Returns:
        Counts: minutes by state, `asked` (minutes asked for), `fetched` (trades new to us); `excess` (minutes in
        which we hold more than the candle) and `looks` (times that this was looked at again) where there are any.

    Raises:
        WindowError: if a minute of the window is not over.
        ExchangeError: if the exchange does not answer. Minutes whose trades changed since they were last compared are
            `unknown`, reason `pending`, then; so are minutes that are short, when it gives candles but no trades.
    """
    require_over(window, ports.clock.now_ms())
    trades = ports.warehouse.read(TRADE, market, window)
    ports.warehouse.upsert(LEDGER, withdrawn(ports.warehouse.read(LEDGER, market, window), trades))
    candles = candle_frame(ports.market_data.candles(market, window))
    repairs = ports.warehouse.read(REPAIR, market, window)
    ledger = classify(market, window, trades, candles, repairs)
    ports.warehouse.replace(LEDGER, market, window, ledger)
    pending = pending_ranges(ledger)
    fetched: list[Trade] = []
    if pending:
        fetched, asked = ask_rest(ports, market, pending, set(trades["trade_id"]))
        open_minutes = {trade.ts_event_ms - trade.ts_event_ms % MINUTE_MS for trade in fetched}
        settled = asked.filter(~pl.col("minute").to_physical().is_in(sorted(open_minutes)))
        ledger = classify(market, window, trades, candles, pl.concat([repairs, settled]))
        ports.warehouse.replace(LEDGER, market, window, ledger)
    return _counts(ports, market, window, ledger, pending, fetched)


def ask_rest(
    ports: StepPorts, market: str, windows: Sequence[Window], known: Collection[int]
) -> tuple[list[Trade], pl.DataFrame]:
    """Fetch the trades of whole minutes into the raw store, and mark extract of their hours due.

    Args:
        known: trade ids that we have; they are not appended again.

    Returns:
        the trades that were appended, and the REPAIR rows that were written: one for each minute, but none in hours
        that another runner is extracting just now. Its end may hide the mark, so that they must be asked for again.
    """
    answer = [
        trade for part in windows for trade in ports.market_data.trades(market, part) if trade.ts_event_ms in part
    ]
    fetched = [trade for trade in answer if trade.trade_id not in known]
    repairs = _repair_rows(market, windows, answer, ports.clock.now_ms())
    # In this order a crash in between asks once more instead of settling a minute without its trades.
    if fetched:
        ports.raw.append_repairs(fetched)
        hours = sorted({hour_of(trade.ts_event_ms) for trade in fetched})
        for hour in [hour for hour in hours if not _mark_extract(ports, market, hour)]:
            repairs = repairs.filter(~pl.col("minute").is_between(hour.start, hour.end, closed="left"))
    ports.warehouse.upsert(REPAIR, repairs)
    return fetched, repairs


def _mark_extract(ports: StepPorts, market: str, hour: Window) -> bool:
    """Mark the extract of an hour due; give False when it is running, and may have read before this."""
    with ports.lock.hold("extract", market, hour) as is_free:
        mark_due(ports, "extract", market, hour)
    return is_free


def _repair_rows(market: str, windows: Sequence[Window], answer: Sequence[Trade], now_ms: int) -> pl.DataFrame:
    counts = {start: 0 for part in windows for start in range(part.start_ms, part.end_ms, MINUTE_MS)}
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


def _counts(
    ports: StepPorts,
    market: str,
    window: Window,
    ledger: pl.DataFrame,
    pending: Sequence[Window],
    fetched: Sequence[Trade],
) -> dict[str, Any]:
    states = {str(state): count for state, count in ledger["state"].value_counts().sort("state").iter_rows()}
    asked = sum(part.end_ms - part.start_ms for part in pending) // MINUTE_MS
    counts = {**states, "asked": asked, "fetched": len(fetched)}
    excess = ledger.filter(pl.col("reason") == REASON_EXCESS).height
    return {**counts, "excess": excess, "looks": _looks(ports, market, window)} if excess else counts


def _looks(ports: StepPorts, market: str, window: Window) -> int:
    """Give how often the scheduler asked for another look at this window, as the run before this one tells."""
    runs = ports.warehouse.read(RUN, market, Window(window.start_ms, window.start_ms + MINUTE_MS))
    own = runs.filter((pl.col("step") == "verify") & (pl.col("window_end") == window.end))
    return int(json.loads(own["detail"][0]).get("looks", 0)) if own.height else 0
