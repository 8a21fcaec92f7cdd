"""Counts along the chain, from the exchange's truth to the bars, and whether they agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    repaired_after_breaks: int = 0
    problems: tuple[str, ...] = ()


def count_market(
    market: str, window: Window, truth: Truth, journal: int, lake: Lake, warehouse: Warehouse, breaks: int = 0
) -> MarketCounts:
    """Count one market's trades over closed hours and compare them along the chain.

    Args:
        journal: distinct trades of the market and window in the journal, stream and REST together.
        breaks: times in the window that the collector came back; the minutes it missed are rightly `repaired` too.

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
    repaired, unexpected = _labels(market, truth, ledger, breaks)
    problems = [
        *_unequal(counts, window, ledger.height),
        *(f"{market} hour {hour} has no lake object" for hour in missing),
    ]
    return replace(counts, repaired_after_breaks=repaired, problems=(*problems, *unexpected))


def _unequal(counts: MarketCounts, window: Window, ledger_minutes: int) -> list[str]:
    minutes = (window.end_ms - window.start_ms) // 60_000
    kept_elsewhere = sum(counts.trades_in_other_minutes.values())
    equations = (
        ("made = journal + withheld", counts.made, counts.journal + counts.withheld),
        ("journal = lake", counts.journal, counts.lake),
        ("lake = warehouse", counts.lake, counts.warehouse),
        ("warehouse = bar trades + trades of other minutes", counts.warehouse, counts.bar_trades + kept_elsewhere),
        ("ledger minutes = minutes of the window", ledger_minutes, minutes),
        ("unknown minutes = 0", counts.ledger.get(MinuteState.UNKNOWN.value, 0), 0),
    )
    return [f"{counts.market} {name}: {left} is not {right}" for name, left, right in equations if left != right]


def _labels(market: str, truth: Truth, ledger: pl.DataFrame, breaks: int) -> tuple[int, list[str]]:
    """Compare the ledger's labels with the injected gaps; give the minutes repaired beyond them, and what is wrong."""
    repaired = _minutes(ledger, MinuteState.REPAIRED)
    withheld = set(truth.repaired_minutes)
    more = repaired - withheld
    problems = []
    if not withheld <= repaired or (more and not breaks):
        problems.append(_differ(market, MinuteState.REPAIRED, repaired, withheld))
    if _minutes(ledger, MinuteState.CANDLE) != set(truth.candle_minutes):
        problems.append(_differ(market, MinuteState.CANDLE, _minutes(ledger, MinuteState.CANDLE), truth.candle_minutes))
    return len(more), problems


def _minutes(ledger: pl.DataFrame, state: MinuteState) -> set[int]:
    return set(ledger.filter(pl.col("state") == state.value)["minute"].to_physical())


def _differ(market: str, state: MinuteState, found: Iterable[int], withheld: Iterable[int]) -> str:
    def shown(minutes: Iterable[int]) -> str:
        return ", ".join(f"{to_datetime(minute):%Y-%m-%dT%H:%M}" for minute in sorted(minutes)) or "none"

    return f"{market} {state.value} minutes are {shown(found)}; those that the simulator withheld: {shown(withheld)}"
