"""The hand on the simulator, for tests and the demo: clock, faults, truth and status. Only this machine may use it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from ipaddress import ip_address
from typing import Annotated, Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from tickloop.domain.window import DAY_MS, Window
from tickloop.errors import OperatorError, UnknownMarketError, WindowError
from tickloop.simulator.account.desk import Desk
from tickloop.simulator.clock import MarketClock
from tickloop.simulator.control.fault_orders import FaultOrders, fault_of_json
from tickloop.simulator.control.stepping import MOST_EVENTS, Stepper
from tickloop.simulator.control.truth import tape_rows, truth
from tickloop.simulator.faults.board import FaultBoard
from tickloop.simulator.prices.exchange import SimulatedExchange
from tickloop.simulator.protocol.stream import Hub
from tickloop.simulator.protocol.subscriber import Subscriber
from tickloop.simulator.refusal import RefusedError

TRUTH_SPAN_MS = 100 * DAY_MS
"""Longest window that the truth is told for at once: every minute of it is made for the answer."""

_Handler = Callable[[web.Request], Awaitable[dict[str, Any]]]


class ControlApi:
    """`/control/...`: JSON in, JSON out, no key, no budget."""

    def __init__(
        self,
        exchange: SimulatedExchange,
        desk: Desk,
        hub: Hub,
        clock: MarketClock,
        board: FaultBoard,
        orders: FaultOrders,
        stepper: Stepper | None = None,
    ) -> None:
        self._stepper = stepper
        self._board = board
        self._orders = orders
        self._exchange = exchange
        self._desk = desk
        self._hub = hub
        self._clock = clock
        self._handlers: dict[tuple[str, str], _Handler] = {
            ("GET", "/control/clock"): self._clock_state,
            ("POST", "/control/clock"): self._set_clock,
            ("GET", "/control/truth"): self._truth,
            ("GET", "/control/status"): self._status,
            ("POST", "/control/drop"): self._drop,
            ("GET", "/control/tape"): self._tape,
            ("GET", "/control/faults"): self._faults,
            ("POST", "/control/faults"): self._order_fault,
            ("DELETE", "/control/faults"): self._clear_faults,
            ("POST", "/control/step"): self._step,
            ("POST", "/control/ack"): self._ack,
        }

    async def answer(self, request: web.Request, path: str) -> web.Response:
        """Answer one control request, from this machine only."""
        try:
            if not ip_address(request.remote or "0.0.0.0").is_loopback:  # noqa: S104 (stands for "not known")
                raise RefusedError(403, "forbidden", "Control is for this machine only.")
            handler = self._handlers.get((request.method, path))
            if handler is None:
                valid = ", ".join(f"{method} {known}" for method, known in self._handlers)
                raise RefusedError(404, "not_found", f"There is no {request.method} {path}; valid: {valid}")
            return _json(200, await handler(request))
        except RefusedError as refused:
            return _json(refused.status, refused.body)
        except OperatorError as exc:
            return _json(500, RefusedError(500, "internal_server_error", str(exc)).body)

    async def _clock_state(self, _request: web.Request) -> dict[str, Any]:
        return {
            "market_ms": self._clock.now_ms(),
            "is_running": self._clock.is_running,
            "is_ended": self._clock.is_ended,
            "speed": self._clock.speed,
            "end_ms": self._exchange.end_ms,
        }

    async def _set_clock(self, request: web.Request) -> dict[str, Any]:
        """Run or hold; after a hold every event up to the market time in the answer is in the queues."""
        try:
            run = msgspec.json.decode(await request.read(), type=dict[str, Any]).get("run")
        except (msgspec.MsgspecError, RecursionError):
            run = None
        if not isinstance(run, bool):
            raise RefusedError(400, "invalid_parameter", 'The body is not {"run": true} or {"run": false}.')
        if run:
            self._clock.run()
        else:
            self._hub.hold()
        return await self._clock_state(request)

    async def _truth(self, request: web.Request) -> dict[str, Any]:
        texts = [request.query.get(name, "") for name in ("start", "end")]
        try:
            window = Window(int(texts[0]), int(texts[1]))
            if window.end_ms - window.start_ms > TRUTH_SPAN_MS:
                raise WindowError(f"window {texts[0]}..{texts[1]} is longer than 100 days")
            made = truth(self._exchange, window)
        except (ValueError, OverflowError, WindowError) as exc:
            raise RefusedError(
                400, "invalid_parameter", f"start and end are no whole hours in epoch ms: {exc}"
            ) from exc
        return {**made, "account": asdict(self._desk.counts())}

    async def _tape(self, request: web.Request) -> dict[str, Any]:
        market = request.query.get("market", "")
        try:
            window = Window(int(request.query.get("start", "")), int(request.query.get("end", "")))
            return {"trades": tape_rows(self._exchange.market(market), window)}
        except (ValueError, OverflowError, WindowError, UnknownMarketError) as exc:
            raise RefusedError(400, "invalid_parameter", f"market, start and end (epoch ms): {exc}") from exc

    async def _faults(self, _request: web.Request) -> dict[str, Any]:
        return {"faults": self._board.listing()}

    async def _order_fault(self, request: web.Request) -> dict[str, Any]:
        """Put a fault on the board; a gap begins, and a drop strikes, at once."""
        try:
            fault = fault_of_json(await request.read())
            await self._settle()
            number = self._orders.order(fault)
        except ValueError as exc:
            raise RefusedError(400, "invalid_parameter", str(exc)) from exc
        return {"number": number, "market_ms": self._clock.now_ms()}

    async def _clear_faults(self, request: web.Request) -> dict[str, Any]:
        number = request.query.get("number")
        if number is not None and not number.isdecimal():
            raise RefusedError(400, "invalid_parameter", f"number {number!r} is not one of a fault")
        cleared = self._board.clear(None if number is None else int(number))
        self._clock.nudge()  # what was held back until then goes on
        return {"cleared": cleared}

    async def _step(self, request: web.Request) -> dict[str, Any]:
        """Go on by some events or to a moment, once everybody under test is done with each; 504 names who is not."""
        stepper = self._require_stepped()
        wanted = _body(await request.read(), Step, '{"events": 1} or {"until_ms": 1705881600000}')
        if wanted.until_ms is None:
            _require_done(await stepper.step_events(wanted.events))
        else:
            now_ms = self._clock.now_ms()
            if wanted.until_ms < now_ms:
                raise RefusedError(400, "invalid_parameter", f"until_ms {wanted.until_ms}; valid: {now_ms} or later")
            _require_done(await stepper.step_until(wanted.until_ms))
        return await self._clock_state(request)

    async def _ack(self, request: web.Request) -> dict[str, Any]:
        ack = _body(await request.read(), Ack, '{"name": "tickloop/bot", "frames": 0}')
        self._require_stepped().ack(ack.name, ack.frames)
        return {"market_ms": self._clock.now_ms()}

    def _require_stepped(self) -> Stepper:
        if self._stepper is None:
            raise RefusedError(400, "invalid_parameter", "The clock runs by itself; valid: a simulator with --stepped.")
        return self._stepper

    async def _status(self, request: web.Request) -> dict[str, Any]:
        now_ms = self._clock.now_ms()
        return {
            **await self._clock_state(request),
            "markets": {
                code: {"end_ms": market.end_ms, "is_ended": now_ms >= market.end_ms}
                for code in self._exchange.markets
                for market in [self._exchange.market(code)]
            },
            "frames_sent": self._hub.sent(),
            "subscribers": [_subscriber_state(subscriber) for subscriber in self._hub.subscribers],
            "account": asdict(self._desk.counts()),
        }

    async def _settle(self) -> None:
        """Wait under a stepped clock: what a fault meets must not depend on how fast a program is."""
        if self._stepper is not None:
            _require_done(await self._stepper.settle())

    async def _drop(self, _request: web.Request) -> dict[str, Any]:
        await self._settle()
        return {"dropped": self._hub.drop_all()}


class Step(msgspec.Struct, forbid_unknown_fields=True):
    events: Annotated[int, Meta(ge=1, le=MOST_EVENTS)] = 1
    until_ms: int | None = None


class Ack(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    frames: Annotated[int, Meta(ge=0)]


_Body = TypeVar("_Body")


def _body(content: bytes, form: type[_Body], valid: str) -> _Body:
    try:
        return msgspec.json.decode(content or b"{}", type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise RefusedError(400, "invalid_parameter", f"{exc}; valid: {valid}") from exc


def _require_done(late: list[str]) -> None:
    if late:
        raise RefusedError(504, "not_acknowledged", f"{', '.join(late)} did not finish in time.")


def _subscriber_state(subscriber: Subscriber) -> dict[str, Any]:
    request = subscriber.request
    wants = request.wants if request is not None else ()
    return {
        "user_agent": subscriber.user_agent,
        "ticket": request.ticket if request is not None else "",
        "types": sorted({want.type for want in wants}),
        "codes": sorted({want.code for want in wants}),
        "sent": sum(subscriber.sent.values()),
        "queued": subscriber.queue.qsize(),
    }


def _json(status: int, value: Any) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")
