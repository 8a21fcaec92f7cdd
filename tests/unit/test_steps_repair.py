"""Minutes that are short: REST is asked once, and what it gives comes down the whole chain."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from chain_fakes import HOUR, FakePorts, home, made_trades, minute_of
from fakes import START_MS
from tickloop.domain.market import Source, Trade
from tickloop.domain.schedule import Cadence, Calendar, due
from tickloop.domain.tables import BAR_1M, LEDGER, REPAIR, RUN, TRADE
from tickloop.domain.window import MINUTE_MS, Window
from tickloop.services.backfill import backfill
from tickloop.services.chain import STEPS, run_window, step_named
from tickloop.services.steps import run_step

MARKET = "KRW-BTC"
HOUR_STEPS = [step for step in STEPS if step.cadence is Cadence.HOUR]


def walk(ports: FakePorts, first_hour_ms: int = START_MS) -> list[str]:
    """Run what is due until nothing is; give the steps in the order they ran."""
    ran: list[str] = []
    for _ in range(40):
        calendar = Calendar(ports.clock.now_ms(), first_hour_ms, ports.training.slot_hours)
        items = due(ports.warehouse.read(RUN), HOUR_STEPS, ports.markets, calendar)
        if not items:
            return ran
        for item in items:
            run_step(ports, step_named(item.step), item.market, item.window)
            ran.append(item.step)
    raise AssertionError(f"never ends: {ran}")


def in_minutes(trades: Sequence[Trade], *minutes: int) -> list[Trade]:
    return [trade for trade in trades if minute_of(trade) in minutes]


def states(ports: FakePorts) -> dict[int, tuple[str, str | None]]:
    """Give state and reason of the minutes that are not simply verified."""
    rows = ports.warehouse.read(LEDGER, MARKET, HOUR).filter(pl.col("state") != "verified")
    return {minute.minute: (state, reason) for minute, state, reason in rows.select("minute", "state", "reason").rows()}


def test_a_gap_is_repaired_from_rest_by_one_more_walk_down_the_chain() -> None:
    """Ninety seconds of stream are missing; the exchange still has them."""
    made = made_trades(range(60))
    lost = in_minutes(made, 10)[1:] + in_minutes(made, 11)
    ports = home(made, lost=lost)

    ran = walk(ports)

    first, again = ["extract", "load", "verify"], ["extract", "load", "verify", "bars", "features"]
    assert ran == [*first, *again]
    assert states(ports) == {10: ("repaired", None), 11: ("repaired", None)}
    assert ports.warehouse.read(TRADE, MARKET, HOUR).height == len(made)
    assert ports.warehouse.read(BAR_1M, MARKET, HOUR)["trades"].to_list() == [3] * 60


def test_rest_is_asked_for_neighbouring_minutes_together_and_only_once() -> None:
    """Not again by the second verify, nor by any later one."""
    made = made_trades(range(60))
    ports = home(made, lost=in_minutes(made, 10, 11, 30))

    walk(ports)
    run_window(ports, "verify", MARKET, HOUR)

    asked = [window for what, _, window in ports.market_data.asked if what == "trades"]
    assert asked == [
        Window(START_MS + 10 * MINUTE_MS, START_MS + 12 * MINUTE_MS),
        Window(START_MS + 30 * MINUTE_MS, START_MS + 31 * MINUTE_MS),
    ]


def test_only_trades_that_are_new_and_in_a_short_minute_are_appended() -> None:
    """What the stream brought keeps its own line."""
    made = made_trades(range(60))
    lost = in_minutes(made, 10)[1:]
    ports = home(made, lost=lost)
    before = len(ports.raw.lines)

    walk(ports)

    added = ports.raw.lines[before:]
    assert [trade.trade_id for trade in added] == [trade.trade_id for trade in lost]
    assert {trade.source for trade in added} == {Source.REST}


def test_a_gap_that_rest_does_not_fill_leaves_the_candle() -> None:
    """`short` where REST gave some of the minute, `gone` where it gave nothing of it."""
    made = made_trades(range(60))
    lost = in_minutes(made, 40)[:1] + in_minutes(made, 41)
    ports = home(made, lost=lost, refused=lost)

    ran = walk(ports)

    assert ran == ["extract", "load", "verify", "bars", "features"]
    assert states(ports) == {40: ("candle", "short"), 41: ("candle", "gone")}
    outcomes = ports.warehouse.read(REPAIR, MARKET, HOUR).select("outcome", "trades").rows()
    assert outcomes == [("fetched", 2), ("gone", 0)]


def test_a_gap_that_rest_fills_in_part_ends_as_the_candle_with_its_trades_kept() -> None:
    """One of two lost trades comes back: the chain runs again, and the minute is still short."""
    made = made_trades(range(60))
    lost = in_minutes(made, 50)[:2]
    ports = home(made, lost=lost, refused=lost[:1])

    ran = walk(ports)

    assert len(ran) == 8
    assert states(ports) == {50: ("candle", "short")}
    assert ports.warehouse.read(TRADE, MARKET, HOUR).height == len(made) - 1


def test_a_minute_is_pending_until_its_fetched_trades_are_loaded() -> None:
    """Nothing is settled on trades that did not come down the chain yet."""
    made = made_trades(range(60))
    ports = home(made, lost=in_minutes(made, 10))
    for name in ("extract", "load", "verify"):
        run_window(ports, name, MARKET, HOUR)

    assert states(ports) == {10: ("unknown", "pending")}


def test_run_all_takes_a_repair_down_the_chain_itself() -> None:
    """The command needs no scheduler to finish the job."""
    made = made_trades(range(60))
    ports = home(made, lost=in_minutes(made, 10))

    results = run_window(ports, "all", MARKET, HOUR)

    hourly = [result.step for result in results]
    assert hourly == ["extract", "load", "verify", "extract", "load", "verify", "bars", "features"]
    assert states(ports) == {10: ("repaired", None)}
    assert walk(ports) == []


def test_a_back_filled_hour_can_be_verified_and_repaired_afterwards() -> None:
    """Its trades come from REST, and the scheduler takes them down the chain though the hour is history."""
    made = made_trades(range(60))
    ports = home(made, lost=made)
    backfill(ports, HOUR, lambda *_: None)
    assert walk(ports, HOUR.end_ms) == []

    run_window(ports, "verify", MARKET, HOUR)

    assert walk(ports, HOUR.end_ms) == ["extract", "load", "verify", "bars", "features"]
    assert states(ports) == dict.fromkeys(range(60), ("repaired", None))
    assert ports.warehouse.read(BAR_1M, MARKET, HOUR)["trades"].to_list() == [3] * 60
