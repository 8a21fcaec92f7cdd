"""What the ledger says of a range, for people and scripts: counts, and the stretches that are not complete."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any

import polars as pl

from tickloop.domain.market import MinuteState
from tickloop.domain.tables import LEDGER, STATE, TIME
from tickloop.domain.window import MINUTE_MS, Window, to_ms

NEVER_VERIFIED = "never verified"
"""Reason given to a minute that is over and has no row in the ledger; it is not stored."""

_ORDER = tuple(state.value for state in MinuteState)


@dataclass(frozen=True)
class Stretch:
    """Neighbouring minutes of one state and reason; minutes without a trade between them do not part them.

    Attributes:
        minutes: those of this state and reason.
        our_volume: sum of our quantities, None where nothing was compared.
        candle_volume: sum of the candles' volumes, None where the exchange has no candle or was not asked.
        trades: trades of ours kept in these minutes.
    """

    window: Window
    minutes: int
    state: str
    reason: str | None
    our_volume: Decimal | None
    candle_volume: Decimal | None
    trades: int


@dataclass(frozen=True)
class LedgerReport:
    """One market's ledger over a range.

    Attributes:
        rows: LEDGER frame with a row for every minute of the window that is over.
        counts: (state, reason) -> minutes, in the order of the states.
        stretches: runs of minutes that are neither `verified` nor `no_trade`, oldest first.
    """

    market: str
    window: Window | None
    rows: pl.DataFrame
    counts: dict[tuple[str, str | None], int]
    stretches: tuple[Stretch, ...]

    @property
    def unknown(self) -> int:
        return sum(count for (state, _), count in self.counts.items() if state == MinuteState.UNKNOWN.value)


def report_ledger(market: str, window: Window | None, ledger: pl.DataFrame, now_ms: int) -> LedgerReport:
    """Sum up the ledger of one market.

    Args:
        window: the range asked for; None takes that from the first to the last row.
        ledger: LEDGER frame of the market and window, in order of time.
        now_ms: minutes that are not over by then are left out; others without a row count as `unknown`.
    """
    if window is None and ledger.height:
        window = Window(to_ms(ledger["minute"][0]), to_ms(ledger["minute"][-1]) + MINUTE_MS)
    rows = ledger if window is None else _with_absent(market, window, ledger, now_ms)
    counted = rows.group_by("state", "reason").len().rows()
    ordered = sorted(counted, key=lambda row: (_ORDER.index(row[0]), row[1] or ""))
    counts = {(state, reason): count for state, reason, count in ordered}
    return LedgerReport(market, window, rows, counts, tuple(_stretches(rows)))


def _with_absent(market: str, window: Window, ledger: pl.DataFrame, now_ms: int) -> pl.DataFrame:
    over_ms = min(window.end_ms, now_ms - now_ms % MINUTE_MS)
    starts = pl.Series("minute", range(window.start_ms, over_ms, MINUTE_MS), dtype=pl.Int64).cast(TIME)
    absent = pl.col("state").is_null()
    unknown = pl.lit(MinuteState.UNKNOWN.value).cast(STATE)
    return (
        starts.to_frame()
        .join(ledger, on="minute", how="left", maintain_order="left")
        .with_columns(
            market=pl.lit(market),
            reason=pl.when(absent).then(pl.lit(NEVER_VERIFIED)).otherwise(pl.col("reason")),
            state=pl.when(absent).then(unknown).otherwise(pl.col("state")),
            trades=pl.col("trades").fill_null(0),
            is_rounded=pl.col("is_rounded").fill_null(False),
        )
        .select(list(LEDGER.columns))
    )


def _stretches(rows: pl.DataFrame) -> Iterator[Stretch]:
    traded = rows.filter(pl.col("state") != MinuteState.NO_TRADE.value)
    for (state, _), part in groupby(traded.iter_rows(named=True), lambda row: (row["state"], row["reason"])):
        if state != MinuteState.VERIFIED.value:
            yield _stretch(list(part))


def _stretch(rows: list[dict[str, Any]]) -> Stretch:
    first, last = rows[0], rows[-1]
    return Stretch(
        Window(to_ms(first["minute"]), to_ms(last["minute"]) + MINUTE_MS),
        len(rows),
        str(first["state"]),
        first["reason"],
        _sum([row["our_volume"] for row in rows]),
        _sum([row["candle_volume"] for row in rows]),
        sum(row["trades"] for row in rows),
    )


def _sum(volumes: list[float | None]) -> Decimal | None:
    """Add numbers as they are printed: the ledger holds doubles of numbers with at most eight decimals."""
    known = [Decimal(repr(volume)) for volume in volumes if volume is not None]
    return sum(known, Decimal()) if known else None
