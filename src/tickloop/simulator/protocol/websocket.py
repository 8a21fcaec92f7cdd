"""One WebSocket connection: its requests in, its queue out, and the keep-alives of the protocol."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

import msgspec
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from tickloop.simulator.clock import MarketClock
from tickloop.simulator.faults.on_sockets import Outgoing
from tickloop.simulator.protocol.auth import Gatekeeper
from tickloop.simulator.protocol.endpoints import ORIGIN
from tickloop.simulator.protocol.ratelimit import Limit, RateLimiter
from tickloop.simulator.protocol.stream import Hub
from tickloop.simulator.protocol.subscriber import Subscriber
from tickloop.simulator.protocol.subscription import StreamError, listing_object, parse_request
from tickloop.simulator.refusal import RefusedError

CONNECTS = Limit("websocket-connect", 5)
MESSAGES = (Limit("websocket-message", 5), Limit("websocket-message-minute", 100, per_s=60.0))
"""Handshakes per address, of private ones per account, and messages per connection, in market seconds."""

UP_EVERY_S = 10.0
"""Real seconds between two `UP`. Source: Upbit developer centre, WebSocket, connection management."""

MUTE_LOOK_S = 0.05
"""Real seconds between two looks whether the client of a half-open connection has left it."""

_UP = Outgoing(b'{"status":"UP"}')


class WebSocketApi:
    """The public and the private socket."""

    def __init__(
        self,
        hub: Hub,
        clock: MarketClock,
        gate: Gatekeeper,
        *,
        is_binary: bool,
        idle_s: float,
        up_every_s: float = UP_EVERY_S,
    ) -> None:
        self._hub = hub
        self._gate = gate
        self._clock = clock
        self._manners = _Manners(is_binary, idle_s, up_every_s)
        self._connects = RateLimiter()
        self._open: set[web.WebSocketResponse] = set()

    async def answer(self, request: web.Request, *, is_private: bool) -> web.StreamResponse:
        """Serve one connection until it ends.

        A private one needs a token at its handshake; without one it answers 401 (our choice: whether the exchange
        does, or opens and sends INVALID_AUTH, is not known).
        """
        refusal = self._refusal(request) if is_private else None
        if (limited := self._over_budget(request, is_ours=is_private and refusal is None)) is not None:
            return limited
        user_agent = request.headers.get("User-Agent", "")
        if self._hub.is_under_maintenance(user_agent):  # how sockets behave then is not documented: our choice
            return web.Response(status=503, text="Service Unavailable")
        if refusal is not None:
            return refusal
        socket = web.WebSocketResponse(autoping=False, autoclose=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        transport = request.transport
        subscriber = self._hub.subscriber(
            user_agent,
            lambda: transport.abort() if transport is not None else None,
            is_private=is_private,
        )
        self._open.add(socket)
        try:
            await _Connection(socket, transport, subscriber, self._hub, self._clock, self._manners).serve()
        finally:
            self._open.discard(socket)
        return socket

    def _over_budget(self, request: web.Request, *, is_ours: bool) -> web.Response | None:
        """Count a handshake: of the account's owner per account, of everybody else per address."""
        is_from_browser = "Origin" in request.headers and not is_ours
        limit = ORIGIN if is_from_browser else CONNECTS
        client = "account" if is_ours else f"address {request.remote}"
        verdict = self._connects.take(limit, client, self._clock.elapsed_s())
        if verdict.is_allowed:
            return None
        return web.Response(status=429, text="Too many API requests.", headers={"Remaining-Req": verdict.header})

    def _refusal(self, request: web.Request) -> web.Response | None:
        try:
            self._gate.check(request.headers.get("Authorization"), frozenset(), is_nonce_free=True)
        except RefusedError as refused:
            body = msgspec.json.encode({"error": {"name": "INVALID_AUTH", "message": refused.message}})
            return web.Response(status=401, body=body, content_type="application/json")
        return None

    async def close_all(self, deadline_s: float) -> None:
        """Say goodbye to every client; one that does not answer in time is cut off with the server."""
        closes = [asyncio.create_task(socket.close(code=WSCloseCode.GOING_AWAY)) for socket in self._open]
        if closes:
            _, pending = await asyncio.wait(closes, timeout=deadline_s)
            for task in pending:
                task.cancel()


