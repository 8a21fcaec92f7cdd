"""A feed of many markets: several connections as one stream, markets that come and go, silences, slow consumers."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import pytest

from fakes import START_MS, FixedClock
from tickloop.adapters.upbit import link, merge
from tickloop.adapters.upbit.feed import UpbitFeed
from tickloop.adapters.upbit.idle import IdleWatch
from tickloop.adapters.upbit.inbox import Inbox
from tickloop.errors import UsageError
from tickloop.ports import Disconnected, Frame
from upbit_fakes import FakeStream

Item = Frame | Disconnected


def trade(market: str, number: int = 0) -> bytes:
    return b'{"type":"trade","code":"%b","n":%d}' % (market.encode(), number)


def snapshots(request: list[dict[str, Any]]) -> list[bytes | str]:
    """Answer as the exchange does: the newest trade of each market."""
    return [trade(market) for market in request[1]["codes"]]


def open_feed(url: str, markets: str, **options: Any) -> UpbitFeed:
    arguments = {"first_delay_s": 0.01, "types": ["trade"], "clock": FixedClock(), **options}
    return UpbitFeed(url, [f"KRW-{name}" for name in markets], **arguments)


@asynccontextmanager
async def reading(feed: UpbitFeed) -> AsyncIterator[Callable[[int], Any]]:
    """Give a function that reads so many items more."""
    frames = cast("AsyncGenerator[Item, None]", feed.frames())

    async def take(count: int) -> list[Item]:
        return [await anext(frames) for _ in range(count)]

    async with asyncio.timeout(15), aclosing(frames):
        yield take


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


def gaps(items: list[Item]) -> list[Disconnected]:
    return [item for item in items if isinstance(item, Disconnected)]


def codes(items: list[Item]) -> list[str]:
    return sorted(item.raw.split(b'"')[7].decode() for item in items if isinstance(item, Frame))


async def test_markets_are_spread_over_connections_and_come_as_one_stream() -> None:
    """Each connection says first which markets it listens to."""
    stream = FakeStream(answer=snapshots)
    async with stream.listening() as url, reading(open_feed(url, "ABCDE", codes_per_connection=2)) as take:
        items = await take(8)

    asked = sorted(request[1]["codes"] for request in stream.requests)
    assert asked == [["KRW-A", "KRW-B"], ["KRW-C", "KRW-D"], ["KRW-E"]]
    assert sorted(gap.markets for gap in gaps(items)) == [("KRW-A", "KRW-B"), ("KRW-C", "KRW-D"), ("KRW-E",)]
    assert codes(items) == ["KRW-A", "KRW-B", "KRW-C", "KRW-D", "KRW-E"]


async def test_loss_of_one_connection_names_its_markets_and_leaves_the_others() -> None:
    """Only what was on it may be missing."""
    is_first = True

    def answer(request: list[dict[str, Any]]) -> list[bytes | str]:
        nonlocal is_first
        falls = is_first and request[1]["codes"] == ["KRW-B"]
        is_first = is_first and not falls
        return [*snapshots(request), *(["close"] if falls else [])]

    stream = FakeStream(answer=answer)
    async with stream.listening() as url, reading(open_feed(url, "AB", codes_per_connection=1)) as take:
        items = await take(6)

    assert gaps(items)[2].markets == ("KRW-B",)
    assert gaps(items)[2].since_ms == START_MS
    assert codes(items) == ["KRW-A", "KRW-B", "KRW-B"]
    assert sum(request[1]["codes"] == ["KRW-A"] for request in stream.requests) == 1


async def test_new_market_is_asked_for_on_the_open_connection() -> None:
    """The request is the full union; the new market gets a beginning of its own, the others no gap."""
    stream = FakeStream(answer=snapshots)
    async with stream.listening() as url:
        feed = open_feed(url, "AB")
        async with reading(feed) as take:
            await take(3)
            feed.set_markets(["KRW-A", "KRW-B", "KRW-C"])
            items = await take(4)

    assert [request[1]["codes"] for request in stream.requests] == [["KRW-A", "KRW-B"], ["KRW-A", "KRW-B", "KRW-C"]]
    assert len(stream.handshakes) == 1
    assert gaps(items) == [Disconnected(None, START_MS, "new market", ("KRW-C",))]
    assert items[2] == gaps(items)[0]
    assert items[3] == Frame(trade("KRW-C"), START_MS * 1_000_000)


async def test_new_market_without_a_trade_begins_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no snapshot; after a while the request counts as heard."""
    monkeypatch.setattr(link, "_CONFIRM_TIMEOUT_S", 0.02)
    stream = FakeStream([[trade("KRW-A")], []])
    async with stream.listening() as url:
        feed = open_feed(url, "A")
        async with reading(feed) as take:
            await take(2)
            feed.set_markets(["KRW-A", "KRW-N"])
            items = await take(1)

    assert items == [Disconnected(None, START_MS, "new market", ("KRW-N",))]


