"""The replay of a bot's session: equal on every run, and every change to the record is named."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

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
)
from tickloop.domain.market import Trade
from tickloop.domain.orders import OrderState
from tickloop.domain.purse import PurseState
from tickloop.domain.strategy import PRESETS
from tickloop.errors import ExchangeError, RejectedError, UnknownOutcomeError
from tickloop.ports import Disconnected, Frame, OrderRequest, VenueOrder
from tickloop.services.replay_result import ReplayResult
from tickloop.services.replay_session import replay_session
from trading_fakes import Act, FakeBroker, MemorySession, Stage, at, message, trade

BUY_PRICE = 50_000_000.0
HIGH = 60_000_000.0
ETH = "KRW-ETH"


class OddBroker(FakeBroker):
    """Fills, refuses, loses answers, ends without a fill, or lets an order stay open for some questions: by seed."""

    def __init__(self, clock: Any, seed: int) -> None:
        super().__init__(clock)
        self._chance = random.Random(seed)
        self._patience: dict[str, int] = {}
        self._empty: set[str] = set()

    async def place(self, request: OrderRequest) -> VenueOrder:
        kind = self._chance.choice(["fill", "fill", "fill", "refuse", "lose", "empty", "slow"])
        errors: dict[str, ExchangeError] = {
            "refuse": RejectedError("insufficient_funds_bid", "not enough", 400),
            "lose": UnknownOutcomeError("the answer was lost"),
        }
        self.answers, self.arrives = [errors.get(kind)], kind == "lose"
        self._patience[request.client_order_id] = 3 if kind == "slow" else 0
        if kind == "empty":
            self._empty.add(request.client_order_id)
        return await super().place(request)

    async def find(self, client_order_id: str) -> VenueOrder | None:
        found = await super().find(client_order_id)
        if found is None:
            return None
        if self._patience[client_order_id] > 0:
            self._patience[client_order_id] -= 1
            return replace(found, is_closed=False, executed_qty=Decimal(0), executed_funds=Decimal(0), fills=())
        if client_order_id in self._empty:
            nothing = Decimal(0)
            return replace(found, executed_qty=nothing, executed_funds=nothing, paid_fee=nothing, fills=())
        return found


def wild_stage(seed: int) -> tuple[Stage, list[Trade | Disconnected | Act | None]]:
    """Give a bot of two markets, and half an hour of trades, breaks, bad frames and times at which the bot may lag."""
    chance = random.Random(seed)
    stage = Stage(preset="seed2023", order_notional=Decimal(6_000), budget=Decimal(200_000))
    stage.ports.markets = ("KRW-BTC", ETH)
    stage.broker = OddBroker(stage.clock, seed)
    stage.forecaster.prices = {at(minute): BUY_PRICE * chance.uniform(0.999, 1.004) for minute in range(30)}
    stage.forecaster.failing = {at(chance.randrange(30))}
    script: list[Trade | Disconnected | Act | None] = []
    ms = last_ms = 0
    while ms < 30 * 60_000:
        ms += int(chance.expovariate(1 / 4_000))
        price = BUY_PRICE * (1 + chance.gauss(0, 0.002))
        script.append(trade(at(0, ms), round(price), market=chance.choice(["KRW-BTC", ETH])))
        odd = chance.random()
        if odd < 0.3:
            script.append(stage.settled)
        elif odd < 0.33:
            script.append(trade(at(0, max(0, ms - 30_000)), round(price)))  # overtaken
        elif odd < 0.35:
            script.append(None)
        elif odd < 0.37:
            script.append(Disconnected(at(0, last_ms), at(0, ms + 20_000), "closed"))
            ms += 20_000
        elif odd < 0.38:
            script.append(_lag(stage, at(0, ms + 90_000)))
        last_ms = ms
    return stage, [*script, stage.settled]


def _lag(stage: Stage, now_ms: int) -> Act:
    async def act() -> None:
        stage.clock.set(now_ms)

    return act


@pytest.mark.parametrize("seed", range(6))
async def test_replay_of_files_equals_the_run_whatever_happens(seed: int, tmp_path: Path) -> None:
    """Two runs in a row, the second on the purse of the first: `play` holds each against its replay."""
    stage, script = wild_stage(seed)
    stage.open_session = lambda: BotSessionWriter(tmp_path, stage.clock, segment_bytes=20_000, interval_s=0.002)
    stage.read_session = lambda session: BotSessionFiles(session.folder)
    half = len(script) // 2

    first = await stage.play(*script[:half])
    earlier = len(first.purse.orders)
    second = await stage.play(*script[half:])

    assert stage.replayed is not None
    orders = [one.order for one in stage.replayed.orders]
    assert orders == list(second.purse.orders.values())[earlier:]
    assert len(second.purse.orders) >= 20
    assert second.purse.fills >= 10
    assert stage.replayed.has_ended


# --- one change to the record each ----------------------------------------------------------------------------------


async def recorded() -> MemorySession:
    """Give the session of a buy, a sell, a refused buy, a break whose candles come, and a buy after it."""
    stage = Stage({at(0): HIGH, at(1): HIGH, at(3): HIGH})

    async def rise() -> None:
        stage.broker.price = Decimal(50_100_000)

    async def refuse() -> None:
        stage.broker.answers = [RejectedError("insufficient_funds_bid", "not enough", 400)]

    await stage.play(
        trade(at(0, 500), BUY_PRICE),
        trade(at(0, 1_000), BUY_PRICE),
        stage.settled,
        rise,
        trade(at(0, 3_000), 50_100_000.0),
        stage.settled,
        refuse,
        trade(at(1, 1_500), BUY_PRICE),
        stage.settled,
        Disconnected(at(1, 30_000), at(2, 30_000), "closed"),
        trade(at(3, 1_000), BUY_PRICE),
        _until_filled(stage),
        trade(at(3, 2_000), BUY_PRICE),
        stage.settled,
    )
    assert stage.broker.placed[3:]
    return stage.session


def _until_filled(stage: Stage) -> Act:
    async def act() -> None:
        bot = stage.bot
        assert bot is not None
        await stage.until(lambda: not bot.forecasts["KRW-BTC"].is_filling)

    return act


Change = Callable[[Any], Any]


def changed(session: MemorySession, cls: type, change: Change, which: int = 0) -> ReplayResult:
    """Replay the session with one fact or frame of a class changed; None leaves it out."""
    other = MemorySession()
    seen = -1
    for item in session.kept:
        if isinstance(item, cls):
            seen += 1
            if seen == which:
                item = change(item)
        if item is not None:
            other.kept.append(item)
    return replay_session(other)


def _event(**fields: Any) -> Change:
    return lambda fact: OrderNoted(replace(fact.event, **fields))


def _execution(**fields: Any) -> Change:
    return lambda fact: OrderNoted(replace(fact.event, execution=replace(fact.event.execution, **fields)))


def _intent(**fields: Any) -> Change:
    return lambda fact: OrderNoted(replace(fact.event, intent=replace(fact.event.intent, **fields)))


def _forecast(**fields: Any) -> Change:
    return lambda fact: replace(fact, forecast=replace(fact.forecast, **fields))


def _without(_item: Any) -> None:
    return None


def _repriced(price: float) -> Change:
    def change(frame: Frame) -> Frame:
        return Frame(
            frame.raw.replace(b'"trade_price":50000000.0', b'"trade_price":%.1f' % price), frame.ts_received_ns
        )

    return change


ORDERS = ["buy", "known", "closed", "sell", "known", "closed", "refused buy", "refused", "last buy", "known", "closed"]
"""The order events of `recorded`."""


@pytest.mark.parametrize(
    ("cls", "which", "change", "words"),
    [
        (OrderNoted, 0, _intent(price=BUY_PRICE + 1_000), "price 50001000.0 in the session, 50000000.0 in the replay"),
        (OrderNoted, 0, _intent(decided_at_ms=at(0, 999)), "decided_at_ms 1705881600999 in the session"),
        (OrderNoted, 0, _intent(requested=Decimal(6_001)), "requested 6001 in the session, 6000 in the replay"),
        (OrderNoted, 0, _without, "the replay sends tl-b-1705881601000-1, a BUY of 6000 KRW at"),
        (OrderNoted, 1, _without, ""),  # known or not, an order in flight is in flight
        (OrderNoted, 2, _without, "the bot sent tl-b-1705881603000-2, a SELL of 0.00012000 BTC"),
        (OrderNoted, 2, _execution(qty=Decimal("0.0001201")), "requested 0.00012000 in the session, 0.0001201 in the"),
        (OrderNoted, 2, _execution(qty=Decimal("0.00006"), funds=Decimal(3_000)), "the bot sent tl-b-1705881603000-2"),
        (OrderNoted, 5, _execution(qty=Decimal("0.00013")), "sold 0.00013, more than its lots"),
        (OrderNoted, 5, _execution(funds=Decimal(-40_000)), "the bot sent tl-b-1705881661500-3"),
        (OrderNoted, 7, _event(state=OrderState.LOST), "the bot sent tl-b-1705881782000-4"),
        (OrderNoted, 3, _intent(lots=()), "lots () in the session"),
        (Forecasted, 0, _forecast(price=HIGH + 1), "cause Cause(target_minute_ms=1705881600000"),
        (Forecasted, 0, _forecast(price=BUY_PRICE), "the bot sent tl-b-1705881601000-1"),
        (Forecasted, 0, lambda fact: replace(fact, bars=1), "made from other bars than those of the replay"),
        (Forecasted, 0, _without, "tells of no forecast where the forecast of KRW-BTC 2024-01-22T00:00"),
        (Forecasted, 1, lambda fact: replace(fact, minute_ms=at(7)), "forecast of KRW-BTC 2024-01-22T00:07"),
        (MinutesAsked, 0, lambda fact: replace(fact, missing=fact.missing[1:]), "the replay misses"),
        (MinutesFilled, 0, lambda fact: replace(fact, candles=()), ""),  # the exchange had none for these minutes
        (MinutesFilled, 0, _without, "and none is due"),
        (Seeded, 0, lambda fact: replace(fact, candles=fact.candles[1:]), "made from other bars"),
        (Started, 0, lambda fact: replace(fact, sequence=5), "client_order_id tl-b-1705881601000-1 in the session"),
        (Started, 0, lambda fact: replace(fact, params={**fact.params, "min_edge": 0.5}), "the replay sends nothing"),
        (Started, 0, lambda fact: replace(fact, params={"order_krw": 1.0}), "parameters order_krw of another version"),
        (Started, 0, lambda fact: replace(fact, halted={"KRW-BTC": "by hand"}), "the replay sends nothing"),
        (Started, 0, lambda fact: replace(fact, format=0), "the session begins with format 0"),
        (Started, 0, _without, "the session begins with format Seeded"),
        (Frame, 1, _repriced(BUY_PRICE + 1_000), "price 50000000.0 in the session, 50001000.0 in the replay"),
        (Frame, 0, _without, "made from other bars than those of the replay"),
        (Frame, 1, _without, "forecast of KRW-BTC 2024-01-22T00:00 (60000000.0), and none is due"),
    ],
)  # fmt: skip
async def test_change_of_one_line_is_named(cls: type, which: int, change: Change, words: str) -> None:
    """With the place and what differs; the few changes that change no decision leave the replay equal."""
    session = await recorded()
    noted = [item.event.state.value for item in session.kept if isinstance(item, OrderNoted)]
    assert len(noted) == len(ORDERS)

    result = changed(session, cls, change, which)

    assert result.is_equal == (not words), result.difference
    assert words in result.difference
    if words and cls is not Started:
        assert "frames" in result.difference or "the start" in result.difference


async def test_orders_come_with_the_places_where_the_bot_knew_of_them() -> None:
    result = replay_session(await recorded())

    rows = result.rows()
    assert [(row["side"], row["state"], row["at"]) for row in rows] == [
        ("BUY", "closed", "line 2 of frames"),
        ("SELL", "closed", "line 3 of frames"),
        ("BUY", "rejected", "line 4 of frames"),
        ("BUY", "closed", "line 6 of frames"),
    ]
    assert rows[0]["acknowledged_at"] == rows[0]["ended_at"] == "line 2 of frames"
    assert (rows[2]["acknowledged_at"], rows[2]["ended_at"]) == (None, "line 4 of frames")
    assert rows[1]["executed_funds"] == "6012.00000000"
    assert result.summary()["events"] == {"intent": 4, "acknowledged": 3, "closed": 3, "rejected": 1}
    assert (result.frames, result.forecasts, result.has_ended) == (6, 3, True)


async def test_trades_too_old_to_order_on_are_told_by_the_record() -> None:
    """The replay has no clock: what the bot's clock said is a fact of the session."""
    stage = Stage({at(0): HIGH, at(1): HIGH})
    await stage.play(
        _lag(stage, at(2)),
        trade(at(0, 1_000), BUY_PRICE),
        trade(at(1, 1_000), BUY_PRICE),
        stage.settled,
    )

    aged = [item for item in stage.session.kept if isinstance(item, Aged)]
    assert aged == [Aged(is_stale=True), Aged(is_stale=False)]
    assert "the replay sends tl-b-1705881601000-1" in changed(stage.session, Aged, _without).difference
    assert "the replay sends nothing" in changed(stage.session, Aged, _without, 1).difference


async def test_session_that_broke_off_is_replayed_to_its_last_frame() -> None:
    """Cut after every item: equal each time, however much of the last frame was noted."""
    session = await recorded()
    lengths = []
    for end in range(1, len(session.kept)):
        part = MemorySession()
        part.kept = session.kept[:end]
        result = replay_session(part)
        assert result.is_equal, (end, result.difference)
        assert not result.has_ended
        lengths.append(len(result.orders))

    assert lengths[0] == 0
    assert lengths[-1] == 4
    assert lengths == sorted(lengths)


def test_frame_after_the_end_and_another_market_change_nothing() -> None:
    """A market that the bot does not trade is passed over."""
    session = MemorySession()
    kept: list[Frame | Fact] = [_started(), message(trade(at(0), 1.0, market="KRW-XRP")), Ended(at(1))]
    session.kept = kept

    result = replay_session(session)

    assert (result.is_equal, result.frames, result.decisions) == (True, 1, 0)


def _started() -> Started:
    params = PRESETS["default"]._asdict()
    return Started(
        "b", ("KRW-BTC",), at(0), "default", params, Decimal(6_000), 1_000, 20, PurseState(Decimal(50_000)), 0
    )
