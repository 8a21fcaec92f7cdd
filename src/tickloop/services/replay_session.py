"""A bot's session once more: its decisions made again from its record alone, and held against what was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Protocol, cast

from tickloop.domain.bars import candle_frame
from tickloop.domain.bot_session import (
    FORMAT,
    Aged,
    Ended,
    Fact,
    Forecasted,
    MinutesFilled,
    OrderNoted,
    Position,
    Seeded,
    Started,
    StreamLost,
)
from tickloop.domain.market import Trade
from tickloop.domain.orders import ZERO, Intent, OrderEvent, OrderState
from tickloop.domain.purse import Purse
from tickloop.domain.strategy import Params
from tickloop.domain.window import to_datetime
from tickloop.errors import DataError
from tickloop.ports import RecordedSession, SessionStep
from tickloop.services.decisions import Decisions
from tickloop.services.desk import Desk
from tickloop.services.recorded_forecasts import RecordedForecasts
from tickloop.services.replay_result import ReplayedOrder, ReplayResult


class Listener(Protocol):
    """Hears what a replay goes through."""

    def decided(self, trade: Trade) -> None:
        """Take a trade at which the strategy was asked, or would have been if its market had not stood still."""

    def forecast(self, fact: Forecasted, at_ms: int) -> None:
        """Take what there was to a minute, and the event time from which the bot had it."""


def replay_session(session: RecordedSession, listener: Listener | None = None) -> ReplayResult:
    """Decide again on every frame of a session, by the bot's own code, and compare each order with the one it sent.

    Forecasts are usable from where the bot had them, and order events count from where it knew of them. Bars are made
    anew, and must be those that each forecast was made from. Memory holds the session's orders and one line.

    Raises:
        DataError: the session is incomplete, with the reason.
    """
    steps = session.steps()
    replay = _Replay(listener)
    difference = ""
    try:
        for step in steps:
            replay.take(step)
    except DataError as exc:
        difference = str(exc)
    return replay.result(session.name, difference)


class _Replay:
    """The state of a replay; `take` it through the steps of a session."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener
        self._started: Started | None = None
        self._purse = Purse(ZERO)
        self._desks: dict[str, Desk] = {}
        self._recorded: dict[str, RecordedForecasts] = {}
        self._decisions: Decisions | None = None
        self._orders: dict[str, tuple[Position, Position | None, Position | None]] = {}
        self._events: Counter[str] = Counter()
        self._at = Position()
        self._is_stale = self._has_ended = False
        self._frames = self._forecasts = 0
        self._last_ms: int | None = None
        self._trade_ms = 0
        self._apply: dict[type[Fact], Callable[[Any], None]] = {
            Seeded: self._seed,
            StreamLost: self._lose,
            MinutesFilled: self._fill,
            Forecasted: self._note_forecast,
            OrderNoted: self._note_order,
            Ended: self._end,
        }

    def take(self, step: SessionStep) -> None:
        """Decide on a frame, compare, and take note of what happened until the next.

        Raises:
            DataError: replay and session part here, or an event cannot follow; says where and what.
        """
        self._at = step.position
        facts = step.facts
        try:
            if self._decisions is None:
                facts = self._start(facts)
            intent = None
            if step.trade is not None:
                self._frames += 1
                intent = self._decide(step)
            self._compare(intent, _sent(facts), is_whole=step.is_whole)
            for fact in facts:
                if (apply := self._apply.get(type(fact))) is not None:
                    apply(fact)
        except DataError as exc:
            raise DataError(f"at {step.position}{_trade_words(step)}: {exc}") from exc

    def result(self, name: str, difference: str) -> ReplayResult:
        return ReplayResult(
            session=name,
            started=self._started,
            last_ms=self._last_ms,
            has_ended=self._has_ended,
            difference=difference,
            frames=self._frames,
            decisions=sum(desk.decided for desk in self._desks.values()),
            forecasts=self._forecasts,
            orders=tuple(
                ReplayedOrder(self._purse.orders[order_id], *places) for order_id, places in self._orders.items()
            ),
            events=dict(self._events),
            purse=self._purse,
        )

    def _start(self, facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
        started = facts[0] if facts else None
        if not isinstance(started, Started) or started.format != FORMAT:
            told = "nothing" if started is None else f"format {getattr(started, 'format', type(started).__name__)}"
            raise DataError(f"the session begins with {told}; valid: its start in format {FORMAT}")
        self._started = started
        self._purse = Purse.of(started.purse)
        params = params_of(started)
        for market in started.markets:
            self._recorded[market] = RecordedForecasts(market)
            desk = Desk(market, params, started.order_krw, self._recorded[market], started.forecast_delay_ms)
            desk.halted = started.halted.get(market, "")
            self._desks[market] = desk
        self._decisions = Decisions(
            started.bot,
            self._purse,
            self._desks,
            sequence=started.sequence,
            most_per_minute=started.orders_per_minute,
        )
        self._last_ms = started.at_ms
        return facts[1:]

    def _decide(self, step: SessionStep) -> Intent | None:
        assert step.trade is not None
        assert self._decisions is not None
        for fact in step.facts:
            if isinstance(fact, Aged):
                self._is_stale = fact.is_stale
        desk = self._desks.get(step.trade.market)
        if desk is None:
            return None
        self._trade_ms = step.trade.ts_event_ms
        self._last_ms = max(self._last_ms or 0, self._trade_ms)
        recorded = self._recorded[desk.market]
        recorded.prepare(step.facts, is_whole=step.is_whole)
        is_taken = desk.take(step.trade)
        recorded.check_used()
        if not is_taken or self._is_stale:
            return None
        if self._listener is not None:
            self._listener.decided(step.trade)
        return self._decisions.intent(desk, step.trade)

    def _compare(self, mine: Intent | None, sent: list[Intent], *, is_whole: bool) -> None:
        if mine is None and not sent:
            return
        if mine is None:
            raise DataError(f"the bot sent {_order_words(sent[0])}, the replay sends nothing")
        if not sent:
            if is_whole:
                raise DataError(f"the replay sends {_order_words(mine)}, the bot sent nothing")
            return
        other = sent.pop(0)
        if mine != other:
            raise DataError(f"order {other.client_order_id}: {_parting(mine, other)}")
        if sent:
            raise DataError(f"the bot sent {_order_words(sent[0])} too, the replay sends one order")

    def _seed(self, fact: Seeded) -> None:
        if fact.market not in self._desks:
            raise DataError(f"start-up bars of {fact.market}, which the bot does not trade")
        self._desks[fact.market].recent.seed(candle_frame(fact.candles))

    def _lose(self, fact: StreamLost) -> None:
        for desk in self._desks.values():
            desk.recent.lost(fact.since_ms, fact.until_ms)

    def _fill(self, fact: MinutesFilled) -> None:
        if fact.market not in self._desks:
            raise DataError(f"candles of {fact.market}, which the bot does not trade")
        self._recorded[fact.market].is_filling = False
        if not fact.reason:
            self._desks[fact.market].recent.fill(candle_frame(fact.candles), fact.minutes)

    def _note_forecast(self, fact: Forecasted) -> None:
        self._forecasts += fact.forecast is not None
        if self._listener is not None:
            self._listener.forecast(fact, self._trade_ms)

    def _note_order(self, fact: OrderNoted) -> None:
        event = fact.event
        assert self._decisions is not None
        self._decisions.order_changed(self._purse.apply(event))
        self._events[event.state.value] += 1
        self._last_ms = max(self._last_ms or 0, event.at_ms)
        self._place(event)

    def _place(self, event: OrderEvent) -> None:
        order_id = event.client_order_id
        if event.state is OrderState.INTENT:
            self._orders[order_id] = (self._at, None, None)
        elif order_id in self._orders:
            at, known, end = self._orders[order_id]
            is_known = event.state is OrderState.ACKNOWLEDGED
            self._orders[order_id] = (at, self._at, end) if is_known else (at, known, self._at)

    def _end(self, fact: Ended) -> None:
        self._has_ended = True
        self._last_ms = max(self._last_ms or 0, fact.at_ms)


def params_of(started: Started) -> Params:
    """Give the strategy's parameters of a session; `DataError` when they are those of another version."""
    values = cast("dict[str, Any]", dict(started.params))
    if values.keys() != set(Params._fields):
        raise DataError(f"parameters {', '.join(values)} of another version; valid: {', '.join(Params._fields)}")
    return Params(**values)


def _sent(facts: tuple[Fact, ...]) -> list[Intent]:
    events = [fact.event for fact in facts if isinstance(fact, OrderNoted)]
    return [event.intent for event in events if event.state is OrderState.INTENT and event.intent is not None]


def _parting(mine: Intent, other: Intent) -> str:
    """Say in which fields two intents differ."""
    return "; ".join(
        f"{field.name} {getattr(other, field.name)} in the session, {getattr(mine, field.name)} in the replay"
        for field in fields(Intent)
        if getattr(mine, field.name) != getattr(other, field.name)
    )


def _order_words(intent: Intent) -> str:
    unit = "KRW" if intent.side == "BUY" else intent.market.partition("-")[2]
    return f"{intent.client_order_id}, a {intent.side.value} of {intent.requested} {unit} at {intent.price}"


def _trade_words(step: SessionStep) -> str:
    trade = step.trade
    return "" if trade is None else f" ({trade.market} at {trade.price}, {to_datetime(trade.ts_event_ms).isoformat()})"