async def test_vanished_market_is_dropped_without_a_word() -> None:
    """It needs no connection anew, and no other market has a gap."""
    stream = FakeStream(answer=snapshots)
    async with stream.listening() as url:
        feed = open_feed(url, "AB")
        async with reading(feed) as take:
            await take(3)
            feed.set_markets(["KRW-A"])
            items = await take(1)

    assert items == [Frame(trade("KRW-A"), START_MS * 1_000_000)]
    assert [request[1]["codes"] for request in stream.requests] == [["KRW-A", "KRW-B"], ["KRW-A"]]


async def test_market_that_comes_back_is_new() -> None:
    """Nothing of it was received in between."""
    stream = FakeStream(answer=snapshots)
    async with stream.listening() as url:
        feed = open_feed(url, "AB")
        async with reading(feed) as take:
            await take(3)
            feed.set_markets(["KRW-A"])
            await take(1)
            feed.set_markets(["KRW-A", "KRW-B"])
            items = await take(3)

    assert gaps(items) == [Disconnected(None, START_MS, "new market", ("KRW-B",))]


async def test_connections_are_opened_and_closed_as_markets_need_them() -> None:
    """A market keeps the connection that it has."""
    stream = FakeStream(answer=snapshots)
    async with stream.listening() as url:
        feed = open_feed(url, "A", codes_per_connection=1)
        async with reading(feed) as take:
            await take(2)
            feed.set_markets(["KRW-A", "KRW-B"])
            more = await take(2)
            assert stream.open == 2
            feed.set_markets(["KRW-B"])
            await until(lambda: stream.open == 1)

    assert more == [Disconnected(None, START_MS, "start", ("KRW-B",)), Frame(trade("KRW-B"), START_MS * 1_000_000)]
    assert [request[1]["codes"] for request in stream.requests] == [["KRW-A"], ["KRW-B"]]


async def test_markets_that_change_while_the_connection_is_away_are_asked_for_on_the_next() -> None:
    """Those that were there have a gap, the new one a beginning."""
    stream = FakeStream([[trade("KRW-A"), "close"], [trade("KRW-A", 2)]])
    async with stream.listening() as url:
        feed = open_feed(url, "A")
        async with reading(feed) as take:
            await take(2)
            feed.set_markets(["KRW-A", "KRW-B"])
            items = await take(3)

    old, new = gaps(items)
    assert (old.since_ms, old.markets) == (START_MS, ("KRW-A",))
    assert (new.since_ms, new.markets) == (None, ("KRW-B",))
    assert stream.requests[-1][1]["codes"] == ["KRW-A", "KRW-B"]


async def test_markets_set_before_reading_are_those_that_are_read() -> None:
    """And a feed of none is refused."""
    stream = FakeStream(answer=snapshots)
    async with stream.listening() as url:
        feed = open_feed(url, "A")
        feed.set_markets(["KRW-B"])
        async with reading(feed) as take:
            items = await take(2)

    assert codes(items) == ["KRW-B"]
    with pytest.raises(UsageError, match="a feed of no markets"):
        feed.set_markets([])


async def test_refusal_on_one_connection_ends_the_whole_feed() -> None:
    """And closes the others."""

    def answer(request: list[dict[str, Any]]) -> list[bytes | str]:
        return [b'{"error":{"name":"WRONG_FORMAT","message":"m"}}'] if request[1]["codes"] == ["KRW-B"] else []

    stream = FakeStream(answer=answer)
    async with stream.listening() as url:
        with pytest.raises(Exception, match="WRONG_FORMAT"):
            async with reading(open_feed(url, "ABC", codes_per_connection=1)) as take:
                await take(9)
        await until(lambda: stream.open == 0)


async def test_reader_that_comes_back_has_missed_what_it_did_not_take() -> None:
    """Messages that were received and not handed over count as missed."""
    clock = FixedClock()
    stream = FakeStream([[trade("KRW-A", number) for number in range(50)]])
    async with stream.listening() as url:
        feed = open_feed(url, "A", clock=clock)
        async with reading(feed) as take:
            await take(2)
            clock.advance(5_000)
        async with reading(feed) as take:
            again = await take(1)

    assert again[0].since_ms == START_MS
    assert again[0].until_ms == START_MS + 5_000


# --- silence and death ----------------------------------------------------------------------------------------


