"""Upbit's stream through losses, refusals and silence, against a WebSocket on a loopback port."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import islice

import pytest

from fakes import START_MS, FixedClock
from tickloop.adapters.upbit.feed import UpbitFeed
from tickloop.adapters.upbit.pace import backoff_delays
from tickloop.errors import AuthError, ExchangeError, RejectedError
from tickloop.ports import Disconnected, Frame
from upbit_fakes import FakeStream

ONE, TWO = b'{"type":"trade","n":1}', b'{"type":"trade","n":2}'
LIMITED = b'{"error":{"name":"TOO_MANY_REQUEST","message":"m"}}'


class TickingClock(FixedClock):
    """A millisecond passes at each look."""

    def now_ns(self) -> int:
        self.advance(1)
        return super().now_ns()


class HeldClock(FixedClock):
    def real_seconds_until(self, ts_ms: int) -> float:
        return math.inf


def open_feed(url: str, clock: FixedClock | None = None, **options: float) -> UpbitFeed:
    arguments = {"first_delay_s": 0.01, **options}
    return UpbitFeed(url, ["KRW-BTC", "KRW-ETH"], ["trade", "ticker"], clock or FixedClock(), **arguments)  # type: ignore[arg-type]


async def take(feed: UpbitFeed, count: int) -> list[Frame | Disconnected]:
    items: list[Frame | Disconnected] = []
    frames: AsyncIterator[Frame | Disconnected] = feed.frames()
    async with asyncio.timeout(10), aclosing(frames):  # type: ignore[type-var]
        async for item in frames:
            items.append(item)
            if len(items) == count:
                break
    return items


async def test_subscription_is_one_request_and_messages_come_as_bytes() -> None:
    """Binary and text messages alike, with market time of receipt, after the first `Disconnected`."""
    stream = FakeStream([[ONE, TWO.decode()]])
    async with stream.listening() as url:
        items = await take(open_feed(url), 3)

    assert items == [
        Disconnected(None, START_MS, "start"),
        Frame(ONE, START_MS * 1_000_000),
        Frame(TWO, START_MS * 1_000_000),
    ]
    ((ticket, *rest),) = stream.requests
    assert list(ticket) == ["ticket"]
    assert rest == [
        {"type": "trade", "codes": ["KRW-BTC", "KRW-ETH"]},
        {"type": "ticker", "codes": ["KRW-BTC", "KRW-ETH"]},
        {"format": "DEFAULT"},
    ]


async def test_each_loss_yields_the_time_that_may_be_missing() -> None:
    """From the last message before to the first after; the new connection subscribes again."""
    stream = FakeStream([[ONE, "close"], [TWO]])
    async with stream.listening() as url:
        start, first, loss, second = await take(open_feed(url, TickingClock()), 4)

    assert isinstance(start, Disconnected)
    assert isinstance(first, Frame)
    assert isinstance(loss, Disconnected)
    assert isinstance(second, Frame)
    assert start.since_ms is None
    assert loss.since_ms is not None
    assert first.ts_received_ns // 1_000_000 <= loss.since_ms < loss.until_ms
    assert second.ts_received_ns // 1_000_000 <= loss.until_ms
    assert "1000" in loss.reason
    assert len(stream.requests) == 2


async def test_exchange_that_is_down_or_limits_us_is_tried_again() -> None:
    """Server errors, limits at the handshake and on the socket, a closed connection."""
    stream = FakeStream([[LIMITED], ["close"], [ONE]], refuse_with=[503, 429])
    async with stream.listening() as url:
        items = await take(open_feed(url), 2)

    assert isinstance(items[0], Disconnected)
    assert items[1] == Frame(ONE, START_MS * 1_000_000)
    assert len(stream.requests) == 3


@pytest.mark.parametrize(
    ("stream", "error", "says"),
    [
        (FakeStream([[b'{"error":{"name":"NO_CODES","message":"m"}}']]), RejectedError, "NO_CODES"),
        (FakeStream([[b' {"error":{"name":"INVALID_AUTH","message":"m"}}']]), AuthError, "INVALID_AUTH"),
        (FakeStream([[]], refuse_with=[401]), AuthError, "401"),
        (FakeStream([[]], refuse_with=[404]), RejectedError, "404"),
    ],
    ids=["error object", "auth object", "401", "404"],
)
async def test_refusal_that_repeating_cannot_mend_ends_the_feed(
    stream: FakeStream, error: type[Exception], says: str
) -> None:
    """An error object never passes for a message."""
    async with stream.listening() as url:
        with pytest.raises(error, match=says):
            await take(open_feed(url), 2)


async def test_address_that_is_no_websocket_is_an_error_of_ours() -> None:
    """Not one of the library's."""
    with pytest.raises(ExchangeError, match="does not answer as the exchange's WebSocket does"):
        await take(open_feed("http://127.0.0.1:1/x"), 1)


async def test_status_is_no_message() -> None:
    """The answer to a ping."""
    stream = FakeStream([[b'{"status":"UP"}', ONE]])
    async with stream.listening() as url:
        items = await take(open_feed(url), 2)

    assert items[1] == Frame(ONE, START_MS * 1_000_000)


async def test_silence_while_the_market_runs_is_a_loss() -> None:
    """A subscription can be dead on a connection that is alive."""
    stream = FakeStream([[ONE], [TWO]])
    async with stream.listening() as url:
        items = await take(open_feed(url, idle_s=0.1), 4)

    assert items[2] == Disconnected(START_MS, START_MS, "no message for 0.1 s")
    assert items[3] == Frame(TWO, START_MS * 1_000_000)


async def test_silence_while_the_market_stands_is_not() -> None:
    """The demo holds its clock until everybody is connected."""
    stream = FakeStream([[ONE]])
    async with stream.listening() as url:
        feed = open_feed(url, HeldClock(), idle_s=0.05)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await take(feed, 3)

    assert len(stream.requests) == 1


async def test_waiting_consumer_can_be_cancelled_at_once() -> None:
    """A stop does not wait for the next message."""
    stream = FakeStream([[ONE]])
    async with stream.listening() as url:
        waiting = asyncio.create_task(take(open_feed(url), 3))
        async with asyncio.timeout(5):
            while not stream.requests:
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})

    assert waiting.cancelled()


def test_delays_begin_at_random_and_grow_to_the_cap() -> None:
    """Without end: a collector never gives up."""
    first, *rest = islice(backoff_delays(0.5, most_s=2.0), 7)

    assert 0 <= first < 0.5
    assert rest == pytest.approx([0.5, 0.8, 1.28, 2.0, 2.0, 2.0])
