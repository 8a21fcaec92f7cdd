"""Counts along the chain: what agrees is silent, what does not is said."""

from dataclasses import replace

import polars as pl
import pytest

from chain_fakes import HOUR, FakePorts, made_trades
from tickloop.domain.bars import build_bars, trade_frame
from tickloop.domain.tables import BAR_1M, LEDGER, STATE, TRADE
from tickloop.domain.window import MINUTE_MS
from tickloop.services.reconcile import MarketCounts, Truth, count_market

MARKET = "KRW-BTC"
MINUTES = list(range(60))
TRADES = trade_frame([replace(trade, arrival=n) for n, trade in enumerate(made_trades(MINUTES), start=1)])
GAP = HOUR.start_ms + 10 * MINUTE_MS


def ledger(states: dict[int, str]) -> pl.DataFrame:
    rows = [
        (MARKET, HOUR.start_ms + minute * MINUTE_MS, states.get(minute, "verified"), None, 1.0, 1.0, 3, False)
        for minute in MINUTES
    ]
    return pl.DataFrame(rows, schema=LEDGER.columns, orient="row")


def counted(
    states: dict[int, str] | None = None, truth: Truth | None = None, *, lost: int = 0, breaks: int = 0
) -> MarketCounts:
    """Count an hour of three trades a minute; `lost` of them never reach lake and warehouse."""
    ports, kept = FakePorts(), TRADES.head(TRADES.height - lost)
    ports.lake.put(MARKET, HOUR, [kept])
    ports.warehouse.replace(TRADE, MARKET, HOUR, kept)
    ports.warehouse.replace(LEDGER, MARKET, HOUR, ledger(states or {}))
    labels = ledger(states or {}).select("market", ts_open="minute", label="state")
    bars = build_bars(kept).join(labels, on=["market", "ts_open"]).with_columns(state=pl.col("label").cast(STATE))
    ports.warehouse.replace(BAR_1M, MARKET, HOUR, bars.select(list(BAR_1M.columns)))
    made = truth or Truth(made=TRADES.height, withheld=0)
    return count_market(MARKET, HOUR, made, TRADES.height - made.withheld, ports.lake, ports.warehouse, breaks)


def test_whole_hour_agrees() -> None:
    """180 trades at each place."""
    counts = counted()

    assert counts.problems == ()
    assert (counts.made, counts.journal, counts.lake, counts.warehouse, counts.bar_trades) == (180, 180, 180, 180, 180)


def test_trades_of_a_minute_whose_bar_is_the_candle_are_listed_apart() -> None:
    """They are in the warehouse, but no bar counts them."""
    counts = counted({10: "candle"}, Truth(180, 0, candle_minutes=(GAP,)))

    assert counts.problems == ()
    assert (counts.bar_trades, counts.trades_in_other_minutes) == (177, {"candle": 3})


def test_trade_lost_on_the_way_is_said() -> None:
    """One trade in the journal that the lake does not have."""
    assert counted(lost=1).problems[0] == "KRW-BTC journal = lake: 180 is not 179"


def test_trade_made_and_never_received_is_said() -> None:
    """The simulator made one more than it withheld."""
    assert counted(truth=Truth(181, 0)).problems == ("KRW-BTC made = journal + withheld: 181 is not 180",)


@pytest.mark.parametrize(
    ("states", "truth", "words"),
    [
        ({}, Truth(180, 0, repaired_minutes=(GAP,)), "repaired minutes are none; those that"),
        ({10: "repaired"}, Truth(180, 0), "those that the simulator withheld: none"),
        ({10: "candle"}, Truth(180, 0), "candle minutes are 2024-01-22T00:10"),
        ({10: "unknown"}, Truth(180, 0), "unknown minutes = 0: 1 is not 0"),
    ],
)
def test_label_that_the_gaps_do_not_explain_is_said(states: dict[int, str], truth: Truth, words: str) -> None:
    """Labels must follow from what was withheld, in both directions."""
    assert any(words in problem for problem in counted(states, truth).problems)


def test_minutes_that_the_collector_missed_by_itself_are_rightly_repaired() -> None:
    """It came back once: more minutes than the injected gap are repaired, and counted apart."""
    counts = counted({10: "repaired", 11: "repaired"}, Truth(180, 0, repaired_minutes=(GAP,)), breaks=1)

    assert counts.problems == ()
    assert counts.repaired_after_breaks == 1
