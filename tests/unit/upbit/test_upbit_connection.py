"""One connection, byte by byte: what comes out is what was sent, however the network cuts it."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.frames import Close, Frame, Opcode
from websockets.uri import parse_uri
from websockets.utils import accept_key

from tickloop.adapters.upbit.connection import Address, Connection, TakePacked, dial
from tickloop.adapters.upbit.wire import frame_end, take_messages
from tickloop.adapters.upbit.wire_kernel import take_packed
from tickloop.domain.packed import Packed
from upbit_fakes import FakeStream

SEEDED = settings(derandomize=True, deadline=None, max_examples=150)
URL = "ws://127.0.0.1:1/websocket/v1"
MOST = 4_000_000

PAYLOADS = st.binary(max_size=130) | st.sampled_from([b"x" * 125, b"x" * 126, b"y" * 65_535, b"z" * 65_536])


class Wire(asyncio.Transport):
    """Collects what is written; `abort` ends the connection as the event loop does."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.written = b""
        self.pauses: list[str] = []
        self.is_open = True
        connection.connection_made(self)

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written += data

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.pauses.append("pause")

    def resume_reading(self) -> None:
        self.pauses.append("resume")

    def abort(self) -> None:
        self.end()

    def close(self) -> None:
        self.end()

    def end(self, exc: Exception | None = None) -> None:
        if self.is_open:
            self.is_open = False
            self.connection.connection_lost(exc)

    def sent_frames(self) -> list[Frame]:
        """Read our own frames, unmasked."""
        data, frames = self.written.partition(b"\r\n\r\n")[2], []
        while data:
            size = data[1] & 0x7F
            mask, body = data[2:6], data[6 : 6 + size]
            assert size < 126
            frames.append(Frame(Opcode(data[0] & 0xF), bytes(c ^ mask[i % 4] for i, c in enumerate(body))))
            data = data[6 + size :]
        return frames


def head_of(wire: Wire) -> bytes:
    key = next(line for line in wire.written.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: ")).split(b": ")[1]
    accept = accept_key(key.decode()).encode()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def connected(**options: float) -> tuple[Connection, Wire]:
    connection = Connection(parse_uri(URL), Address(URL, "tests", **options))  # type: ignore[arg-type]
    wire = Wire(connection)
    connection.data_received(head_of(wire))
    return connection, wire


def frame(data: bytes, opcode: Opcode = Opcode.BINARY, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=False)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in pairwise(at)]


async def drain(connection: Connection) -> list[bytes]:
    """Give everything until the connection ends."""
    out: list[bytes] = []
    async with asyncio.timeout(5):
        while True:
            try:
                out += await connection.receive()
            except (ConnectionClosed, ConnectionAbortedError):
                return out


@SEEDED
@given(
    st.lists(st.tuples(PAYLOADS, st.integers(0, 3)), max_size=12),
    st.lists(st.integers(0, 10**6), max_size=12),
    st.sampled_from([None, take_packed]),
)
def test_messages_come_whole_and_in_order_however_they_are_cut(
    messages: list[tuple[bytes, int]], places: list[int], cutter: TakePacked | None
) -> None:
    """Text, binary, in fragments with a ping between them, or followed by a pong; the handshake's answer before."""

    async def run() -> None:
        connection = Connection(parse_uri(URL), Address(URL, "tests", take_packed=cutter))
        wire = Wire(connection)
        data = head_of(wire)
        for payload, shape in messages:
            half = len(payload) // 2
            if shape == 2:
                data += frame(payload[:half], Opcode.TEXT, fin=False) + frame(b"p", Opcode.PING)
                data += frame(payload[half:], Opcode.CONT)
            else:
                data += frame(payload, Opcode.TEXT if shape else Opcode.BINARY)
                data += frame(b"", Opcode.PONG) if shape == 3 else b""

        for piece in cut(data, places):
            connection.data_received(piece)
        pongs = [one for one in wire.sent_frames() if one.opcode is Opcode.PONG]
        wire.end()

        assert await drain(connection) == [payload for payload, _ in messages]
        assert [one.data for one in pongs] == [b"p"] * sum(shape == 2 for _, shape in messages)

    asyncio.run(run())


@SEEDED
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_any_bytes_give_messages_or_the_end_of_the_connection(data: bytes, places: list[int]) -> None:
    """Nothing that a server sends breaks out of the connection."""

    async def run() -> None:
        connection, wire = connected()
        for piece in cut(data, places):
            if wire.is_open:
                connection.data_received(piece)
        wire.end()

        assert all(isinstance(message, bytes) for message in await drain(connection))

    asyncio.run(run())


@SEEDED
@given(st.binary(max_size=60))
def test_a_cut_never_takes_more_than_there_is(data: bytes) -> None:
    """Positions stay inside the data and move on."""
    into: list[bytes] = []
    at = take_messages(data, 0, into, MOST)
    end = frame_end(data, at, MOST)

    assert sum(map(len, into)) <= at <= len(data)
    assert end is None or at < end <= len(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x82\x7f" + (MOST + 1).to_bytes(8), 1009),
        (b"\x82\xff" + b"\xff" * 8, 1002),
        (b"\x82\x81mask" + b"x", 1002),
        (b"\xc2\x01x", 1002),
        (b"\x83\x01x", 1002),
        (frame(b"x", Opcode.CONT), 1002),
        (frame(b"x", Opcode.TEXT, fin=False) + frame(b"y"), 1002),
    ],
    ids=["too long", "impossible length", "masked", "compressed", "unknown opcode", "loose end", "no continuation"],
)
async def test_violation_of_the_protocol_ends_the_connection_with_its_code(data: bytes, code: int) -> None:
    """After what came before it."""
    connection, wire = connected()
    connection.data_received(frame(b"before") + data)
    goodbye = wire.sent_frames()[-1]
    wire.end()

    assert await drain(connection) == [b"before"]
    assert goodbye.opcode is Opcode.CLOSE
    assert Close.parse(bytes(goodbye.data)).code == code


