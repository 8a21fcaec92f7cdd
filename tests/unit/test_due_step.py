"""Steps as Airflow calls them: what is due, what waits, what another runner holds, and catching up."""

from __future__ import annotations

from typing import Any

import pytest

from chain_fakes import HOUR, FakePorts, digest, home, made_trades, minute_of, same
from fakes import START_MS
from tickloop.domain.schedule import Cadence
from tickloop.domain.window import HOUR_MS, Window
from tickloop.errors import WindowBusyError, WindowError
from tickloop.services.chain import run_hours
from tickloop.services.due_step import Wish, catch_up, has_features, run_due_step
from tickloop.services.run_ledger import HISTORY
from tickloop.services.steps import RunRow, mark_due, record_runs

CHAIN = ("extract", "load", "verify", "bars", "features")
MARKET = "KRW-BTC"
DUE_ONLY, AGAIN, AS_IT_IS = Wish(False, True), Wish(True, True), Wish(True, False)


def live_home(**options: Any) -> FakePorts:
    """Give ports whose live hours begin with HOUR, and whose chain has not run."""
    ports = home(made_trades(range(60)), **options)
    record_runs(ports, [RunRow(HISTORY, MARKET, Window(START_MS - HOUR_MS, START_MS), "done", {})])
    return ports


def run_chain(ports: FakePorts, wish: Wish = DUE_ONLY) -> list[list[str]]:
    return [[one.step for one in run_due_step(ports, step, MARKET, HOUR, wish)] for step in CHAIN]


def test_steps_one_by_one_give_what_the_chain_gives() -> None:
    """Each is run once, and the rows are the same."""
    by_steps, by_chain = live_home(), live_home()

    ran = run_chain(by_steps)
    run_hours(by_chain, MARKET, HOUR)

    assert ran == [[step] for step in CHAIN]
    assert same(digest(by_steps), digest(by_chain))


def test_what_verify_fetches_comes_down_the_chain_before_bars() -> None:
    """The lost trades are in the warehouse when `bars` begins, as in the laptop's loop."""
    lost = [trade for trade in made_trades(range(60)) if minute_of(trade) in (7, 8)]
    ports, whole = live_home(lost=lost), live_home()

    ran = run_chain(ports)
    run_chain(whole)

    assert ran[2] == ["verify", "extract", "load", "verify"]
    assert digest(ports)["trade"]["trade_id"].equals(digest(whole)["trade"]["trade_id"])


def test_what_is_done_is_not_run_again_unless_asked_for() -> None:
    """A scheduled run has nothing to do; a back-fill and a person get it again."""
    ports = live_home()
    run_chain(ports)

    assert run_due_step(ports, "bars", MARKET, HOUR, DUE_ONLY) == []
    assert [one.step for one in run_due_step(ports, "bars", MARKET, HOUR, AGAIN)] == ["bars"]
    assert [one.step for one in run_due_step(ports, "bars", MARKET, HOUR, AS_IT_IS)] == ["bars"]


def test_marked_hour_is_due_down_the_chain() -> None:
    """A later trade asks for the extract; what follows is due after it."""
    ports = live_home()
    run_chain(ports)
    mark_due(ports, "extract", MARKET, HOUR)

    assert run_chain(ports) == [[step] for step in CHAIN]


def test_step_waits_for_its_inputs_and_says_for_which() -> None:
    """The message names step and window; asked for as it is, it runs on what is there."""
    ports = live_home()

    with pytest.raises(WindowBusyError, match="load KRW-BTC 2024-01-22T00 waits for extract 2024-01-22T00"):
        run_due_step(ports, "load", MARKET, HOUR, DUE_ONLY)


def test_features_wait_for_the_bars_of_the_hour_before() -> None:
    """Hours of a back-fill may be taken up in any order, but end in theirs."""
    ports = live_home(now_ms=START_MS + 3 * HOUR_MS)
    later = Window(START_MS + HOUR_MS, START_MS + 2 * HOUR_MS)
    for step in CHAIN[:-1]:
        run_due_step(ports, step, MARKET, later, AGAIN)

    with pytest.raises(WindowBusyError, match="features KRW-BTC 2024-01-22T01 waits for bars 2024-01-22T00"):
        run_due_step(ports, "features", MARKET, later, AGAIN)
    run_chain(ports)

    assert [one.step for one in run_due_step(ports, "features", MARKET, later, AGAIN)] == ["features"]


def test_window_of_another_runner_is_tried_again_later() -> None:
    """It is no skip: the scheduler must come back."""
    ports = live_home()

    with ports.lock.hold("extract", MARKET, HOUR), pytest.raises(WindowBusyError, match="held by another runner"):
        run_due_step(ports, "extract", MARKET, HOUR, DUE_ONLY)


def test_hour_before_the_live_ones_is_not_due() -> None:
    """History has bars from candles and no raw events."""
    ports = live_home()
    before = Window(START_MS - HOUR_MS, START_MS)

    assert run_due_step(ports, "extract", MARKET, before, DUE_ONLY) == []


def test_slot_step_needs_a_whole_slot() -> None:
    """An hour is none."""
    with pytest.raises(WindowError, match="no whole slot of 6 h"):
        run_due_step(live_home(), "train", MARKET, HOUR, DUE_ONLY)


def test_catching_up_runs_all_that_was_missed_and_then_has_nothing_to_do() -> None:
    """Two closed hours, step by step, and the same rows as the chain gives."""
    ports, by_chain = live_home(now_ms=START_MS + 3 * HOUR_MS), live_home(now_ms=START_MS + 3 * HOUR_MS)
    both = Window(START_MS, START_MS + 2 * HOUR_MS)

    first, again = (catch_up(ports, MARKET, Cadence.HOUR) for _ in range(2))
    run_hours(by_chain, MARKET, both)

    assert sorted({(one.step, str(one.window)) for one in first.done}) == sorted(
        (step, hour) for step in CHAIN for hour in ("2024-01-22T00", "2024-01-22T01")
    )
    assert (first.failures, again.done, again.failures) == ([], [], [])
    assert same(digest(ports, both), digest(by_chain, both))


def test_catching_up_goes_on_where_a_step_fails_and_tells_it() -> None:
    """An exchange that does not know the market stops verify of each hour; extract and load are done."""
    ports = live_home(now_ms=START_MS + 3 * HOUR_MS)
    ports.market_data.known = []

    caught = catch_up(ports, MARKET, Cadence.HOUR)

    assert {one.step for one in caught.done} == {"extract", "load"}
    assert [text.split(":")[0] for text in caught.failures] == [
        "verify KRW-BTC 2024-01-22T00",
        "verify KRW-BTC 2024-01-22T01",
    ]


def test_slot_has_features_when_its_last_hour_has() -> None:
    """The earlier hours went before it."""
    ports = live_home(now_ms=START_MS + 8 * HOUR_MS)
    slot = Window(START_MS, START_MS + 6 * HOUR_MS)
    before = has_features(ports, MARKET, slot)

    catch_up(ports, MARKET, Cadence.HOUR)

    assert (before, has_features(ports, MARKET, slot)) == (False, True)
