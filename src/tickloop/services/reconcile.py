"""Counts along the chain, from the exchange's truth to the bars, and whether they agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from tickloop.domain.market import MinuteState
from tickloop.domain.tables import BAR_1M, LEDGER, TRADE
from tickloop.domain.window import Window, to_datetime
from tickloop.ports import Lake, Warehouse

_FROM_TRADES = (MinuteState.VERIFIED.value, MinuteState.REPAIRED.value)


@dataclass(frozen=True)
class Truth:
    """What the simulator made in the window, for one market.

    Attributes:
        made: trades made.
        withheld: trades that neither stream nor REST gave out.
        repaired_minutes, candle_minutes: labels that the injected gaps must lead to, epoch ms.
    """

    made: int
    withheld: int
    repaired_minutes: tuple[int, ...] = ()
    candle_minutes: tuple[int, ...] = ()


@dataclass(frozen=True)
class MarketCounts:
    """The same trades, counted at each place of the chain."""

    market: str
    window: str
    made: int
    withheld: int
    journal: int
    lake: int
    warehouse: int
    bars: int
    bar_trades: int
    trades_in_other_minutes: Mapping[str, int]
    ledger: Mapping[str, int]
    problems: tuple[str, ...] = ()


def count_market(
    market: str, window: Window, truth: Truth, journal: int, lake: Lake, warehouse: Warehouse
) -> MarketCounts:
    """Count one market's trades over closed hours and compare them along the chain.

    Args:
        journal: distinct trades of the market and window in the journal, stream and REST together.

    Returns:
        the counts, with a sentence in `problems` for each equation that does not hold.
    """
    objects = [lake.get(market, hour) for hour in window.hours()]
    trades = warehouse.read(TRADE, market, window)
    bars = warehouse.read(BAR_1M, market, window)
    ledger = warehouse.read(LEDGER, market, window)
    states = {str(state): int(count) for state, count in ledger["state"].value_counts().iter_rows()}
    other = ledger.filter(~pl.col("state").is_in(_FROM_TRADES) & (pl.col("trades") > 0))
    counts = MarketCounts(
        market=market,
        window=str(window),
        made=truth.made,
        withheld=truth.withheld,
        journal=journal,
        lake=sum(frame.height for frame in objects if frame is not None),
        warehouse=trades.height,
        bars=bars.height,
        bar_trades=int(bars.filter(pl.col("state").is_in(_FROM_TRADES))["trades"].sum()),
        trades_in_other_minutes={
            str(state): int(count) for state, count in other.group_by("state").agg(pl.col("trades").sum()).iter_rows()
        },
        ledger=states,
    )
    missing = [str(hour) for hour, frame in zip(window.hours(), objects, strict=True) if frame is None]
    return _with_problems(counts, truth, window, ledger, missing)


def _with_problems(
    counts: MarketCounts, truth: Truth, window: Window, ledger: pl.DataFrame, missing: list[str]
) -> MarketCounts:
    minutes = (window.end_ms - window.start_ms) // 60_000
    kept_elsewhere = sum(counts.trades_in_other_minutes.values())
    equations = (
        ("made = journal + withheld", counts.made, counts.journal + counts.withheld),
        ("journal = lake", counts.journal, counts.lake),
        ("lake = warehouse", counts.lake, counts.warehouse),
        ("warehouse = bar trades + trades of other minutes", counts.warehouse, counts.bar_trades + kept_elsewhere),
        ("ledger minutes = minutes of the window", ledger.height, minutes),
        ("unknown minutes = 0", counts.ledger.get(MinuteState.UNKNOWN.value, 0), 0),
    )
    problems = [f"{counts.market} {name}: {left} is not {right}" for name, left, right in equations if left != right]
    problems += [f"{counts.market} hour {hour} has no lake object" for hour in missing]
    for state, expected in (
        (MinuteState.REPAIRED, truth.repaired_minutes),
        (MinuteState.CANDLE, truth.candle_minutes),
    ):
        found = set(ledger.filter(pl.col("state") == state.value)["minute"])
        if found != {to_datetime(minute) for minute in expected}:
            problems.append(
                f"{counts.market} {state.value} minutes: {sorted(str(minute) for minute in found)} are not those"
                f" that the simulator withheld: {[str(to_datetime(minute)) for minute in expected]}"
            )
    return replace(counts, problems=tuple(problems))
