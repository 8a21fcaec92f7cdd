"""One WebSocket connection: what has come since the last look, and a failure that says why no more will come.

The `websockets` library does the handshake, the control frames and everything that is not plain data; the plain data
messages, nearly all of the traffic, are cut out by `wire`. Nothing here knows what the messages mean.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

from websockets.client import ClientProtocol
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI, parse_uri

from tickloop.adapters.upbit.wire import frame_end, take_messages
from tickloop.domain.packed import Packed

_OPEN_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 1.0

# Well below the 120 s after which Upbit closes a silent connection.
# Source: Upbit developer centre, WebSocket: keep-alive.
PING_INTERVAL_S = 30.0
PING_TIMEOUT_S = 20.0

# When this many messages wait, the socket is not read: TCP then holds the exchange back. One read adds up to 256 kB.
_HIGH_MESSAGES = 2_000
_MOST_MESSAGE_BYTES = 4_000_000
_MOST_HEAD_BYTES = 64_000

_PACK_BYTES = 16_384  # a read of so much is worth the compiled cutter's start

_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
_HEAD_END = b"\r\n\r\n"

# Detached from the tree of loggers: on DEBUG the library would write the authorization header.
_LOGGER = logging.Logger("websocket", logging.WARNING)


TakePacked = Callable[[bytes, int, int], tuple[Packed, int]]
"""Cuts messages as `wire.take_messages` does: data, position, longest message -> messages, position after them."""


@dataclass(frozen=True)
class Address:
    """Where and as whom to connect, and how messages are cut.

    Args:
        authorization: gives the `Authorization` header of one handshake; None on the public socket.
        ping_interval_s, ping_timeout_s: a connection on which nothing more comes is found within their sum.
        take_packed: a faster cutter for reads of many messages.
    """

    url: str
    user_agent: str
    authorization: Callable[[], str] | None = None
    ping_interval_s: float = PING_INTERVAL_S
    ping_timeout_s: float = PING_TIMEOUT_S
    take_packed: TakePacked | None = None


async def dial(address: Address) -> Connection:
    """Open a connection.

    Raises:
        OSError: no answer, or none in time.
        WebSocketException: the answer is no acceptance; `InvalidStatus` carries it.
    """
    uri = parse_uri(address.url)
    connection = Connection(uri, address)
    try:
        async with asyncio.timeout(_OPEN_TIMEOUT_S):
            await asyncio.get_running_loop().create_connection(
                lambda: connection, uri.host, uri.port, ssl=_trust() if uri.secure else None
            )
            await connection.shaken
    except BaseException:
        connection.abort()
        raise
    return connection


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


class Connection(asyncio.Protocol):
    """Made by `dial`. One task receives, any task of the same loop sends.

    Attributes:
        shaken: done when the handshake is.
    """

    def __init__(self, uri: WebSocketURI, address: Address) -> None:
        self._address = address
        self._protocol = ClientProtocol(uri, max_size=_MOST_MESSAGE_BYTES, logger=_LOGGER)
        self._loop = asyncio.get_running_loop()
        self.shaken: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._rest = b""  # the beginning of a frame
        self._parts: list[bytes] = []  # of a fragmented message
        self._packed: list[Packed] = []  # these came before the others
        self._messages: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Exception | None = None  # why nothing more comes
        self._has_head = False  # of the handshake's answer
        self._is_paused = self._is_closing = False
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # --- for the user ---------------------------------------------------------------------------------------------

    async def receive(self) -> Sequence[bytes]:
        """Wait for messages; give all that have come since the last call, oldest first, text as UTF-8.

        Raises:
            OSError, WebSocketException: the connection has ended, and everything that came before was given.
        """
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        batch: Sequence[bytes] = self._messages
        if self._packed:
            self._pack()
            batch = Packed.joined(self._packed)
        self._forget()
        self._resume()
        return batch

    @property
    def _waiting(self) -> int:
        return len(self._messages) + sum(map(len, self._packed))

    def _pack(self) -> None:
        """Put the single messages at the end of the packed ones."""
        if self._messages:
            self._packed.append(Packed.of(self._messages))
            self._messages = []

    def _forget(self) -> None:
        self._packed, self._messages = [], []

    def send(self, text: bytes) -> None:
        """Send one text message; on a connection that is ending it is dropped, and `receive` says why."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(text)
            self._flush()

    def give_up(self, reason: str) -> None:
        """End the connection at once; `receive` raises an OSError with this reason."""
        if self._failure is None:
            self._fail(ConnectionAbortedError(reason))
        self.abort()

    async def close(self) -> None:
        """Say goodbye and end the connection, within a second; what has come and was not received is dropped."""
        self._is_closing = True
        self._forget()
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._flush()
            self._resume()
            await asyncio.wait((self._ended,), timeout=_CLOSE_TIMEOUT_S)
        self.abort()
        await asyncio.wait((self._ended,), timeout=_CLOSE_TIMEOUT_S)

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- for the event loop ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        request = self._protocol.connect()
        request.headers["User-Agent"] = self._address.user_agent
        if self._address.authorization is not None:
            request.headers["Authorization"] = self._address.authorization()
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        if self._rest:
            data, self._rest = self._rest + data, b""
        if not self._has_head:
            data = self._take_head(data)
        if self._protocol.state is State.OPEN:
            self._take_frames(data)
        elif data:
            self._feed(data)
        if self._is_closing:
            self._forget()
        elif self._waiting:
            self._wake()
            if self._waiting >= _HIGH_MESSAGES:
                self._pause()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.receive_eof()
        if self._timer is not None:
            self._timer.cancel()
        self._note_handshake(self._protocol.handshake_exc or exc or ConnectionResetError("the connection was cut"))
        if self._protocol.handshake_exc is None:
            self._fail(self._protocol.close_exc)
        self._ended.set_result(None)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _take_head(self, data: bytes) -> bytes:
        """Hand the answer's head to the protocol, alone: of what follows it must not keep half a frame."""
        head, mark, rest = data.partition(_HEAD_END)
        if not mark and len(data) < _MOST_HEAD_BYTES:
            self._rest = data
            return b""
        self._has_head = True
        self._feed(head + mark)
        if self._protocol.state is State.OPEN:
            self._note_handshake(None)
            self._timer = self._loop.call_later(
                max(0.0, self._address.ping_interval_s - self._address.ping_timeout_s), self._ping
            )
        return rest

    def _take_frames(self, data: bytes) -> None:
        at = 0
        if self._address.take_packed is not None and len(data) >= _PACK_BYTES and not self._parts:
            packed, at = self._address.take_packed(data, 0, _MOST_MESSAGE_BYTES)
            if len(packed):
                self._pack()
                self._packed.append(packed)
        while True:
            if not self._parts:
                at = take_messages(data, at, self._messages, _MOST_MESSAGE_BYTES)
            end = frame_end(data, at, _MOST_MESSAGE_BYTES)
            if end is None:
                break
            self._feed(data[at:end])
            at = end
            if self._protocol.state is not State.OPEN:
                at = len(data)  # nothing counts after a goodbye
                break
        self._rest = data[at:]

    def _feed(self, data: bytes) -> None:
        if self._ended.done():
            return
        self._protocol.receive_data(data)
        self._flush()
        for event in self._protocol.events_received():
            if isinstance(event, WireFrame) and event.opcode in _DATA:
                self._parts.append(bytes(event.data))
                if event.fin:
                    self._messages.append(b"".join(self._parts))
                    self._parts.clear()
        if self._protocol.handshake_exc is not None:
            self._note_handshake(self._protocol.handshake_exc)
        if self._protocol.close_expected():  # the exchange ends the connection; we do when it does not
            self._loop.call_later(_CLOSE_TIMEOUT_S, self.abort)

    def _flush(self) -> None:
        assert self._transport is not None
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()  # TLS knows no half of a connection

    def _note_handshake(self, exc: Exception | None) -> None:
        if self.shaken.done():
            return
        if exc is None:
            self.shaken.set_result(None)
        else:
            self.shaken.set_exception(exc)
            self.shaken.exception()  # a dial that was cancelled asks no more

    def _fail(self, exc: Exception) -> None:
        if self._failure is None:
            self._failure = exc
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def _ping(self) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._flush()
            self._timer = self._loop.call_later(self._address.ping_timeout_s, self._check, time.monotonic())

    def _check(self, pinged_at: float) -> None:
        """End a connection on which nothing came since the ping, unless it is us who do not read."""
        if self._heard_at < pinged_at and not self._is_paused:
            self.give_up(f"no answer to a ping within {self._address.ping_timeout_s:g} s")
            return
        self._timer = self._loop.call_later(
            max(0.0, self._address.ping_interval_s - self._address.ping_timeout_s), self._ping
        )
