"""Every feed says first since when it listens, and hands messages over as they came."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import cast

import pytest

from fakes import FixedClock
from simulated_exchange import RunningSimulator, running_simulator
from tickloop.adapters.upbit.events import TradeEvent
from tickloop.adapters.upbit.feed import UpbitFeed
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.ports import AdjustableFeed, BatchFeed, Disconnected, Frame, Frames, TradeFeed
from upbit_fakes import FakeStream

TRADE = (
    b'{"type":"trade","code":"KRW-BTC","trade_timestamp":1705881600005,"trade_price":58000000.0,"trade_volume":1.5,'
    b'"ask_bid":"ASK","change":"EVEN","sequential_id":%d,"stream_type":"REALTIME"}'
)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    with running_simulator(tmp_path_factory.mktemp("simulator")) as running:
        yield running


@pytest.fixture(params=["loopback", "simulator"])
async def feed(request: pytest.FixtureRequest) -> AsyncIterator[AdjustableFeed]:
    """A feed of KRW-BTC trades with at least three of them to come."""
    if request.param == "simulator":
        running: RunningSimulator = request.getfixturevalue("simulator")
        yield UpbitFeed(running.websocket_url, ["KRW-BTC"], ["trade"], running.clock)
        return
    trades = [TRADE % number for number in range(3)]
    stream = FakeStream([trades, [TRADE % 3, (TRADE % 4).replace(b"KRW-BTC", b"KRW-ETH")]])
    async with stream.listening() as url:
        yield UpbitFeed(url, ["KRW-BTC"], ["trade"], FixedClock())


async def take(feed: TradeFeed, count: int) -> list[Frame | Disconnected]:
    items: list[Frame | Disconnected] = []
    frames = cast("AsyncGenerator[Frame | Disconnected]", feed.frames())
    async with asyncio.timeout(20), aclosing(frames):
        async for item in frames:
            items.append(item)
            if len(items) == count:
                break
    return items


async def test_feed_begins_with_the_time_since_which_it_listens(feed: TradeFeed) -> None:
    """Nothing was received before it."""
    first, second = await take(feed, 2)

    assert isinstance(first, Disconnected)
    assert first.since_ms is None
    assert isinstance(second, Frame)


async def test_frames_are_trades_of_the_market_in_order_of_receipt(feed: TradeFeed) -> None:
    """Each readable, times of receipt never going back."""
    frames = [item for item in await take(feed, 4) if isinstance(item, Frame)]
    trades = [event for frame in frames if isinstance(event := parse_frame(frame.raw), TradeEvent)]

    assert len(trades) == 3
    assert {trade.code for trade in trades} == {"KRW-BTC"}
    times = [frame.ts_received_ns for frame in frames]
    assert times == sorted(times)


async def test_batches_hold_the_same_messages(feed: BatchFeed) -> None:
    """Those that came together, never none."""
    batches = cast("AsyncGenerator[Frames | Disconnected]", feed.batches())
    raws: list[bytes] = []
    async with asyncio.timeout(20), aclosing(batches):
        assert isinstance(await anext(batches), Disconnected)
        while len(raws) < 3:
            batch = await anext(batches)
            assert isinstance(batch, Frames)
            assert batch.raws
            raws += batch.raws

    trades = [event for raw in raws if isinstance(event := parse_frame(raw), TradeEvent)]
    assert len({trade.sequential_id for trade in trades}) == len(trades) == len(raws)


async def test_markets_can_change_while_the_feed_runs(feed: AdjustableFeed) -> None:
    """A new market says first since when it is listened to; the one that was there goes on without a gap."""
    frames = cast("AsyncGenerator[Frame | Disconnected]", feed.frames())
    items: list[Frame | Disconnected] = []
    async with asyncio.timeout(20), aclosing(frames):
        await anext(frames)
        feed.set_markets(["KRW-BTC", "KRW-ETH"])
        while not any(b'"KRW-ETH"' in item.raw for item in items if isinstance(item, Frame)):
            items.append(await anext(frames))

    beginnings = [item for item in items if isinstance(item, Disconnected)]
    assert [(gap.since_ms, gap.markets) for gap in beginnings] == [(None, ("KRW-ETH",))]
    assert items[-2] == beginnings[0]


async def test_feed_can_be_closed_and_opened_again(feed: TradeFeed) -> None:
    """A second reading is a new connection."""
    await take(feed, 2)
    again = await take(feed, 2)

    assert isinstance(again[0], Disconnected)
    assert isinstance(again[1], Frame)
