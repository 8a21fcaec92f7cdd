"""From a decision to its end: written down, sent once, followed until it can fill no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from tickloop.domain.market import Side
from tickloop.domain.orders import Execution, Intent, Order, OrderEvent, OrderState, advance
from tickloop.domain.purse import Purse
from tickloop.errors import AuthError, ExchangeError, RejectedError, RetryableError
from tickloop.ports import Broker, Clock, OrderLog, OrderRequest, VenueOrder

FOLLOW_DEADLINE_S = 15.0
"""Real seconds in which an order must be known to have ended; past it is lost and its market stands still."""

ABSENT_S = 2.0
"""Real seconds for which the exchange must deny an order before the next start takes it for never sent: what a killed
process had handed to the kernel can still be on its way."""

_FIRST_POLL_S = 0.01
_POLL_FACTOR = 1.5
_POLL_CAP_S = 0.5

T = TypeVar("T")

log = structlog.get_logger()


class OrderPath:
    """The only way by which the bot's orders leave and come back; every change is logged before it is believed."""

    def __init__(
        self,
        broker: Broker,
        order_log: OrderLog,
        purse: Purse,
        clock: Clock,
        on_change: Callable[[Order], None],
        follow_deadline_s: float = FOLLOW_DEADLINE_S,
        absent_s: float = ABSENT_S,
    ) -> None:
        self._broker = broker
        self._log = order_log
        self._purse = purse
        self._clock = clock
        self._on_change = on_change
        self._deadline_s = follow_deadline_s
        self._absent_s = absent_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an order is on its way out or being followed."""
        return bool(self._tasks)

    def submit(self, intent: Intent) -> None:
        """Sync the intent to the order log, then send it as a task of its own.

        Raises:
            HomeNotWritableError: the log did not take it; nothing was sent.
        """
        self._record(OrderEvent(intent.client_order_id, OrderState.INTENT, self._clock.now_ms(), intent=intent))
        is_done = self._clock.under_way()  # until the order has ended: one at market does so at once
        task = asyncio.create_task(self._send_and_follow(intent))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        task.add_done_callback(lambda _: is_done())

    async def settle_open(self) -> None:
        """Settle every order that an earlier run left open, by asking for its id; nothing is sent.

        Raises:
            ExchangeError: the exchange gives no answer; the bot must not decide before it has.
        """
        for order in self._purse.open_orders():
            found = await self._look_for(order.intent.client_order_id)
            if found is not None:
                await self._follow(order.intent, found)
            elif order.execution.venue_order_id:
                self._give_up(order.intent, "the exchange had it once and denies it now")
            else:
                self._record(self._event(order.intent, OrderState.REJECTED, reason="the exchange never had it"))

    async def watch(self) -> None:
        """Wait until following an order fails (a full disk, refused keys, or a bug), and raise that."""
        await self._failed.wait()
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise what following an order ended in, if it failed."""
        if self._failure is not None:
            raise self._failure

    async def finish(self, deadline_s: float) -> None:
        """Wait for the orders under way; what is open after the deadline is settled at the next start."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=deadline_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._failure = self._failure or exc
            self._failed.set()

    async def _send_and_follow(self, intent: Intent) -> None:
        placed: VenueOrder | None = None
        try:
            placed = await self._broker.place(_request(intent))
        except (RejectedError, AuthError) as exc:
            # A placement that was refused does not exist; its cash and lots are free again.
            log.warning("order refused", client_order_id=intent.client_order_id, reason=str(exc))
            self._record(self._event(intent, OrderState.REJECTED, reason=str(exc)))
            if isinstance(exc, AuthError):
                raise  # with these keys no order will ever be taken
            return
        except ExchangeError as exc:
            log.warning("answer lost", client_order_id=intent.client_order_id, reason=str(exc))
        await self._follow(intent, placed)

    async def _follow(self, intent: Intent, known: VenueOrder | None) -> None:
        """Ask for the order, at growing intervals, until it has ended or the deadline has passed."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self._deadline_s, _FIRST_POLL_S
        why = "the exchange knows nothing of it"
        while not self._note(intent, known):
            if loop.time() > deadline:
                self._give_up(intent, why if known is None else "it did not end in time")
                return
            await asyncio.sleep(pause)
            pause = min(_POLL_CAP_S, pause * _POLL_FACTOR)
            try:
                known = await self._broker.find(intent.client_order_id) or known
            except ExchangeError as exc:
                why = str(exc)
                log.warning("order not answered for", client_order_id=intent.client_order_id, reason=why)
                if isinstance(exc, RetryableError):
                    pause = min(max(pause, exc.retry_after_s), max(pause, deadline - loop.time()))

    def _note(self, intent: Intent, known: VenueOrder | None) -> bool:
        """Record what is new about an order; tell whether it has ended."""
        if known is None:
            return False
        if known.is_closed:
            self._record(self._event(intent, OrderState.CLOSED, _execution(known)))
        elif self._purse.orders[intent.client_order_id].state is OrderState.INTENT:
            self._record(self._event(intent, OrderState.ACKNOWLEDGED, _execution(known)))
        return known.is_closed

    async def _look_for(self, client_order_id: str) -> VenueOrder | None:
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + self._absent_s, _FIRST_POLL_S
        while True:
            found = await answered(lambda: self._broker.find(client_order_id), self._deadline_s)
            if found is not None or loop.time() >= until:
                return found
            await asyncio.sleep(pause)
            pause = min(_POLL_CAP_S, pause * _POLL_FACTOR)

    def _give_up(self, intent: Intent, why: str) -> None:
        log.error("order lost", client_order_id=intent.client_order_id, market=intent.market, reason=why)
        if self._purse.orders[intent.client_order_id].state is not OrderState.LOST:
            self._record(self._event(intent, OrderState.LOST, reason=why))

    def _event(
        self, intent: Intent, state: OrderState, execution: Execution | None = None, reason: str = ""
    ) -> OrderEvent:
        return OrderEvent(intent.client_order_id, state, self._clock.now_ms(), execution=execution, reason=reason)

    def _record(self, event: OrderEvent) -> None:
        # Tried before it is written: a line that cannot follow would keep every later start from reading the log.
        advance(self._purse.orders.get(event.client_order_id), event)
        self._log.append(event)
        self._on_change(self._purse.apply(event))


async def answered(ask: Callable[[], Awaitable[T]], deadline_s: float) -> T:
    """Repeat a read until it is answered.

    Raises:
        RetryableError: the last one, when `deadline_s` real seconds have passed.
        ExchangeError: any other failure, at once.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + deadline_s
    while True:
        try:
            return await ask()
        except RetryableError as exc:
            if loop.time() + exc.retry_after_s > deadline:
                raise
            log.warning("asked again", reason=str(exc))
            await asyncio.sleep(exc.retry_after_s)


def _request(intent: Intent) -> OrderRequest:
    is_buy = intent.side is Side.BUY
    return OrderRequest(
        intent.client_order_id,
        intent.market,
        intent.side,
        krw=intent.requested if is_buy else None,
        qty=None if is_buy else intent.requested,
    )


def _execution(order: VenueOrder) -> Execution:
    return Execution(
        order.venue_order_id,
        order.executed_qty,
        order.executed_funds,
        order.paid_fee,
        max((fill.ts_ms for fill in order.fills), default=None),
    )
