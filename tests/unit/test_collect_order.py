"""From arrival to bars: trades in any order, repeated and late, give the bars of the trades as they happened."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from fakes import START_MS, FixedClock, read_whole
from tickloop.adapters.local.journal import JournalStore
from tickloop.adapters.local.journal_writer import JournalWriter
from tickloop.domain.bars import build_bars
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.ports import Frame

BTC = "KRW-BTC"
HOUR = Window(START_MS, START_MS + HOUR_MS)
MINUTES = 4

# Times of their own: of trades in the same millisecond the exchange does not tell which came first, so arrival decides.
TIMES = st.lists(st.integers(0, MINUTES * MINUTE_MS - 1), min_size=1, max_size=25, unique=True).map(sorted)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Give times of trades, and the numbers of the trades in the order of their arrival, each once or more often."""
    times = draw(TIMES)
    everyone = list(range(len(times)))
    repeats = draw(st.lists(st.sampled_from(everyone), max_size=15))
    return times, draw(st.permutations(everyone + repeats))


def frame(number: int, ts_ms: int, received_ms: int) -> Frame:
    raw = (
        f'{{"type":"trade","code":"{BTC}","trade_timestamp":{ts_ms},"trade_price":{1_000 + number * 7 % 13},'
        f'"trade_volume":0.{number + 1:08d},"ask_bid":"{"BID" if number % 2 else "ASK"}","change":"RISE",'
        f'"sequential_id":{17_000 + number}}}'
    )
    return Frame(raw.encode(), received_ms * 1_000_000)


async def journalled(folder: Path, frames: list[Frame], segment_bytes: int) -> JournalStore:
    writer = JournalWriter(
        folder / "journal",
        folder / "dead",
        "collector",
        FixedClock(),
        segment_bytes=segment_bytes,
        sync_interval_s=0.001,
        queue_frames=1_000,
        min_free_bytes=0,
    ).open()
    for one in frames:
        writer.append(one)
    await writer.close()
    return JournalStore(folder / "journal", folder / "dead", FixedClock())


@given(streams(), st.sampled_from([1_000, 1_000_000]))
@settings(max_examples=60)
def test_any_order_of_arrival_gives_the_same_bars(stream: tuple[list[int], list[int]], segment_bytes: int) -> None:
    """Through journal, raw store and bars; late by up to minutes, repeated at will."""
    times, order = stream
    happened = [frame(number, START_MS + at, START_MS + at) for number, at in enumerate(times)]
    received = START_MS + MINUTES * MINUTE_MS
    arrived = [frame(number, START_MS + times[number], received + place) for place, number in enumerate(order)]

    with tempfile.TemporaryDirectory() as name:
        expected = read_whole(asyncio.run(journalled(Path(name, "a"), happened, 1_000_000)), BTC, HOUR)
        read = read_whole(asyncio.run(journalled(Path(name, "b"), arrived, segment_bytes)), BTC, HOUR)

    assert (read.lines, read.repeats) == (len(order), len(order) - len(times))
    assert_frame_equal(build_bars(read.trades), build_bars(expected.trades))
