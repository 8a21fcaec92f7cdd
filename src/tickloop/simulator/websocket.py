"""One WebSocket connection: its requests in, its queue out, and the keep-alives of the protocol."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import msgspec
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from tickloop.simulator.auth import Gatekeeper
from tickloop.simulator.clock import MarketClock
from tickloop.simulator.ratelimit import Limit, RateLimiter
from tickloop.simulator.refusal import RefusedError
from tickloop.simulator.socket_faults import Outgoing
from tickloop.simulator.stream import Hub, Subscriber
from tickloop.simulator.subscription import StreamError, listing_object, parse_request

CONNECTS = Limit("websocket-connect", 5)
MESSAGES = (Limit("websocket-message", 5), Limit("websocket-message-minute", 100, per_s=60.0))
"""Handshakes per address, and messages per connection, in market seconds."""

UP_EVERY_S = 10.0
_UP = Outgoing(b'{"status":"UP"}')


class WebSocketApi:
    """The public and the private socket."""

    def __init__(self, hub: Hub, clock: MarketClock, gate: Gatekeeper, *, is_binary: bool, idle_s: float) -> None:
        self._hub = hub
        self._gate = gate
        self._idle_s = idle_s
        self._clock = clock
        self._is_binary = is_binary
        self._connects = RateLimiter()
        self._open: set[web.WebSocketResponse] = set()

    async def answer(self, request: web.Request, *, is_private: bool) -> web.StreamResponse:
        """Serve one connection until it ends.

        A private one needs a token at its handshake; without one it answers 401 (our choice: whether the exchange
        does, or opens and sends INVALID_AUTH, is not known).
        """
        verdict = self._connects.take(CONNECTS, request.remote or "", self._clock.elapsed_s())
        if not verdict.is_allowed:
            return web.Response(status=429, text="Too many API requests.", headers={"Remaining-Req": verdict.header})
        if self._hub.is_under_maintenance:  # how sockets behave then is not documented: our choice
            return web.Response(status=503, text="Service Unavailable")
        if is_private and (refusal := self._refusal(request)) is not None:
            return refusal
        socket = web.WebSocketResponse(autoping=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        transport = request.transport
        subscriber = self._hub.subscriber(
            request.headers.get("User-Agent", ""),
            lambda: transport.abort() if transport is not None else None,
            is_private=is_private,
        )
        self._open.add(socket)
        try:
            await _Connection(
                socket, subscriber, self._hub, self._clock, is_binary=self._is_binary, idle_s=self._idle_s
            ).serve()
        finally:
            self._open.discard(socket)
        return socket

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


class _Connection:
    def __init__(
        self,
        socket: web.WebSocketResponse,
        subscriber: Subscriber,
        hub: Hub,
        clock: MarketClock,
        *,
        is_binary: bool,
        idle_s: float,
    ) -> None:
        self._idle_after_s = idle_s
        self._socket = socket
        self._subscriber = subscriber
        self._hub = hub
        self._clock = clock
        self._is_binary = is_binary
        self._messages = RateLimiter()
        self._traffic_at = time.monotonic()
        self._up: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        writer = asyncio.create_task(self._write())
        try:
            await self._read()
        finally:
            self._hub.remove(self._subscriber)
            for task in (writer, self._up):
                if task is not None:
                    task.cancel()

    async def _read(self) -> None:
        while not self._socket.closed:
            try:
                message = await self._socket.receive(max(self._idle_after_s - self._idle_s(), 0.001))
            except TimeoutError:
                if self._idle_s() < self._idle_after_s:
                    continue
                # The close code is not documented; a plain close is our choice.
                await self._socket.close(code=WSCloseCode.OK, message=b"idle")
                return
            self._traffic_at = time.monotonic()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return
            await self._take(message)

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
            self._subscriber.offer(_UP)
            await asyncio.sleep(UP_EVERY_S)

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
        if self._is_binary:
            await self._socket.send_bytes(data)
        else:
            await self._socket.send_str(data.decode())

    def _idle_s(self) -> float:
        return time.monotonic() - self._traffic_at
