"""What the API shows: rows of the warehouse joined with what is live, as values that are ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import polars as pl

from tickloop.domain.bars import bars_from_candles
from tickloop.domain.market import MinuteState
from tickloop.domain.tables import BAR_1M, CANDLE, LEDGER
from tickloop.domain.window import MINUTE_MS, to_datetime, to_ms
from tickloop.entrypoints.api.live import Answer, LiveMarket
from tickloop.entrypoints.api.runtime import ServingRuntime
from tickloop.entrypoints.api.schemas import BarIn
from tickloop.ports import ModelRegistry, Warehouse

Row = dict[str, Any]


def answer_row(answer: Answer) -> Row:
    forecast = answer.forecast
    return {
        "market": answer.market,
        "target_minute": to_datetime(answer.target_minute_ms),
        "model_version": forecast.model_version if forecast else None,
        "made_at": to_datetime(forecast.made_at_ms) if forecast else None,
        "last_bar": to_datetime(forecast.last_bar_ms) if forecast else None,
        "last_price": forecast.last_price if forecast else None,
        "log_return": forecast.log_return if forecast else None,
        "price": forecast.price if forecast else None,
        "reason": answer.reason,
    }


def answer_for(live: LiveMarket, bars: list[BarIn] | None, now_ms: int) -> Answer:
    """Forecast from the caller's bars, or the server's own when None.

    Raises:
        DataError: if the caller's bars are not sound.
    """
    if bars is None:
        return live.answer(now_ms)
    rows = [{"market": live.market, **bar.model_dump()} for bar in bars]
    frame = bars_from_candles(pl.DataFrame(rows, schema=CANDLE.columns))
    return live.answer_from(frame, to_ms(bars[-1].ts_open) + MINUTE_MS, now_ms)


def bar_rows(warehouse: Warehouse, market: str, last: int, closed: pl.DataFrame, still_open: pl.DataFrame) -> list[Row]:
    """Give the newest bars, oldest first: stored ones, then those closed here since, then the open minute so far.

    A stored bar stands before the live one of its minute: the ledger has looked at it.
    """
    stored = warehouse.read(BAR_1M, market, last=last)
    is_closed = pl.lit(True).alias("is_closed")
    known = pl.concat([stored, closed]).unique("ts_open", keep="first", maintain_order=True).sort("ts_open")
    bars = pl.concat([known.with_columns(is_closed), still_open.with_columns(~is_closed)])
    return bars.tail(last).to_dicts()


def ledger_view(warehouse: Warehouse, market: str, last: int) -> Row:
    """Count the minutes of a market by state, and list the newest that are not verified."""
    ledger = warehouse.read(LEDGER, market)
    counts = {str(state): int(count) for state, count in ledger.group_by("state").len().sort("state").iter_rows()}
    others = ledger.filter(pl.col("state") != MinuteState.VERIFIED.value).tail(last)
    return {"market": market, "counts": counts, "minutes": others.to_dicts()}


def model_rows(registry: ModelRegistry, serving: Mapping[str, tuple[str, ...]]) -> list[Row]:
    """List all versions of the markets in `serving` (market -> names of the loaded models), oldest first."""
    return [
        {
            "market": market,
            "name": version.name,
            "family": version.family,
            "aliases": list(version.aliases),
            "is_serving": version.name in names,
            "created_at": to_datetime(version.created_at_ms),
            "metrics": dict(version.metrics),
            "params": dict(version.params),
        }
        for market, names in serving.items()
        for version in registry.versions(market)
    ]


def decision_rows(registry: ModelRegistry, market: str, last: int) -> list[Row]:
    rows = []
    for decision in registry.decisions(market):
        row = asdict(decision)
        slot_start_ms, decided_at_ms = row.pop("slot_start_ms"), row.pop("decided_at_ms")
        rows.append({**row, "slot_start": to_datetime(slot_start_ms), "decided_at": to_datetime(decided_at_ms)})
    return rows[-last:]


def status_view(runtime: ServingRuntime) -> Row:
    now_ms = runtime.clock.now_ms()
    problems = runtime.problems()
    counts = runtime.counts
    return {
        "market_time": to_datetime(now_ms),
        "notice": runtime.notice,
        "is_ready": not problems,
        "problems": problems,
        "markets": [_market_status(live, counts.forecasts[live.market], now_ms) for live in runtime.all_live()],
        "counts": {
            "stored": counts.stored,
            "skipped_minutes": counts.skipped_minutes,
            "reconnects": counts.reconnects,
            "corrupt_frames": counts.corrupt_frames,
            "failures": counts.failures.total(),
        },
    }


def _market_status(live: LiveMarket, forecasts: int, now_ms: int) -> Row:
    names = live.forecaster.serving.names
    bars = live.bars.frame()
    return {
        "market": live.market,
        "stream": live.stream,
        "last_trade": _moment(live.bars.last_trade_ms()),
        "last_price": live.bars.last_price(),
        "last_bar": None if bars.is_empty() else bars["ts_open"][-1],
        "champion": names[0] if names else None,
        "shadows": list(names[1:]),
        "forecasts": forecasts,
        "late_trades": live.bars.late,
        "message": _message(live, now_ms),
    }


def _message(live: LiveMarket, now_ms: int) -> str:
    if live.has_ended:
        return "the market trades no more (or its recording has ended): no gap, no alarm"
    return "; ".join(live.problems(now_ms)) or "live"


def _moment(ts_ms: int | None) -> datetime | None:
    return None if ts_ms is None else to_datetime(ts_ms)
