"""Writing the journal: what is appended is on the disk soon, in order, and goes on after any end."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from fakes import START_MS, FixedClock
from tickloop.adapters.local import journal_writer
from tickloop.adapters.local.dead_letter import DeadLetter
from tickloop.adapters.local.journal_writer import JournalWriter
from tickloop.adapters.local.segments import list_segments
from tickloop.errors import HomeBusyError, HomeNotWritableError
from tickloop.ports import Frame

START_NS = START_MS * 1_000_000
HOUR_NS = 3_600_000_000_000

KILLED = """
import asyncio, sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from fakes import FixedClock, START_MS
from tickloop.adapters.local.journal_writer import JournalWriter
from tickloop.ports import Frame

home = Path(sys.argv[1])
options = {"segment_bytes": 1_000_000, "sync_interval_s": 0.01, "queue_frames": 1_000}
writer = JournalWriter(home / "journal", home / "dead", "collector", FixedClock(), **options).open()
for number in range(100):
    raw = b'{"type":"ticker","code":"KRW-BTC","trade_price":1.0,"change":"RISE","trade_timestamp":1,"timestamp":%d}'
    writer.append(Frame(raw % number, START_MS * 1_000_000))
while writer.synced_lines < 100:
    threading.Event().wait(0.005)
print("synced", flush=True)
threading.Event().wait(60)
"""


def ticker(number: int, received_ns: int = START_NS) -> Frame:
    raw = b'{"type":"ticker","code":"KRW-BTC","trade_price":1.0,"change":"RISE","trade_timestamp":1,"timestamp":%d}'
    return Frame(raw % number, received_ns)


@pytest.fixture
def make_writer(tmp_path: Path) -> Callable[..., JournalWriter]:
    def make(**options: object) -> JournalWriter:
        arguments: dict[str, object] = {
            "segment_bytes": 1_000_000,
            "sync_interval_s": 0.01,
            "queue_frames": 1_000,
            "min_free_bytes": 0,
        }
        arguments |= options
        return JournalWriter(tmp_path / "journal", tmp_path / "dead", "collector", FixedClock(), **arguments)  # type: ignore[arg-type]

    return make


@asynccontextmanager
async def opened(writer: JournalWriter) -> AsyncIterator[JournalWriter]:
    writer.open()
    try:
        yield writer
    finally:
        await writer.close()


def lines(folder: Path) -> list[dict[str, object]]:
    """Give the lines of all segments in order of their names."""
    found = [segment.path.read_bytes() for segment in list_segments(folder)]
    assert all(data.endswith(b"\n") or not data for data in found)
    return [msgspec.json.decode(line) for data in found for line in data.splitlines()]


async def test_everything_appended_is_there_in_order_after_close(
    make_writer: Callable[..., JournalWriter], tmp_path: Path
) -> None:
    """`arrival` grows by one while the clock stands, and follows it when it moves on."""
    async with opened(make_writer()) as writer:
        kinds = [writer.append(ticker(number, START_NS + number // 2 * 10)) for number in range(4)]

    written = lines(tmp_path / "journal")

    assert kinds == ["ticker"] * 4
    assert [line["timestamp"] for line in written] == [0, 1, 2, 3]
    assert [line["arrival"] for line in written] == [START_NS, START_NS + 1, START_NS + 10, START_NS + 11]
    assert [line["ts_received"] for line in written] == [START_NS, START_NS, START_NS + 10, START_NS + 10]


async def test_arrival_goes_on_across_restarts_even_when_the_clock_was_set_back(
    make_writer: Callable[..., JournalWriter], tmp_path: Path
) -> None:
    """Strictly increasing per writer, for ever; each start has a segment of its own."""
    for received_ns in (START_NS + 500, START_NS, START_NS):
        async with opened(make_writer()) as writer:
            writer.append(ticker(1, received_ns))

    assert [line["arrival"] for line in lines(tmp_path / "journal")] == [
        START_NS + 500,
        START_NS + 501,
        START_NS + 502,
    ]
    assert len(list_segments(tmp_path / "journal")) == 3


async def test_segment_ends_with_its_hour_and_at_its_size(
    make_writer: Callable[..., JournalWriter], tmp_path: Path
) -> None:
    """Names sort by the market time of their start and carry the writer."""
    async with opened(make_writer(segment_bytes=500)) as writer:
        for number, received_ns in enumerate([START_NS, START_NS + 1, START_NS + 2, START_NS + HOUR_NS]):
            writer.append(ticker(number, received_ns))

    names = [segment.path.name for segment in list_segments(tmp_path / "journal")]

    assert [name[:25] for name in names] == [
        "20240122T000000-collector",
        "20240122T000000-collector",
        "20240122T010000-collector",
    ]
    assert all(re.fullmatch(r"\d{8}T\d{6}-collector-[0-9a-f]{15}\.jsonl", name) for name in names)
    assert [line["timestamp"] for line in lines(tmp_path / "journal")] == [0, 1, 2, 3]


async def test_unreadable_message_goes_to_the_dead_letter_with_its_bytes(
    make_writer: Callable[..., JournalWriter], tmp_path: Path
) -> None:
    """Status and error objects are no data and no damage."""
    async with opened(make_writer()) as writer:
        kinds = [
            writer.append(Frame(raw, START_NS + 7))
            for raw in (b"\xff{", b'{"status":"UP"}', b'{"error":{"name":"NO_CODES","message":""}}')
        ]

    (dead,) = DeadLetter(tmp_path / "dead" / "feed-collector.jsonl").read()

    assert kinds == ["dead", "status", "error"]
    assert (dead.origin, dead.position, dead.content) == ("feed", START_NS + 7, b"\xff{")
    assert lines(tmp_path / "journal") == []


async def test_full_queue_makes_the_feed_wait_and_loses_nothing(
    make_writer: Callable[..., JournalWriter], tmp_path: Path
) -> None:
    """The queue is bounded; waiting wakes the writing thread."""
    async with opened(make_writer(queue_frames=10, sync_interval_s=10.0)) as writer:
        for number in range(35):
            if writer.is_full:
                await writer.drain()
            writer.append(ticker(number))

    assert writer.waits == 3
    assert [line["timestamp"] for line in lines(tmp_path / "journal")] == list(range(35))


async def test_second_writer_of_the_same_name_is_refused(make_writer: Callable[..., JournalWriter]) -> None:
    """Two would give one arrival twice."""
    async with opened(make_writer()):
        with pytest.raises(HomeBusyError, match="already has a writer 'collector'"):
            make_writer().open()


async def test_disk_that_is_nearly_full_stops_the_writer_before_anything_is_lost(
    make_writer: Callable[..., JournalWriter], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was accepted is written; the next message is refused with path and remedy."""
    writer = make_writer(min_free_bytes=1_000)
    real = os.statvfs(tmp_path)
    writer.open()
    full = os.statvfs_result((real.f_bsize, 1, real.f_blocks, 0, 0, *real[5:10]))
    monkeypatch.setattr(journal_writer.os, "statvfs", lambda _path: full)

    writer.append(ticker(1))
    with pytest.raises(HomeNotWritableError, match="0 bytes are free, 1,000 are needed; free space or"):
        await writer.close()

    with pytest.raises(HomeNotWritableError):
        writer.append(ticker(2))
    assert [line["timestamp"] for line in lines(tmp_path / "journal")] == [1]


def test_folder_that_cannot_be_written_is_told_at_the_start(
    make_writer: Callable[..., JournalWriter], tmp_path: Path
) -> None:
    """Before the feed is opened."""
    (tmp_path / "journal").write_text("a file where the folder should be")

    with pytest.raises(HomeNotWritableError, match=r"journal.* cannot be written"):
        make_writer().open()


async def test_killed_writer_loses_nothing_synced_and_the_next_start_goes_on(
    make_writer: Callable[..., JournalWriter], tmp_path: Path
) -> None:
    """A real process, ended by SIGKILL, with a half-written line behind it."""
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parents[1])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"synced\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    (killed,) = list_segments(tmp_path / "journal")
    with killed.path.open("ab") as file:
        file.write(b'{"type":"trade","arrival":9')

    async with opened(make_writer()) as writer:
        writer.append(ticker(100))

    old, new = list_segments(tmp_path / "journal")
    whole = old.path.read_bytes().splitlines()[:100]
    arrivals = [msgspec.json.decode(line)["arrival"] for line in [*whole, new.path.read_bytes()]]
    assert arrivals == [START_NS + number for number in range(101)]
