"""Planned gaps and the truth that a ledger is checked against."""

from __future__ import annotations

from hashlib import sha256

import pytest

from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.simulator.control.truth import tape_rows, truth
from tickloop.simulator.prices.exchange import SimulatedExchange
from tickloop.simulator.prices.gaps import Gap, planned_gaps
from tickloop.simulator.prices.generator import GeneratedMarkets
from tickloop.simulator.prices.recording import load_recording

START = 1_705_881_600_000  # 2024-01-22T00:00Z


@pytest.fixture(scope="module")
def exchange() -> SimulatedExchange:
    return SimulatedExchange(load_recording("candles"), seed=20240122)


@pytest.mark.parametrize("seed", range(20))
def test_planned_gaps_withhold_a_trade_in_every_minute_of_one_hour(exchange: SimulatedExchange, seed: int) -> None:
    """90 s each, first and second hour, first and last market, never over an hour's edge."""
    soft, hard = planned_gaps(seed, START, exchange)

    assert (soft.market, soft.is_refused_by_rest, soft.start_ms // HOUR_MS) == ("KRW-BTC", False, START // HOUR_MS)
    assert (hard.market, hard.is_refused_by_rest, hard.start_ms // HOUR_MS) == ("KRW-ETH", True, START // HOUR_MS + 1)
    for gap in (soft, hard):
        minutes = range(gap.start_ms // MINUTE_MS, (gap.end_ms - 1) // MINUTE_MS + 1)
        assert gap.end_ms - gap.start_ms == 90_000
        assert gap.start_ms // HOUR_MS == (gap.end_ms - 1) // HOUR_MS
        assert set(exchange.made(gap.market, gap.start_ms, gap.end_ms).ts_event // MINUTE_MS) == set(minutes)


def test_plan_is_a_function_of_its_seed(exchange: SimulatedExchange) -> None:
    """A restart finds the same gaps."""
    assert planned_gaps(5, START, exchange) == planned_gaps(5, START, exchange)
    assert planned_gaps(5, START, exchange) != planned_gaps(6, START, exchange)


def test_plan_leaves_a_gap_out_where_nothing_is_traded(exchange: SimulatedExchange) -> None:
    """The first hour after the recording has no place for one."""
    assert planned_gaps(5, exchange.end_ms - exchange.end_ms % HOUR_MS + HOUR_MS, exchange) == ()


def test_truth_says_per_hour_what_was_told_and_what_the_ledger_must_say(exchange: SimulatedExchange) -> None:
    """Trades by where they can be had, minutes by the label they must get."""
    soft = Gap("KRW-BTC", START + 100_000, START + 190_000, is_refused_by_rest=False)
    hard = Gap("KRW-BTC", START + HOUR_MS + 60_000, START + HOUR_MS + 120_000, is_refused_by_rest=True)
    made = [len(exchange.made("KRW-BTC", START + hour * HOUR_MS, START + (hour + 1) * HOUR_MS)) for hour in (0, 1)]
    lost = [len(exchange.made("KRW-BTC", gap.start_ms, gap.end_ms)) for gap in (soft, hard)]

    second = exchange.made("KRW-BTC", START + HOUR_MS, START + 2 * HOUR_MS).ts_event

    def digest(rows: list[int], hour: int) -> str:
        tape = exchange.made("KRW-BTC", START + hour * HOUR_MS, START + (hour + 1) * HOUR_MS)
        lines = [f"{tape.trade_id[row]}:{float(tape.price[row])}:{tape.qty_e8[row]}" for row in reversed(rows)]
        return sha256("".join(f"{line}\n" for line in sorted(lines)).encode()).hexdigest()

    told = truth(exchange.with_gaps([soft, hard]), Window(START, START + 2 * HOUR_MS))["markets"]["KRW-BTC"]

    assert told["recording_end_ms"] == 1_711_897_260_000
    assert told["hours"] == [
        {
            "hour_ms": START,
            "made": made[0],
            "streamed": made[0] - lost[0],
            "withheld": 0,
            "refetchable": lost[0],
            "verified": 57,
            "no_trade": 0,
            "repaired": [START + 60_000, START + 120_000, START + 180_000],
            "candle": [],
            "digest": digest([*range(made[0])], 0),
        },
        {
            "hour_ms": START + HOUR_MS,
            "made": made[1],
            "streamed": made[1] - lost[1],
            "withheld": lost[1],
            "refetchable": 0,
            "verified": 58,
            "no_trade": 1,
            "repaired": [],
            "candle": [START + HOUR_MS + 60_000],
            "digest": digest([row for row in range(made[1]) if not hard.start_ms <= second[row] < hard.end_ms], 1),
        },
    ]


def test_hour_after_the_recording_has_no_trades(exchange: SimulatedExchange) -> None:
    """KRW-ETH ends on 2024-01-30 at 15:00."""
    end = exchange.market("KRW-ETH").end_ms

    told = truth(exchange, Window(end, end + HOUR_MS))["markets"]["KRW-ETH"]["hours"][0]

    assert (told["made"], told["no_trade"], told["verified"]) == (0, 60, 0)


def test_tape_rows_tell_every_trade_and_who_has_it(exchange: SimulatedExchange) -> None:
    """What a chaos run compares with: ids, times, prices, quantities, sides, and what the gaps did."""
    soft = Gap("KRW-BTC", START + 60_000, START + 120_000, is_refused_by_rest=False)
    hard = Gap("KRW-BTC", START + 120_000, START + 180_000, is_refused_by_rest=True)
    market = exchange.with_gaps([soft, hard]).market("KRW-BTC")
    made = exchange.made("KRW-BTC", START, START + 240_000)

    rows = tape_rows(market, Window(START - HOUR_MS, START + 240_000))[-len(made) :]

    assert [row["id"] for row in rows] == made.trade_id.tolist()
    assert [(row["ts"], row["price"], row["qty_e8"]) for row in rows] == list(
        zip(made.ts_event.tolist(), made.price.tolist(), made.qty_e8.tolist(), strict=True)
    )
    by_minute = {(row["ts"] - START) // MINUTE_MS: (row["told"], row["refused"]) for row in rows}
    assert by_minute == {0: (True, False), 1: (False, False), 2: (False, True), 3: (True, False)}


def test_gap_ordered_while_it_runs_is_in_the_truth() -> None:
    """Also of a made market."""
    exchange = SimulatedExchange(GeneratedMarkets(("KRW-BTC",)), seed=3)
    before = truth(exchange, Window(START, START + HOUR_MS))["markets"]["KRW-BTC"]["hours"][0]

    exchange.withhold(Gap("KRW-BTC", START + 60_000, START + 600_000, is_refused_by_rest=False))
    after = truth(exchange, Window(START, START + HOUR_MS))["markets"]["KRW-BTC"]["hours"][0]

    assert before["refetchable"] == 0
    assert after["refetchable"] == len(exchange.made("KRW-BTC", START + 60_000, START + 600_000))
    assert after["digest"] == before["digest"]
    assert (
        exchange.next_trade_ms(START + 60_000) == exchange.made("KRW-BTC", START + 600_000, START + HOUR_MS).ts_event[0]
    )
