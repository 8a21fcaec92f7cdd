"""The completeness ledger: what is known of each market-minute, and which bar therefore stands."""

from __future__ import annotations

import polars as pl

from tickloop.domain.market import QTY_UNITS, MinuteState, Source
from tickloop.domain.tables import BAR_1M, LEDGER, STATE, TIME
from tickloop.domain.window import DAY_MS, MINUTE_MS, Window, to_ms
from tickloop.errors import DataError

EXACT_BELOW = 1e7
"""Base units. From here on eight decimals need more digits than a double holds, so the exchange's number is rounded."""

ROUNDING = 1e-15
"""Relative: about one unit of the last (16th) digit that the exchange can print of such a volume."""

KEPT_DAYS = 7
"""UTC days before today of which the exchange still gives trades.

Source: Upbit developer centre, recent trades: `days_ago` is 1 to 7.
"""

REASON_BACKFILL = "backfill"
REASON_GONE = "gone"
REASON_SHORT = "short"
REASON_EXCESS = "excess"
REASON_PENDING = "pending"

OUTCOME_FETCHED = "fetched"
OUTCOME_GONE = "gone"

FROM_TRADES = (MinuteState.VERIFIED.value, MinuteState.REPAIRED.value)
FROM_CANDLE = (MinuteState.CANDLE.value, MinuteState.UNKNOWN.value)


def classify(
    market: str, window: Window, trades: pl.DataFrame, candles: pl.DataFrame, repairs: pl.DataFrame
) -> pl.DataFrame:
    """Compare the trades kept with the exchange's candles, minute by minute.

    Args:
        trades: TRADE frame of the market and window.
        candles: CANDLE frame of the same; the exchange has none for a minute without trades.
        repairs: REPAIR frame of the same: minutes for which REST was asked already.

    Returns:
        A LEDGER frame with one row for every minute of the window. A shortage that REST was not asked about yet is
        `unknown` with reason `pending`.
    """
    minutes = (
        _minutes(window)
        .join(_sums(trades), on="minute", how="left", maintain_order="left")
        .join(candles.select(minute="ts_open", candle_volume="volume"), on="minute", how="left", maintain_order="left")
        .join(repairs.select("minute", "outcome"), on="minute", how="left", maintain_order="left")
        .with_columns(pl.col("our_volume", "trades").fill_null(0), pl.col("is_from_rest").fill_null(False))
    )
    state, reason = _verdict()
    return minutes.with_columns(
        market=pl.lit(market), state=state.cast(STATE), reason=reason, is_rounded=_is_rounded().fill_null(False)
    ).select(list(LEDGER.columns))


def classify_backfill(market: str, window: Window, candles: pl.DataFrame) -> pl.DataFrame:
    """Give the LEDGER rows of a window whose trades were not asked for: `candle`, or `no_trade` without one."""
    has_candle = pl.col("candle_volume").is_not_null()
    candle, no_trade = pl.lit(MinuteState.CANDLE.value), pl.lit(MinuteState.NO_TRADE.value)
    return (
        _minutes(window)
        .join(candles.select(minute="ts_open", candle_volume="volume"), on="minute", how="left", maintain_order="left")
        .with_columns(
            market=pl.lit(market),
            state=pl.when(has_candle).then(candle).otherwise(no_trade).cast(STATE),
            reason=pl.when(has_candle).then(pl.lit(REASON_BACKFILL)),
            our_volume=pl.lit(None, pl.Float64),
            trades=pl.lit(0, pl.Int64),
            is_rounded=pl.lit(False),
        )
        .select(list(LEDGER.columns))
    )


