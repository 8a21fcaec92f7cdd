"""Any gap is labelled right: the chain against an oracle that knows what was made, lost, kept and invented."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from test_steps_repair import walk

from chain_fakes import HOUR, FakePorts
from fakes import START_MS, FakeMarketData, FakeRawStore
from tickloop.domain.ledger_report import report_ledger
from tickloop.domain.market import Candle, Change, Side, Trade
from tickloop.domain.tables import BAR_1M, LEDGER, TRADE
from tickloop.domain.window import MINUTE_MS, to_ms
from tickloop.services.steps import mark_due

MARKETS = ("KRW-BTC", "KRW-ETH")
MINUTES = 4

ONCE, TWICE, LATE, LOST, INVENTED = "once", "twice", "late", "lost", "invented"


@dataclass(frozen=True)
class Print:
    """One trade and its fate: how the stream brought it, and whether REST still has it."""

    qty_e8: int
    offset_ms: int
    fate: str
    is_kept_by_rest: bool


prints = st.builds(
    Print,
    # Small coins and large ones: from 10^7 units on a double holds fewer than eight decimals.
    qty_e8=st.one_of(st.integers(1, 10**9), st.integers(10**15, 10**17)),
    offset_ms=st.integers(0, MINUTE_MS - 1),
    fate=st.sampled_from((ONCE, ONCE, ONCE, TWICE, LATE, LOST, LOST, INVENTED)),
    is_kept_by_rest=st.booleans(),
)
tapes = st.lists(st.lists(prints, max_size=4), min_size=MINUTES, max_size=MINUTES)


@dataclass(frozen=True)
class Tape:
    """One market's trades, each with its fate."""

    market: str
    minutes: Sequence[Sequence[Print]]

    def trades(self, *fates: str, kept_by_rest: bool = False) -> list[Trade]:
        return [
            self._trade(number * 10 + place, number, one)
            for number, minute in enumerate(self.minutes)
            for place, one in enumerate(minute)
            if one.fate in fates and (one.is_kept_by_rest or not kept_by_rest)
        ]

    def _trade(self, trade_id: int, minute: int, one: Print) -> Trade:
        at = START_MS + minute * MINUTE_MS + one.offset_ms
        return Trade(self.market, trade_id, at, 0, 0, 100.0 + trade_id, one.qty_e8, Side.BUY, Change.RISE)


MADE = (ONCE, TWICE, LATE, LOST)


def candles_of(tape: Tape, nudge: int) -> list[Candle]:
    """Give the exchange's candles: its numbers are exact below 10^7, above one unit of the last place may be off."""
    found = []
    for number in range(MINUTES):
        quantities = [trade.qty_e8 for trade in tape.trades(*MADE) if minute_of(trade) == number]
        if quantities:
            volume = float(Decimal(sum(quantities)).scaleb(-8))
            nudged = math.nextafter(volume, {-1: 0.0, 0: volume, 1: math.inf}[nudge])
            volume = nudged if nudged >= 1e7 else volume
            at = START_MS + number * MINUTE_MS
            found.append(Candle(tape.market, at, 100.0, 200.0, 100.0, 150.0, volume, None))
    return found


def minute_of(trade: Trade) -> int:
    return (trade.ts_event_ms - START_MS) // MINUTE_MS


def compare(kept: Decimal, made: Decimal, nudge: int) -> int:
    """Say whether trades are short of what was made (-1), all of it (0) or more (1), as far as a candle can tell.

    From 10^7 units on its 16 digits leave a gap: what lies within 10^-15 of its number cannot be told from it.
    """
    if made >= 10**7:
        volume = math.nextafter(float(made), {-1: 0.0, 0: float(made), 1: math.inf}[nudge])
        if abs(float(kept) - volume) <= volume * 1e-15:
            return 0
    return (kept > made) - (kept < made)


def expected(tape: Tape, minute: int, nudge: int = 0) -> tuple[str, str | None]:
    """Say what must be told of a minute in the end, by sets of trades and exact decimals alone."""

    def of(*fates: str, kept_by_rest: bool = False) -> dict[int, Decimal]:
        trades = tape.trades(*fates, kept_by_rest=kept_by_rest)
        return {one.trade_id: Decimal(one.qty_e8).scaleb(-8) for one in trades if minute_of(one) == minute}

    made, first, late = of(*MADE), of(ONCE, TWICE, INVENTED), of(LATE)
    rest = of(*MADE, kept_by_rest=True)
    kept, from_rest, is_asked = dict(first), False, False
    # Two rounds: the hour as it closed, and once more after the late ones had come.
    for arrived in ({}, late):
        kept |= arrived
        if compare(total(kept), total(made), nudge) < 0 and not is_asked:
            is_asked = True
            from_rest = bool(rest.keys() - kept.keys())
            kept |= rest
    if not made:
        return ("unknown", "excess") if kept else ("no_trade", None)
    difference = compare(total(kept), total(made), nudge)
    if difference == 0:
        return ("repaired", None) if from_rest else ("verified", None)
    if difference > 0:
        return "unknown", "excess"
    return "candle", ("short" if rest else "gone")