async def test_silence_of_trades_while_tickers_come_is_a_loss_of_trades() -> None:
    """Since the last trade, not since the last ticker; the next connection brings them again."""
    clock = FixedClock()
    is_dead = True

    class Half(FakeStream):
        async def _play(self, connection: Any) -> None:
            await connection.recv()
            await connection.send(trade("KRW-A"))
            number = 0
            while is_dead:
                number += 1
                await connection.send(b'{"type":"ticker","code":"KRW-A","n":%d}' % number)
                await asyncio.sleep(0.005)
            await connection.wait_closed()

    stream = Half()
    async with stream.listening() as url:
        feed = open_feed(url, "A", clock=clock, types=["trade", "ticker"], idle_s=0.2)
        async with reading(feed) as take:
            await take(2)
            clock.advance(1_000)
            while len(found := gaps(await take(1))) == 0:
                pass
            is_dead = False

    assert found == [Disconnected(START_MS, START_MS + 1_000, "no trade for 0.2 s, while others came")]


async def test_dead_connection_is_found_by_its_ping() -> None:
    """Open, but nothing is heard and nothing comes."""
    stream = FakeStream([[trade("KRW-A"), "mute"], [trade("KRW-A", 2)]])
    async with stream.listening() as url:
        feed = open_feed(url, "A", ping_interval_s=0.1, ping_timeout_s=0.05)
        async with reading(feed) as take:
            items = await take(4)

    assert gaps(items)[1].reason == "no answer to a ping within 0.05 s"


async def test_text_ping_is_answered_and_its_answer_is_no_data() -> None:
    """It keeps the connection and does not hide that the stream is silent."""
    stream = FakeStream([[trade("KRW-A")], [trade("KRW-A", 2)]])
    async with stream.listening() as url:
        feed = open_feed(url, "A", ping_text_s=0.06, idle_s=0.2)
        async with reading(feed) as take:
            items = await take(4)

    assert stream.pings >= 2
    assert gaps(items)[1].reason == "no message for 0.2 s"
    assert codes(items) == ["KRW-A", "KRW-A"]


async def test_loss_can_be_seen_before_the_stream_says_it() -> None:
    """The stream says it on reconnecting, which may take long."""
    stream = FakeStream([[trade("KRW-A"), "close"]])
    async with stream.listening() as url:
        feed = open_feed(url, "A", first_delay_s=5.0)
        assert [gap.reason for gap in feed.losses()] == ["start"]
        async with reading(feed) as take:
            await take(2)
            await until(lambda: bool(feed.losses()))
            (gap,) = feed.losses()

    assert (gap.since_ms, gap.until_ms) == (START_MS, START_MS)
    assert "1000" in gap.reason


async def test_locked_out_feed_waits_as_long_as_it_is_told() -> None:
    """A 418 or 429 that names its time; the back-off alone would be back too soon."""
    stream = FakeStream([[trade("KRW-A")]], refuse_with=[418], refuse_headers={"Retry-After": "1"})
    async with stream.listening() as url, reading(open_feed(url, "A")) as take:
        began = asyncio.get_running_loop().time()
        await take(2)
        waited_s = asyncio.get_running_loop().time() - began

    assert waited_s >= 1.0


# --- a slow consumer ------------------------------------------------------------------------------------------


async def test_queue_is_bounded_and_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that does not read holds the exchange back; then everything comes, in order."""
    count, sent = 30_000, 0
    filler = b"x" * 900

    class Flood(FakeStream):
        async def _play(self, connection: Any) -> None:
            nonlocal sent
            await connection.recv()
            for number in range(count):
                await connection.send(b'{"type":"trade","code":"KRW-A","n":%d,"x":"%b"}' % (number, filler))
                sent += 1
            await connection.wait_closed()

    inboxes: list[Inbox] = []
    monkeypatch.setattr(merge, "Inbox", lambda: inboxes.append(Inbox(500)) or inboxes[-1])
    stream = Flood()
    async with stream.listening() as url, reading(open_feed(url, "A")) as take:
        await take(1)
        before = -1
        while before != sent:  # what fits into the buffers between is sent, and not more
            before = sent
            for _ in range(2_000):
                await asyncio.sleep(0)
        stood_at = sent
        frames = await take(count)

    assert stood_at < count
    assert [int(frame.raw.split(b'"n":')[1].split(b",")[0]) for frame in frames] == list(range(count))


async def test_silence_while_the_consumer_is_busy_is_not_the_exchange_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is us who do not listen."""
    looks = 0

    class Watch(IdleWatch):
        def hold(self, at: float) -> None:
            nonlocal looks
            looks += 1
            super().hold(at)

    monkeypatch.setattr(link, "IdleWatch", Watch)
    stream = FakeStream([[trade("KRW-A", number) for number in range(20_000)]])
    async with stream.listening() as url:
        feed = open_feed(url, "A", idle_s=0.04)
        async with reading(feed) as take:
            await take(1)
            await until(lambda: looks >= 8)  # twice the limit
            items = await take(20_000)

    assert gaps(items) == []