def withdrawn(ledger: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    """Take back what the ledger says of minutes whose trades are no longer those that it was said of.

    Args:
        ledger: LEDGER frame of a market and window, as it stands.
        trades: TRADE frame of the same, as it is now.

    Returns:
        The LEDGER rows that must change, `unknown` with reason `pending`; none when all claims still hold.
    """
    now = _sums(trades).select("minute", now_volume="our_volume", now_trades="trades")
    both = ledger.join(now, on="minute", how="left", maintain_order="left").with_columns(
        pl.col("now_volume", "now_trades").fill_null(0)
    )
    is_other = (pl.col("now_trades") != pl.col("trades")) | (pl.col("now_volume") != pl.col("our_volume").fill_null(0))
    return (
        both.filter(is_other)
        .with_columns(
            state=pl.lit(MinuteState.UNKNOWN.value).cast(STATE),
            reason=pl.lit(REASON_PENDING),
            our_volume="now_volume",
            trades="now_trades",
            is_rounded=pl.lit(False),
        )
        .select(list(LEDGER.columns))
    )


def kept_since_ms(now_ms: int) -> int:
    """Give the time since which the exchange still gives trades: a midnight of UTC."""
    return now_ms - now_ms % DAY_MS - KEPT_DAYS * DAY_MS


def label_bars(trade_bars: pl.DataFrame, candle_bars: pl.DataFrame, ledger: pl.DataFrame) -> pl.DataFrame:
    """Choose the bar of each minute by the ledger and give it the ledger's state.

    Args:
        trade_bars: BAR_1M frame made from our trades.
        candle_bars: BAR_1M frame made from the exchange's candles; needed where the state is `candle` or `unknown`.
        ledger: LEDGER frame of the market and window.

    Returns:
        A BAR_1M frame in order of time: from our trades where `verified` or `repaired`, from the candle where
        `candle` or `unknown`; no row for `no_trade`, nor for `unknown` where the exchange has no candle.

    Raises:
        DataError: if the ledger calls for a bar that is not there.
    """
    states = ledger.select("minute", ledger_state="state")
    chosen = [
        _chosen(trade_bars, states, FROM_TRADES),
        _chosen(candle_bars, states, FROM_CANDLE),
    ]
    bars = pl.concat(chosen).sort("ts_open")
    _require_all(bars, ledger)
    return bars


def pending_ranges(ledger: pl.DataFrame) -> list[Window]:
    """Give the minutes of reason `pending` as contiguous windows, oldest first."""
    ranges: list[Window] = []
    for minute in ledger.filter(pl.col("reason") == REASON_PENDING)["minute"].sort():
        start = to_ms(minute)
        if ranges and ranges[-1].end_ms == start:
            start = ranges.pop().start_ms
        ranges.append(Window(start, to_ms(minute) + MINUTE_MS))
    return ranges


def _minutes(window: Window) -> pl.DataFrame:
    starts = pl.Series("minute", range(window.start_ms, window.end_ms, MINUTE_MS), dtype=pl.Int64)
    return pl.DataFrame({"minute": starts.cast(TIME)})


def _sums(trades: pl.DataFrame) -> pl.DataFrame:
    sums = trades.group_by(pl.col("ts_event").dt.truncate("1m").alias("minute")).agg(
        # Summed as whole numbers; 128 bits, because coins of a fraction of a won pass 64 bits of 1e-8.
        our_volume=pl.col("qty_e8").cast(pl.Int128).sum().cast(pl.Float64),
        trades=pl.len().cast(pl.Int64),
        is_from_rest=(pl.col("source") == Source.REST.value).any(),
    )
    # Not in polars: it divides by a number as a product with the reciprocal, which is off in the last bit.
    return sums.with_columns(our_volume=pl.Series(sums["our_volume"].to_numpy() / QTY_UNITS, dtype=pl.Float64))


def _is_rounded() -> pl.Expr:
    ours, theirs = pl.col("our_volume"), pl.col("candle_volume")
    return (theirs >= EXACT_BELOW) & (ours != theirs) & ((ours - theirs).abs() <= theirs * ROUNDING)


def _verdict() -> tuple[pl.Expr, pl.Expr]:
    ours, theirs, outcome = pl.col("our_volume"), pl.col("candle_volume"), pl.col("outcome")
    is_missing = theirs.is_null()
    cases: list[tuple[pl.Expr, MinuteState, str | None]] = [
        (is_missing & (pl.col("trades") == 0), MinuteState.NO_TRADE, None),
        (is_missing, MinuteState.UNKNOWN, REASON_EXCESS),
        (((ours == theirs) | _is_rounded()) & pl.col("is_from_rest"), MinuteState.REPAIRED, None),
        ((ours == theirs) | _is_rounded(), MinuteState.VERIFIED, None),
        (ours > theirs, MinuteState.UNKNOWN, REASON_EXCESS),
        (outcome.is_null(), MinuteState.UNKNOWN, REASON_PENDING),
        (outcome == OUTCOME_GONE, MinuteState.CANDLE, REASON_GONE),
        (pl.lit(True), MinuteState.CANDLE, REASON_SHORT),
    ]
    state: pl.Expr = pl.lit(None, pl.String)
    reason: pl.Expr = pl.lit(None, pl.String)
    for condition, verdict, why in reversed(cases):
        state = pl.when(condition).then(pl.lit(verdict.value)).otherwise(state)
        reason = pl.when(condition).then(pl.lit(why, pl.String)).otherwise(reason)
    return state, reason


def _chosen(bars: pl.DataFrame, states: pl.DataFrame, wanted: tuple[str, ...]) -> pl.DataFrame:
    rows = states.filter(pl.col("ledger_state").is_in(wanted))
    found = bars.join(rows, left_on="ts_open", right_on="minute", how="inner", maintain_order="left")
    return found.with_columns(state=pl.col("ledger_state")).select(list(BAR_1M.columns))


def _require_all(bars: pl.DataFrame, ledger: pl.DataFrame) -> None:
    needed = ledger.filter(
        pl.col("state").is_in(FROM_TRADES) | pl.col("state").is_in(FROM_CANDLE) & pl.col("candle_volume").is_not_null()
    )
    missing = needed.join(bars, left_on="minute", right_on="ts_open", how="anti")
    if missing.height:
        market, minute, state = missing.select("market", "minute", "state").row(0)
        raise DataError(
            f"minute {minute.isoformat()} of {market} is {state} in the ledger, but the bar it calls for is not there; "
            "run verify for this window again"
        )