def total(quantities: dict[int, Decimal]) -> Decimal:
    return sum(quantities.values(), Decimal(0))


def home_of(all_tapes: Sequence[Tape], nudge: int) -> FakePorts:
    """Give a home after the hour closed: what the stream brought so far, twice and in any order of time."""
    lines = [trade for tape in all_tapes for trade in (*tape.trades(ONCE, TWICE, INVENTED), *tape.trades(TWICE))]
    raw = FakeRawStore([replace(trade, arrival=number) for number, trade in enumerate(lines, start=1)])
    candles = [one for tape in all_tapes for one in candles_of(tape, nudge)]
    rest = [one for tape in all_tapes for one in tape.trades(*MADE, kept_by_rest=True)]
    return FakePorts(MARKETS, raw=raw, market_data=FakeMarketData(candles, rest, MARKETS))


def bring_late(ports: FakePorts, tape: Tape) -> None:
    """Write the late lines, as the collector does: extract of their hour is due again."""
    last = max((line.arrival for line in ports.raw.lines), default=0)
    late = tape.trades(LATE)
    ports.raw.lines += [replace(trade, arrival=last + number) for number, trade in enumerate(late, start=1)]
    if late:
        mark_due(ports, "extract", tape.market, HOUR)


@settings(max_examples=40, deadline=None)
@given(btc=tapes, eth=tapes, nudge=st.sampled_from((-1, 0, 1)))
@pytest.mark.filterwarnings("error")
def test_every_minute_is_labelled_as_the_oracle_knows_it_to_be(
    btc: list[list[Print]], eth: list[list[Print]], nudge: int
) -> None:
    """Lost, doubled, late and invented trades, some of them still at REST: each label follows from the sums."""
    all_tapes = [Tape("KRW-BTC", btc), Tape("KRW-ETH", eth)]
    ports = home_of(all_tapes, nudge)

    walk(ports)
    for tape in all_tapes:
        bring_late(ports, tape)
    walk(ports)

    for tape in all_tapes:
        ledger = ports.warehouse.read(LEDGER, tape.market, HOUR)
        found = {
            (to_ms(minute) - START_MS) // MINUTE_MS: (state, reason)
            for minute, state, reason in ledger.select("minute", "state", "reason").iter_rows()
        }
        labels = {number: expected(tape, number, nudge) for number in range(MINUTES)}
        for label in labels.values():
            event(" ".join(filter(None, label)))
        assert found == labels | dict.fromkeys(range(MINUTES, 60), ("no_trade", None))
        assert_counts(ports, tape)


def assert_counts(ports: FakePorts, tape: Tape) -> None:
    """Every trade once; bars carry the label; the report counts each minute once."""
    trades = ports.warehouse.read(TRADE, tape.market, HOUR)
    ledger = ports.warehouse.read(LEDGER, tape.market, HOUR)
    bars = ports.warehouse.read(BAR_1M, tape.market, HOUR)
    assert trades["trade_id"].is_unique().all()
    assert ledger["trades"].sum() == trades.height
    states = dict(ledger.select("minute", "state").iter_rows())
    assert all(states[minute] == state for minute, state in bars.select("ts_open", "state").iter_rows())
    report = report_ledger(tape.market, HOUR, ledger, HOUR.end_ms)
    assert sum(report.counts.values()) == 60
    assert (
        sum(part.minutes for part in report.stretches)
        == ledger.filter(~ledger["state"].is_in(["verified", "no_trade"])).height
    )


def test_the_oracle_itself() -> None:
    """A table written out by hand, so that the oracle is no second copy of what it judges."""

    def told(*minute: tuple[str, bool]) -> tuple[str, str | None]:
        made = [Print(5, number, fate, is_kept) for number, (fate, is_kept) in enumerate(minute)]
        return expected(Tape("KRW-BTC", [made]), 0)

    assert told() == ("no_trade", None)
    assert told((ONCE, True), (TWICE, False)) == ("verified", None)
    assert told((ONCE, True), (LOST, True)) == ("repaired", None)
    assert told((ONCE, False), (LOST, False)) == ("candle", "gone")
    assert told((ONCE, True), (LOST, False)) == ("candle", "short")
    assert told((ONCE, False), (LATE, False)) == ("verified", None)
    assert told((ONCE, False), (LATE, True)) == ("repaired", None)
    assert told((INVENTED, False)) == ("unknown", "excess")
    assert told((ONCE, True), (INVENTED, False)) == ("unknown", "excess")