@dataclass(frozen=True)
class _Manners:
    """How connections are treated; real seconds."""

    is_binary: bool
    idle_s: float
    up_every_s: float


class _Connection:
    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        subscriber: Subscriber,
        hub: Hub,
        clock: MarketClock,
        manners: _Manners,
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._subscriber = subscriber
        self._hub = hub
        self._clock = clock
        self._manners = manners
        self._messages = RateLimiter()
        self._traffic_at = time.monotonic()
        self._up: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        writer = asyncio.create_task(self._write())
        try:
            await self._read()
        finally:
            for task in (writer, self._up):
                if task is not None:
                    task.cancel()
            self._hub.remove(self._subscriber)

    async def _read(self) -> None:
        while not self._socket.closed:
            try:
                message = await self._socket.receive(self._patience_s())
            except TimeoutError:
                if self._patience_s() is None or self._idle_s() < self._manners.idle_s:
                    continue
                # The close code is not documented; a plain close is our choice.
                await self._socket.close(code=WSCloseCode.OK, message=b"idle")
                return
            self._traffic_at = time.monotonic()
            if message.type is WSMsgType.CLOSE:
                await self._part()
                return
            if message.type in (WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return
            await self._take(message)

    def _patience_s(self) -> float | None:
        """Give for how long the next message may keep us waiting; None is for ever, on a half-open connection."""
        return None if self._subscriber.is_mute else max(self._manners.idle_s - self._idle_s(), 0.001)

    async def _part(self) -> None:
        """Answer a client's goodbye; who is half open does not, and the client has to leave without."""
        if not self._subscriber.is_mute:
            await self._socket.close(drain=False)
            return
        while self._transport is not None and not self._transport.is_closing():
            await asyncio.sleep(MUTE_LOOK_S)

    async def _take(self, message: WSMessage) -> None:
        if self._subscriber.is_mute:
            return
        if message.type is WSMsgType.PING:
            await self._socket.pong(message.data)
        elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            try:
                self._obey(message.data)
            except StreamError as error:
                self._subscriber.offer(Outgoing(msgspec.json.encode(error.body)))

    def _obey(self, text: str | bytes) -> None:
        now_s = self._clock.elapsed_s()
        verdicts = [self._messages.take(limit, "", now_s) for limit in MESSAGES]
        if not all(verdict.is_allowed for verdict in verdicts):
            raise StreamError("TOO_MANY_REQUEST", "Too many messages on this connection.")
        if text in ("PING", b"PING"):
            if self._up is None:
                self._subscriber.offer(_UP)
                self._up = asyncio.create_task(self._say_up())
            return
        request = parse_request(text, is_private=self._subscriber.is_private)
        if not request.is_list:
            self._hub.subscribe(self._subscriber, request)
            return
        answer = listing_object(request.ticket, self._hub.listing(self._subscriber, request.form), request.form)
        self._subscriber.offer(Outgoing(msgspec.json.encode(answer)))

    async def _say_up(self) -> None:
        while True:
            await asyncio.sleep(self._manners.up_every_s)
            self._subscriber.offer(_UP)

    async def _write(self) -> None:
        queue = self._subscriber.queue
        while True:
            frame = await queue.get()
            try:
                if self._subscriber.is_mute:
                    continue
                with suppress(ConnectionError):  # the reader sees the end of the connection too, and ends it
                    await self._send(frame.data)
                    if frame.type:
                        self._subscriber.sent[frame.type, frame.code] += 1
                self._traffic_at = time.monotonic()
            finally:
                queue.task_done()

    async def _send(self, data: bytes) -> None:
        if self._manners.is_binary:
            await self._socket.send_bytes(data)
        else:  # a damaged message has bytes that no text frame can carry
            await self._socket.send_str(data.decode(errors="replace"))

    def _idle_s(self) -> float:
        return time.monotonic() - self._traffic_at
