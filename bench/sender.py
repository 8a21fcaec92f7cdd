"""`python -m bench.sender COUNT RATE`: the exchange's side of the collector's bench, in a process of its own.

It says `port N`, then `subscribed` when a client is there, waits for a line on its input, sends COUNT frames (RATE a
second; 0: as fast as they are taken), says `sent`, and stays until its input ends. Protocol pings are answered.
"""

from __future__ import annotations

import base64
import hashlib
import select
import socket
import struct
import sys
import time
import zlib

from bench.frames import make_frames

BLOCK = 500
DEADLINE_S = 60.0

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_TEXT, _CLOSE, _PING = 0x1, 0x8, 0x9


class Client:
    """The server's end of one connection. As Upbit does, it compresses for a client that offers to take it so."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = b""
        self._compressor: zlib._Compress | None = None

    def accept(self) -> None:
        while b"\r\n\r\n" not in self._buffer:
            self._receive()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
        extension = b""
        if b"permessage-deflate" in head:
            self._compressor = zlib.compressobj(wbits=-15)
            extension = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
        answer = base64.b64encode(hashlib.sha1(key.split(b":", 1)[1].strip() + _GUID).digest())
        self._socket.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + extension
            + b"Sec-WebSocket-Accept: "
            + answer
            + b"\r\n\r\n"
        )

    def await_text(self) -> None:
        while self._take() != _TEXT:
            self._receive()

    def answer_waiting(self) -> bool:
        """Answer what the client has sent meanwhile; False when it has gone."""
        while select.select([self._socket], [], [], 0)[0]:
            if not self._receive():
                return False
            while (kind := self._take()) is not None:
                if kind == _CLOSE:
                    self._socket.sendall(b"\x88\x02\x03\xe8")
                    return False
        return True

    def send(self, bodies: list[bytes]) -> None:
        self._socket.sendall(b"".join(self._message(body) for body in bodies))

    def _message(self, body: bytes) -> bytes:
        """Give one unmasked binary message (RFC 6455, section 5.2; RFC 7692, section 7.2.1)."""
        first = 0x82
        if self._compressor is not None:
            first = 0xC2
            body = (self._compressor.compress(body) + self._compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
        if len(body) < 126:
            return bytes((first, len(body))) + body
        return bytes((first, 126)) + struct.pack("!H", len(body)) + body

    def _receive(self) -> bool:
        data = self._socket.recv(65_536)
        self._buffer += data
        return bool(data)

    def _take(self) -> int | None:
        """Take one masked frame off the buffer and give its kind, None when it is not whole."""
        if len(self._buffer) < 2:
            return None
        length, at = self._buffer[1] & 0x7F, 2
        if length == 126:
            length, at = struct.unpack("!H", self._buffer[2:4].ljust(2, b"\0"))[0], 4
        end = at + 4 + length
        if len(self._buffer) < end:
            return None
        kind, mask, body = self._buffer[0] & 0xF, self._buffer[at : at + 4], self._buffer[at + 4 : end]
        self._buffer = self._buffer[end:]
        if kind == _PING:
            self._socket.sendall(
                bytes((0x8A, length)) + bytes(byte ^ mask[place % 4] for place, byte in enumerate(body))
            )
        return kind


def send_all(client: Client, count: int, rate: float) -> None:
    began = time.monotonic()
    for first in range(0, count, BLOCK):
        bodies = make_frames(first, min(BLOCK, count - first))
        if not client.answer_waiting():
            return
        if rate == 0:
            client.send(bodies)
            continue
        for number, body in enumerate(bodies, first):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            client.send([body])


def main(count: int, rate: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE_S)
        print("port", server.getsockname()[1], flush=True)
        connection, _ = server.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(connection)
        client.accept()
        client.await_text()
        print("subscribed", flush=True)
        sys.stdin.readline()
        send_all(client, count, rate)
        print("sent", flush=True)
        while client.answer_waiting() and not select.select([sys.stdin], [], [], 0.2)[0]:
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
