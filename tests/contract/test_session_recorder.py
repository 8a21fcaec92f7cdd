"""Every recorder of sessions gives back the frames and facts of a run in their order, each at its position."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fakes import FixedClock
from tickloop.adapters.local.bot_session import BotSessionWriter
from tickloop.adapters.local.bot_session_read import BotSessionFiles
from tickloop.domain.bot_session import (
    Aged,
    Ended,
    Fact,
    Forecasted,
    MinutesAsked,
    MinutesFilled,
    OrderNoted,
    Seeded,
    Started,
    StreamLost,
)
from tickloop.domain.forecast import Forecast
from tickloop.domain.market import Side
from tickloop.domain.orders import Cause, Execution, Intent, Order, OrderEvent, OrderState
from tickloop.domain.purse import Lot, PurseState
from tickloop.entrypoints.decoding import decode_trade
from tickloop.ports import Frame, RecordedSession, SessionRecorder
from trading_fakes import MARKET, MemorySession, at, message, quiet_candles, trade, until

Kept = tuple[SessionRecorder, Callable[[], RecordedSession]]


@pytest.fixture(params=["memory", "files", "small segments"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    """Give a recorder, and what reads its session back."""
    if request.param == "memory":
        memory = MemorySession()
        return memory, lambda: memory
    options: dict[str, Any] = {"segment_bytes": 700} if request.param == "small segments" else {}
    files = BotSessionWriter(tmp_path, FixedClock(), interval_s=0.002, **options)
    return files, lambda: BotSessionFiles(files.folder)


BUY = Intent(
    "tl-b-1-1", MARKET, Side.BUY, Decimal("6000"), Decimal("6003.00"), at(0), 5e7, cause=Cause(at(0), "ridge-1", 5.1e7)
)
SOLD = Execution("w", Decimal("0.00012"), Decimal("6012.0"), Decimal("3.006"), at(1))
SELL = Intent("tl-b-2-2", MARKET, Side.SELL, Decimal("0.00012000"), Decimal(0), at(1), 5.01e7, lots=("tl-b-1-1",))
PURSE = PurseState(
    Decimal("43997.00000000"),
    (Lot("tl-b-0-0", MARKET, Decimal("0.00012"), Decimal("50000000.1"), at(0)),),
    (Order(BUY, OrderState.LOST, Execution("v"), "it did not end in time"),),
    {MARKET: at(0)},
)
STARTED = Started(
    "b", (MARKET,), at(0), "default", {"order_krw": 6000.0, "hold_ms": 3_600_000}, Decimal("6000"), 1_000, 20, PURSE, 7
)
FACTS: list[Fact] = [
    STARTED,
    Seeded(MARKET, tuple(quiet_candles())),
    StreamLost(None, at(0)),
    StreamLost(at(0), at(1, 1)),
    MinutesAsked(MARKET, at(1), (at(0), at(0) - 60_000)),
    MinutesFilled(MARKET, (at(0),), tuple(quiet_candles(1))),
    MinutesFilled(MARKET, (at(0),), reason="the exchange is away"),
    Forecasted(MARKET, at(1), Forecast(MARKET, at(1), "ridge-1", at(1), at(0), 5e7, 0.1 + 0.2, 50_000_001.5), bars=77),
    Forecasted(MARKET, at(2), None, "model gave no price"),
    Aged(is_stale=True),
    OrderNoted(OrderEvent("tl-b-1-1", OrderState.INTENT, at(0), intent=BUY)),
    OrderNoted(OrderEvent("tl-b-1-1", OrderState.ACKNOWLEDGED, at(0), execution=Execution("v"))),
    OrderNoted(OrderEvent("tl-b-2-2", OrderState.INTENT, at(1), intent=SELL)),
    OrderNoted(OrderEvent("tl-b-2-2", OrderState.CLOSED, at(1), execution=SOLD)),
    OrderNoted(OrderEvent("tl-b-3-3", OrderState.REJECTED, at(1), reason="insufficient_funds_bid")),
    Ended(at(3)),
]


async def test_facts_of_every_kind_come_back_as_they_were_noted(kept: Kept) -> None:
    """Decimals keep their digits, floats their bits, whole numbers stay whole."""
    recorder, read = kept
    for fact in FACTS[:-1]:
        recorder.note(fact)
    recorder.note(lambda: FACTS[-1])
    await recorder.close()

    (step,) = read().steps()

    assert list(step.facts) == FACTS
    assert repr(step.facts) == repr(tuple(FACTS))
    assert step.trade is None
    assert step.is_whole


async def test_each_fact_stands_behind_the_frame_after_which_it_was_noted(kept: Kept) -> None:
    """However the calls fall into the rounds of the disk; what is no message of the market has no place."""
    recorder, read = kept
    frames = [message(trade(at(0, 100 * number), 5e7 + number)) for number in range(30)]
    recorder.note(FACTS[0])
    expected: list[tuple[Any, list[Fact]]] = [(None, [FACTS[0]])]
    for number, frame in enumerate(frames):
        recorder.frame(frame)
        noted = FACTS[1 : 1 + number % 3]
        expected.append((decode_trade(frame), list(noted)))
        for fact in noted:
            recorder.note(fact)
        if number % 4 == 0:
            recorder.frame(message(None))
        if number % 7 == 0:
            await until(lambda: not getattr(recorder, "waiting", 0))
    recorder.note(FACTS[-1])
    expected[-1][1].append(FACTS[-1])
    await recorder.close()

    steps = list(read().steps())

    assert [(step.trade, list(step.facts)) for step in steps] == expected
    places = [step.position for step in steps]
    assert places == sorted(places)
    assert len(set(places)) == len(places)


async def test_session_without_an_end_is_given_as_far_as_it_goes(kept: Kept) -> None:
    """The last step may lack facts, and says so."""
    recorder, read = kept
    recorder.note(FACTS[0])
    recorder.frame(message(trade(at(0), 5e7)))
    await recorder.close()

    steps = list(read().steps())

    assert [step.is_whole for step in steps] == [True, False]


async def test_message_of_another_type_has_its_place_and_no_trade(kept: Kept) -> None:
    recorder, read = kept
    raw = (
        b'{"type":"trade","code":"KRW-ETH","timestamp":1705881600000,"trade_date":"2024-01-22","trade_time":"00:00:00",'
        b'"trade_timestamp":1705881600000,"trade_price":3500000.0,"trade_volume":0.5,"ask_bid":"ASK",'
        b'"prev_closing_price":3400000.0,"change":"RISE","change_price":100000.0,"sequential_id":1,"stream_type":"REALTIME"}'
    )
    recorder.frame(Frame(raw, 5))
    recorder.frame(Frame(b'{"status":"UP"}', 6))
    recorder.note(Ended(7))
    await recorder.close()

    steps = list(read().steps())

    assert steps[1].trade == decode_trade(Frame(raw, 5))
    assert steps[-1].facts == (Ended(7),)