async def test_goodbye_of_the_exchange_is_answered_and_named() -> None:
    """What comes after a close counts no more; we end the connection if the exchange does not."""
    connection, wire = connected()
    connection.data_received(frame(b"one") + frame(Close(1001, "restart").serialize(), Opcode.CLOSE) + frame(b"two"))

    assert await connection.receive() == [b"one"]
    with pytest.raises(ConnectionClosed, match=r"1001.*restart"):
        async with asyncio.timeout(5):
            await connection.receive()
    assert wire.sent_frames()[-1].opcode is Opcode.CLOSE


async def test_socket_is_not_read_while_thousands_of_messages_wait() -> None:
    """TCP holds the exchange back; reading goes on with the next receipt."""
    connection, wire = connected()
    for _ in range(3):
        connection.data_received(frame(b"x") * 1_000)

    assert wire.pauses == ["pause"]
    assert len(await connection.receive()) == 3_000
    assert wire.pauses == ["pause", "resume"]


async def test_receipt_can_be_cancelled_without_losing_a_message() -> None:
    """A stop, or a time-out of the caller."""
    connection, _ = connected()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await connection.receive()
    connection.data_received(frame(b"later"))

    assert await connection.receive() == [b"later"]


async def test_connection_without_any_answer_is_found_by_its_ping() -> None:
    """Within interval and time-out together; the ping went out."""
    connection, wire = connected(ping_interval_s=0.02, ping_timeout_s=0.01)

    with pytest.raises(ConnectionAbortedError, match=r"no answer to a ping within 0\.01 s"):
        async with asyncio.timeout(5):
            await connection.receive()
    assert [one.opcode for one in wire.sent_frames()] == [Opcode.PING]
    assert not wire.is_open


async def test_socket_that_we_do_not_read_is_not_taken_for_dead() -> None:
    """A consumer that waits for its disk must not lose the connection for it."""
    connection, wire = connected(ping_interval_s=0.02, ping_timeout_s=0.01)
    connection.data_received(frame(b"x") * 2_000)
    async with asyncio.timeout(5):
        while len(wire.sent_frames()) < 4:
            await asyncio.sleep(0)

    assert wire.is_open


async def test_answered_pings_keep_the_connection() -> None:
    """Any byte is an answer."""
    connection, wire = connected(ping_interval_s=0.02, ping_timeout_s=0.02)
    async with asyncio.timeout(5):
        answered = 0
        while answered < 4:
            await asyncio.sleep(0)
            if len(wire.sent_frames()) > answered:
                answered += 1
                connection.data_received(frame(b"", Opcode.PONG))

    assert wire.is_open


async def test_refused_handshake_carries_the_answer() -> None:
    """Status, headers and body, which say what to do."""
    connection = Connection(parse_uri(URL), Address(URL, "tests"))
    Wire(connection)
    for piece in cut(b"HTTP/1.1 429 Too Many\r\nRetry-After: 3\r\nContent-Length: 4\r\n\r\nslow", (5, 40, 60)):
        connection.data_received(piece)

    with pytest.raises(InvalidStatus) as caught:
        await connection.shaken
    assert (caught.value.response.status_code, caught.value.response.body) == (429, b"slow")
    assert caught.value.response.headers["Retry-After"] == "3"


async def test_end_during_the_handshake_is_an_error_of_the_handshake() -> None:
    """No answer at all."""
    connection = Connection(parse_uri(URL), Address(URL, "tests"))
    wire = Wire(connection)
    connection.eof_received()
    wire.end()

    with pytest.raises(InvalidMessage) as caught:
        await connection.shaken
    assert isinstance(caught.value.__cause__, EOFError)


async def test_header_of_each_handshake_is_made_anew() -> None:
    """A token is good for one; the user agent goes along."""
    tokens = iter(["Bearer one", "Bearer two"])
    stream = FakeStream()
    async with stream.listening() as url:
        for _ in range(2):
            connection = await dial(Address(url, "tests", lambda: next(tokens)))
            await connection.close()

    headers = [headers for _, headers in stream.handshakes]
    assert [one["Authorization"] for one in headers] == ["Bearer one", "Bearer two"]
    assert {one["User-Agent"] for one in headers} == {"tests"}
    assert {one.get("Sec-WebSocket-Extensions") for one in headers} == {None}


async def test_address_on_which_nobody_listens_is_an_oserror() -> None:
    """To be tried again."""
    with pytest.raises(OSError):
        await dial(Address(URL, "tests"))


async def test_large_reads_are_cut_by_the_compiled_cutter_among_small_ones() -> None:
    """What came before, between and after them keeps its place; all come as one batch."""
    connection, wire = connected(take_packed=take_packed)  # type: ignore[arg-type]
    messages = [b"%05d" % number + b"x" * 200 for number in range(200)]
    small = [b"before", b"between", b"after"]
    large = b"".join(map(frame, messages))

    connection.data_received(frame(small[0]) + large[:10])
    connection.data_received(large[10:] + frame(b"", Opcode.PONG) + frame(small[1]))
    connection.data_received(large)
    connection.data_received(frame(small[2]))
    batch = await connection.receive()
    wire.end()

    assert isinstance(batch, Packed)
    assert list(batch) == [small[0], *messages, small[1], *messages, small[2]]
