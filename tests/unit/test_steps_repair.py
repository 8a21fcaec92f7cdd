"""Minutes that are short: REST is asked once, and what it gives comes down the whole chain."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest

from chain_fakes import HOUR, FakePorts, candles_of, home, made_trades, minute_of
from fakes import START_MS, FakeMarketData
from tickloop.domain.market import Candle, Source, Trade
from tickloop.domain.schedule import LOOK_AGAIN_MS, Cadence, Calendar, due, looks_due
from tickloop.domain.tables import BAR_1M, FEATURE, LEDGER, REPAIR, RUN, TRADE
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.errors import RetryableError
from tickloop.services.backfill import backfill
from tickloop.services.chain import STEPS, run_window, step_named
from tickloop.services.steps import RunRow, mark_due, record_runs, run_step

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


class AbsentExchange(FakeMarketData):
    """Gives no candles, or no trades."""

    down = ("candles", "trades")

    def candles(self, market: str, window: Window) -> list[Candle]:
        self._require_up("candles")
        return super().candles(market, window)

    def trades(self, market: str, window: Window) -> list[Trade]:
        self._require_up("trades")
        return super().trades(market, window)

    def _require_up(self, what: str) -> None:
        if what in self.down:
            raise RetryableError("the exchange does not answer")


def absent(ports: FakePorts, *down: str) -> None:
    data = ports.market_data
    ports.market_data = AbsentExchange(data.stored_candles, data.stored_trades)
    ports.market_data.down = down


def test_the_ledger_keeps_no_claim_about_trades_that_changed_while_the_exchange_does_not_answer() -> None:
    """A late line came down the chain; until the exchange answers its minute is pending, the others stand."""
    made = made_trades(range(60))
    late = in_minutes(made, 20)[:1]
    ports = home(made, lost=late, refused=late)
    walk(ports)
    assert states(ports) == {20: ("candle", "short")}
    ports.raw.lines.append(late[0])
    absent(ports, "candles", "trades")
    for name in ("extract", "load"):
        run_window(ports, name, MARKET, HOUR)

    with pytest.raises(RetryableError):
        run_window(ports, "verify", MARKET, HOUR)

    assert states(ports) == {20: ("unknown", "pending")}


def test_a_claim_whose_trades_are_the_same_stands_while_the_exchange_does_not_answer() -> None:
    """A candle that was compared does not change; to be asked again and get no answer takes nothing back."""
    made = made_trades(range(60))
    ports = home(made)
    walk(ports)
    absent(ports, "candles", "trades")

    with pytest.raises(RetryableError):
        run_window(ports, "verify", MARKET, HOUR)

    assert states(ports) == {}


def test_minutes_are_settled_as_far_as_candles_tell_when_rest_gives_no_trades() -> None:
    """The short minute is pending, and its hour gets no bars before it is settled."""
    made = made_trades(range(60))
    ports = home(made, lost=in_minutes(made, 10))
    absent(ports, "trades")
    for name in ("extract", "load"):
        run_window(ports, name, MARKET, HOUR)
    with pytest.raises(RetryableError):
        run_window(ports, "verify", MARKET, HOUR)
    assert states(ports) == {10: ("unknown", "pending")}
    assert ports.warehouse.read(BAR_1M, MARKET, HOUR).is_empty()

    absent(ports)
    ports.clock.advance(2 * MINUTE_MS)
    walk(ports)

    assert states(ports) == {10: ("repaired", None)}


def look_again(ports: FakePorts) -> int:
    """Mark due what the scheduler would; give the number of runs."""
    looks = looks_due(ports.warehouse.read(RUN), ports.clock.now_ms())
    record_runs(ports, [RunRow(one.step, one.market, one.window, "due", {"looks": one.looks}) for one in looks])
    return len(looks)


def test_an_excess_is_looked_at_again_twice_and_ends_when_the_candle_is_right() -> None:
    """The exchange's candle was late: ten minutes later it holds all trades, and the bar is made anew."""
    made = made_trades(range(60))
    ports = home(made)
    right = ports.market_data.stored_candles
    early = candles_of([trade for trade in made if trade not in in_minutes(made, 30)[1:]])
    ports.market_data.stored_candles = early
    walk(ports)
    assert states(ports) == {30: ("unknown", "excess")}
    assert look_again(ports) == 0

    ports.market_data.stored_candles = right
    ports.clock.advance(LOOK_AGAIN_MS[0])
    assert look_again(ports) == 1

    assert walk(ports)[:3] == ["verify", "bars", "features"]
    assert states(ports) == {}
    assert ports.warehouse.read(BAR_1M, MARKET, HOUR)["state"].unique().to_list() == ["verified"]


def test_an_excess_that_stays_is_looked_at_no_more_than_twice() -> None:
    """It stays unknown, and the bar is the candle's."""
    made = made_trades(range(60))
    ports = home(made)
    ports.market_data.stored_candles = candles_of([trade for trade in made if trade not in in_minutes(made, 30)[1:]])
    walk(ports)
    looks = 0

    for _ in range(10):
        ports.clock.advance(HOUR_MS)
        looks += look_again(ports)
        run_due_verify(ports)

    assert looks == 2
    assert states(ports) == {30: ("unknown", "excess")}


def run_due_verify(ports: FakePorts) -> None:
    rows = ports.warehouse.read(RUN, MARKET, HOUR)
    if rows.filter((pl.col("step") == "verify") & (pl.col("state") == "due")).height:
        run_window(ports, "verify", MARKET, HOUR)


def test_features_that_look_back_across_empty_minutes_are_made_anew_after_a_repair() -> None:
    """In a quiet market sixty bars are ten hours: all hours up to there change, as if nothing had been lost."""
    made = [trade for trade in made_trades(range(0, 900, 10)) if trade.arrival % 3 == 1]
    lost = [trade for trade in made if 120 <= minute_of(trade) < 180]
    now_ms = START_MS + 17 * HOUR_MS
    whole, late = home(made, now_ms=now_ms), home(made, lost=lost, now_ms=now_ms)
    walk(whole)
    right = late.market_data.stored_candles
    late.market_data.stored_candles = candles_of([trade for trade in made if trade not in lost])
    walk(late)
    assert not vectors(late).equals(vectors(whole))

    late.market_data.stored_candles = right
    late.raw.append_repairs(lost)
    mark_due(late, "extract", MARKET, Window(START_MS + 2 * HOUR_MS, START_MS + 3 * HOUR_MS))
    ran = walk(late)

    assert vectors(late).equals(vectors(whole))
    # Its own hour, the next one, and those of the fifty-nine bars after it.
    assert (ran.count("bars"), ran.count("features")) == (1, 11)


def test_a_repair_that_changes_no_bar_makes_nothing_due_beyond_the_next_hour() -> None:
    """The look-back costs a busy market nothing."""
    made = made_trades(range(300))
    ports = home(made, now_ms=START_MS + 7 * HOUR_MS)
    walk(ports)

    mark_due(ports, "extract", MARKET, HOUR)

    assert sorted(walk(ports)) == ["bars", "extract", "features", "features", "load", "verify"]


def vectors(ports: FakePorts) -> pl.DataFrame:
    return ports.warehouse.read(FEATURE, MARKET)
