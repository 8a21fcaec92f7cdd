"""The bot: its own feed, the same features, models and decisions as everywhere else, and orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any, Protocol, cast

import structlog

from tickloop.domain import rules, strategy
from tickloop.domain.bot_session import Ended, Started, StreamLost
from tickloop.domain.market import Trade
from tickloop.domain.orders import ZERO, Order
from tickloop.domain.purse import Purse
from tickloop.domain.window import MINUTE_MS
from tickloop.errors import CorruptLineError, SettingsError
from tickloop.ports import (
    Broker,
    Clock,
    Disconnected,
    Frame,
    MarketData,
    OrderLog,
    SessionRecorder,
    TradeFeed,
    Warehouse,
)
from tickloop.services.decisions import Decisions
from tickloop.services.desk import Desk, warm_decision
from tickloop.services.minute_forecasts import Forecaster, LiveForecasts
from tickloop.services.order_path import FOLLOW_DEADLINE_S, OrderPath, answered
from tickloop.services.predict import warm_up
from tickloop.services.projection import Projection
from tickloop.services.session_log import AgeNotes, NotedOrderLog
from tickloop.settings import StrategySettings

STALE_MS = 60_000
"""A trade older than this against the market clock is data, not a reason to order."""

MAX_ORDERS_PER_MINUTE = 20
"""Over all markets, in market time: far above what the strategy can want, so more is a fault."""

FINISH_DEADLINE_S = 1.5
"""Real seconds that orders under way have at the end; the next start settles what is still open."""

_HOUSEKEEPING_S = 0.5
_REFRESH_S = 2.0
_BREATH_FRAMES = 64  # a backlog is read without a pause by itself; after this many frames the other tasks get a turn
_CENT = Decimal("0.01")

log = structlog.get_logger()

ParseTrade = Callable[[Frame], Trade | None]
"""Read one frame; None for a frame of another type, `CorruptLineError` for one that cannot be read."""

Report = Callable[[str, dict[str, Any]], None]


class BotPorts(Protocol):
    """What `bootstrap` hands to the bot."""

    @property
    def markets(self) -> tuple[str, ...]: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def market_data(self) -> MarketData: ...
    @property
    def warehouse(self) -> Warehouse: ...
    @property
    def strategy(self) -> StrategySettings: ...


@dataclass
class Seen:
    """What the feed brought.

    Attributes:
        minutes: market minutes in which a trade was decided on or could have been.
        newest_minute: start of the newest of them.
        stale: trades that were too old to order on.
        corrupt: frames that could not be read.
    """

    is_subscribed: bool = False
    minutes: int = 0
    newest_minute: int = -1
    stale: int = 0
    corrupt: int = 0


class Bot:
    """One bot over its markets. `run` is all that a caller needs."""

    def __init__(
        self,
        *,
        name: str,
        ports: BotPorts,
        feed: TradeFeed,
        broker: Broker,
        order_log: OrderLog,
        session: SessionRecorder,
        parse: ParseTrade,
        forecaster_for: Callable[[str], Forecaster],
        report: Report,
        finish_deadline_s: float = FINISH_DEADLINE_S,
    ) -> None:
        """Rebuild the purse from the order log.

        Args:
            session: keeps what this run sees and does, for `replay`.
            report: called about twice a second from the first subscription on, with a line and figures by name.

        Raises:
            SettingsError, UsageError: no order of that size can ever be sent.
            DataError: the order log does not hold together.
        """
        self.purse = Purse(ports.strategy.budget)
        self.seen = Seen()
        self._name = name
        self._ports = ports
        self._feed = feed
        self._broker = broker
        self._parse = parse
        self._report = report
        self._finish_deadline_s = finish_deadline_s
        self._params = _params(ports)
        self._order_krw = ports.strategy.order_notional or Decimal(f"{self._params.order_krw:.12g}")
        self._session = session
        self.forecasts = {market: self._forecasts_of(market, forecaster_for(market)) for market in ports.markets}
        self.desks = {market: self._desk(market) for market in ports.markets}
        for event in order_log.read():
            self.purse.apply(event)
        sequence = len(self.purse.orders)
        self._decisions = Decisions(
            name, self.purse, self.desks, sequence=sequence, most_per_minute=MAX_ORDERS_PER_MINUTE
        )
        self._is_limit_told = False
        self._age = AgeNotes(session.note)
        self._balances: dict[str, str] = {}
        self._projection = Projection(name, ports.warehouse)
        self._order_log = NotedOrderLog(order_log)
        self._path = OrderPath(broker, self._order_log, self.purse, ports.clock, self._order_changed)
        self._is_over = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Settle what an earlier run left, then trade until asked to stop; orders under way are waited for.

        Raises:
            TickloopError: the exchange cannot be asked about open orders, or the order log takes no more.
        """
        work = [asyncio.create_task(job) for job in (self._trade(), self._path.watch())]
        asked = asyncio.create_task(stop.wait())
        chores = [asyncio.create_task(job) for job in (self._housekeeping(), self._refresh())]
        try:
            done, _ = await asyncio.wait((*work, asked, *chores), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*work, asked):
                task.cancel()
            await asyncio.wait((*work, asked))
            await self._path.finish(self._finish_deadline_s)
            for forecasts in self.forecasts.values():
                await forecasts.close()
            self._is_over.set()
            await asyncio.wait(chores)
        for task in chores:
            task.result()
        self._path.raise_failure()
        self._session.note(Ended(self._ports.clock.now_ms()))

    async def _trade(self) -> None:
        await asyncio.to_thread(warm_up)
        await asyncio.to_thread(warm_decision, self._params)
        await self._path.settle_open()
        for order in list(self.purse.orders.values()):
            self._order_changed(order)
        await self._look_at_balances()
        seeded = [await self.forecasts[market].start(desk.recent) for market, desk in self.desks.items()]
        self._session.note(self._started())
        for one in seeded:
            self._session.note(one)
        self._order_log.note = self._session.note
        await self._read()

    def _started(self) -> Started:
        ports = self._ports
        return Started(
            bot=self._name,
            markets=ports.markets,
            at_ms=ports.clock.now_ms(),
            preset=ports.strategy.preset,
            params=self._params._asdict(),
            order_krw=self._order_krw,
            forecast_delay_ms=ports.strategy.forecast_delay_ms,
            orders_per_minute=MAX_ORDERS_PER_MINUTE,
            purse=self.purse.state(),
            sequence=self._decisions.sequence,
            halted={market: desk.halted for market, desk in self.desks.items() if desk.halted},
        )

    async def _look_at_balances(self) -> None:
        """Show the account; a market whose lots the account does not hold stands still. The rest is not ours."""
        balances = await answered(self._broker.balances, FOLLOW_DEADLINE_S)
        held = {balance.currency: balance.available + balance.locked for balance in balances}
        self._balances = {currency: format(amount, "f") for currency, amount in held.items()}
        for market, desk in self.desks.items():
            lots = sum((lot.qty for lot in self.purse.lots_of(market)), ZERO)
            has = held.get(market.partition("-")[2], ZERO)
            if has < lots:
                desk.halted = f"the account holds {has}, less than the {lots} of the bot's lots"
                log.error("market stands still", market=market, reason=desk.halted)

    async def _read(self) -> None:
        # The port promises an iterator; every feed gives a generator, whose socket closes with it.
        async with aclosing(cast("AsyncGenerator[Frame | Disconnected]", self._feed.frames())) as frames:
            since_breath = 0
            async for event in frames:
                if isinstance(event, Disconnected):
                    self._note_gap(event)
                else:
                    self._take(event)
                since_breath += 1
                if self._path.is_busy or since_breath >= _BREATH_FRAMES:
                    since_breath = 0
                    await asyncio.sleep(0)

    def _note_gap(self, gap: Disconnected) -> None:
        self._session.note(StreamLost(gap.since_ms, gap.until_ms))
        for desk in self.desks.values():
            desk.recent.lost(gap.since_ms, gap.until_ms)
        self.seen.is_subscribed = True

    def _take(self, frame: Frame) -> None:
        self._session.frame(frame)  # first: what follows from it is noted behind it
        try:
            trade = self._parse(frame)
        except CorruptLineError as exc:
            self.seen.corrupt += 1
            log.warning("frame left out", reason=str(exc))
            return
        desk = None if trade is None else self.desks.get(trade.market)
        if trade is not None and desk is not None:
            self._on_trade(desk, trade)

    def _on_trade(self, desk: Desk, trade: Trade) -> None:
        minute = trade.ts_event_ms - trade.ts_event_ms % MINUTE_MS
        is_new_minute = minute > self.seen.newest_minute
        if is_new_minute:
            self._note_equity()  # as the minute before has left it
        if not desk.take(trade):
            return
        if is_new_minute:
            self.seen.newest_minute = minute
            self.seen.minutes += 1
        is_stale = self._ports.clock.now_ms() - trade.ts_event_ms > STALE_MS
        self._age.set(is_stale)
        if is_stale:
            self.seen.stale += 1
        else:
            self._act(desk, trade)

    def _act(self, desk: Desk, trade: Trade) -> None:
        intent, limit = self._decisions.intent(desk, trade), self._decisions.limit
        if intent is not None:
            self._path.submit(intent)
        elif limit.is_just_reached and not self._is_limit_told:
            log.error("order limit", per_minute=limit.most)
        self._is_limit_told = limit.is_just_reached

    def _order_changed(self, order: Order) -> None:
        self._decisions.order_changed(order)
        self._projection.order_changed(order)

    async def _refresh(self) -> None:
        while not await _is_set_within(self._is_over, _REFRESH_S):
            for forecasts in self.forecasts.values():
                await forecasts.refresh()

    async def _housekeeping(self) -> None:
        is_last, is_told = False, False
        while not is_last:
            is_last = await _is_set_within(self._is_over, _HOUSEKEEPING_S)
            if self._session.problem and not is_told:
                is_told = True
                log.error("session incomplete; trading goes on", reason=self._session.problem)
            if self.seen.is_subscribed:
                self._note_equity()
                self._report(self._summary(), self._figures())
            await self._projection.flush()

    def _note_equity(self) -> None:
        if self.seen.newest_minute >= 0:
            cash, lots_value, total = self._equity()
            amounts = (format(cash, "f"), format(lots_value, "f"), format(total, "f"))
            self._projection.equity(self.seen.newest_minute, *amounts)

    def _equity(self) -> tuple[Decimal, Decimal, Decimal]:
        last = {market: desk.recent.last_price() for market, desk in self.desks.items()}
        prices = {market: Decimal(str(price)) for market, price in last.items() if price is not None}
        fee_rate = rules.fee_rate(self._ports.markets[0], self._ports.clock.now_ms())
        cash, lots_value = self.purse.equity(prices, fee_rate)
        return cash, lots_value, (cash + lots_value).quantize(_CENT, rounding=ROUND_DOWN)

    def _summary(self) -> str:
        halted = [market for market, desk in self.desks.items() if desk.halted]
        return (
            f"{len(self.purse.orders)} orders, {len(self.purse.lots)} open lots, equity {self._equity()[2]} KRW;"
            f" preset {self._ports.strategy.preset}, orders of {self._order_krw} KRW"
            + (f"; stands still on {', '.join(halted)}" if halted else "")
        )

    def _figures(self) -> dict[str, Any]:
        cash, _, total = self._equity()
        now_ms = self._ports.clock.now_ms()
        return {
            "minutes": self.seen.minutes,
            "orders": len(self.purse.orders),
            "fills": self.purse.fills,
            "open_lots": len(self.purse.lots),
            "unsellable": sum(desk.unsellable(self.purse, now_ms) for desk in self.desks.values()),
            "cash": str(cash),
            "equity": str(total),
            "fees": str(self.purse.fees),
            "balances": self._balances,
            "preset": self._ports.strategy.preset,
            "order_krw": str(self._order_krw),
            "halted": {market: desk.halted for market, desk in self.desks.items() if desk.halted},
            "decided": {market: desk.decided for market, desk in self.desks.items()},
            "forecasts": {market: _forecast_figures(desk) for market, desk in self.desks.items()},
            "stale_trades": self.seen.stale,
            "corrupt_frames": self.seen.corrupt,
            "session": {"name": self._session.name, "problem": self._session.problem},
        }

    def _forecasts_of(self, market: str, forecaster: Forecaster) -> LiveForecasts:
        ports = self._ports
        return LiveForecasts(market, forecaster, ports.market_data, ports.clock, self._session.note)

    def _desk(self, market: str) -> Desk:
        delay_ms = self._ports.strategy.forecast_delay_ms
        return Desk(market, self._params, self._order_krw, self.forecasts[market], delay_ms)


def _params(ports: BotPorts) -> strategy.Params:
    """Take the preset with the exchange's rules of now, as the back-test does, and check it against the budget."""
    settings, market, now_ms = ports.strategy, ports.markets[0], ports.clock.now_ms()
    params = strategy.params_of(settings.preset, market, now_ms, settings.order_notional)
    needed = Decimal(str(params.order_krw)) * (1 + Decimal(str(params.fee_rate)))
    if settings.budget < needed:
        raise SettingsError(
            f"strategy.budget = {settings.budget} KRW does not pay one order of {params.order_krw:.0f} KRW with its"
            f" fee; valid: at least {needed:.2f}"
        )
    return params


def _forecast_figures(desk: Desk) -> dict[str, Any] | None:
    made = desk.forecast
    if made is None:
        return None
    return {"minute": made.target_minute_ms, "price": made.price, "model": made.model_version}


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
