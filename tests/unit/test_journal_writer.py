"""Writing the journal: what is appended is on the disk soon, in order, and goes on after any end."""

import asyncio
import errno
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from fakes import START_MS, FixedClock
from tickloop.adapters.local.dead_letter import DeadLetter
from tickloop.adapters.local.files import writing
from tickloop.adapters.local.journal_tail import last_received_ms, last_trades
from tickloop.adapters.local.journal_writer import JournalWriter
from tickloop.adapters.local.line_kernel import CompiledLineMaker
from tickloop.adapters.local.segments import OpenSegment, list_segments
from tickloop.domain.arrivals import ArrivalCounts
from tickloop.domain.packed import Packed
from tickloop.errors import HomeBusyError, HomeNotWritableError
from tickloop.ports import DiskShortage, Frame, Frames

START_NS = START_MS * 1_000_000
HOUR_NS = 3_600_000_000_000
ARRIVAL = re.compile(rb'"arrival":\d+,')

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


def trade(number: int, ts_ms: int = START_MS, received_ns: int = START_NS, more: bytes = b"") -> Frame:
    raw = (
        b'{"type":"trade","code":"KRW-BTC","trade_timestamp":%d,"trade_price":1.0,"trade_volume":1.0,"ask_bid":"BID",'
        b'"change":"RISE","sequential_id":%d%b}'
    )
    return Frame(raw % (ts_ms, number, more), received_ns)


class SmallDisk:
    """Segments on a disk that takes `left` bytes more and then refuses with `error`."""

    def __init__(self, left: int, error: int = errno.ENOSPC) -> None:
        self.left = left
        self.error = error

    def open_segment(self, folder: Path, writer: str, start_ns: int) -> OpenSegment:
        disk = self

        class Segment(OpenSegment):
            def write(self, data: bytes) -> None:
                taken = data[: disk.left]
                disk.left -= len(taken)
                super().write(taken)
                if len(taken) < len(data):
                    with writing(self.path):
                        raise OSError(disk.error, os.strerror(disk.error))

        return Segment(folder, writer, start_ns)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


def segment_bytes(folder: Path) -> list[bytes]:
    return [segment.path.read_bytes() for segment in list_segments(folder)]


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


async def test_packed_messages_give_the_lines_of_single_ones(
    make_writer: Callable[..., JournalWriter], tmp_path: Path
) -> None:
    """Also around unusual and unreadable ones; the counts are the same too."""
    usual = [(trade if number % 3 else ticker)(number).raw for number in range(60)]
    pretty = trade(61).raw.replace(b",", b", ")
    raws = [*usual[:20], b"{}", pretty, *usual[20:], b'{"status":"UP"}', usual[5], trade(0, START_MS - 100_000).raw]
    plain, fast = make_writer(), make_writer(line_maker=CompiledLineMaker())
    kinds = []

    for writer, batch in ((plain, raws), (fast, Packed.of(raws))):
        async with opened(writer):
            kinds.append(writer.append_all(Frames(batch, START_NS)))
    written = [one for one in segment_bytes(tmp_path / "journal") if one]

    assert len(written) == 2
    first, second = ([ARRIVAL.sub(b"", line) for line in one.splitlines()] for one in written)
    assert first == second
    assert kinds[0] == kinds[1] == {"trade": 43, "ticker": 20, "dead": 1, "status": 1}
    assert plain.arrivals == fast.arrivals == ArrivalCounts(duplicates=1, out_of_order=1, late=1)


async def test_batch_of_unusual_messages_is_kept_whole(
    make_writer: Callable[..., JournalWriter], tmp_path: Path
) -> None:
    """After a few the compiled code is not started again."""
    raws = [trade(number).raw.replace(b",", b", ") for number in range(40)]

    async with opened(make_writer(line_maker=CompiledLineMaker())) as writer:
        kinds = writer.append_all(Frames(Packed.of(raws), START_NS))

    assert kinds == {"trade": 40}
    assert [line["sequential_id"] for line in lines(tmp_path / "journal")] == list(range(40))


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


async def test_disk_that_is_nearly_full_takes_no_more_until_there_is_room(
    make_writer: Callable[..., JournalWriter], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was accepted is written; then the journal is full, says why, and goes on by itself."""
    real = os.statvfs(tmp_path)
    room = [os.statvfs_result((real.f_bsize, 1, real.f_blocks, 100, blocks, *real[5:10])) for blocks in (999, 1_000)]
    free = [room[1]]
    monkeypatch.setattr(os, "statvfs", lambda _path: free[0])
    async with opened(make_writer(min_free_bytes=1_000)) as writer:
        free[0] = room[0]
        writer.append(ticker(1))
        await until(lambda: writer.shortage is not None)
        was_full, shortage, synced = writer.is_full, writer.shortage, writer.synced_lines
        free[0] = room[1]
        await asyncio.wait_for(writer.drain(), 5)
        writer.append(ticker(2))

    assert (was_full, shortage, synced) == (True, DiskShortage(999, 1_000), 1)
    assert [line["timestamp"] for line in lines(tmp_path / "journal")] == [1, 2]


async def test_line_cut_off_by_a_full_disk_is_written_whole_into_a_new_segment(
    make_writer: Callable[..., JournalWriter], tmp_path: Path
) -> None:
    """The torn end stays unterminated, so no line follows it; every accepted line is there once for readers."""
    disk = SmallDisk(700)
    async with opened(make_writer(make_segment=disk.open_segment)) as writer:
        for number in range(10):
            writer.append(ticker(number))
        await until(lambda: writer.shortage is not None)
        torn = [segment.path.read_bytes() for segment in list_segments(tmp_path / "journal")]
        disk.left = 1_000_000
        await asyncio.wait_for(writer.drain(), 5)
        writer.append(ticker(10))

    whole = [data[: data.rfind(b"\n") + 1] for data in segment_bytes(tmp_path / "journal")]
    found = [msgspec.json.decode(line)["timestamp"] for data in whole for line in data.splitlines()]
    assert [len(data) for data in torn] == [700]
    assert not torn[0].endswith(b"\n")
    assert found == list(range(11))
    assert segment_bytes(tmp_path / "journal")[0] == torn[0]


async def test_full_disk_without_room_at_the_end_is_said_and_harms_nothing(
    make_writer: Callable[..., JournalWriter], tmp_path: Path
) -> None:
    """What found no room is counted in the message of the error."""
    disk = SmallDisk(0)
    writer = make_writer(make_segment=disk.open_segment).open()
    writer.append(ticker(1))
    await until(lambda: writer.shortage is not None)

    with pytest.raises(HomeNotWritableError, match="1 messages found no room on a full disk"):
        await writer.close()


async def test_broken_disk_ends_the_writer_with_its_reason(
    make_writer: Callable[..., JournalWriter], tmp_path: Path
) -> None:
    """Waiting helps against want of room only."""
    disk = SmallDisk(0, errno.EIO)
    writer = make_writer(make_segment=disk.open_segment).open()
    writer.append(ticker(1))

    with pytest.raises(HomeNotWritableError, match="Input/output error"):
        await writer.close()
    with pytest.raises(HomeNotWritableError, match="Input/output error"):
        writer.append(ticker(2))


async def test_start_on_a_full_disk_waits_for_room(
    make_writer: Callable[..., JournalWriter], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector that was killed while the disk was full comes back and waits, instead of failing again and again."""
    real = os.statvfs(tmp_path)
    full = os.statvfs_result((real.f_bsize, 1, real.f_blocks, 0, 0, *real[5:10]))
    free = [full]
    monkeypatch.setattr(os, "statvfs", lambda _path: free[0])
    async with opened(make_writer(min_free_bytes=1_000)) as writer:
        was_full = writer.is_full
        free[0] = real
        await asyncio.wait_for(writer.drain(), 5)
        writer.append(ticker(1))

    assert was_full
    assert [line["timestamp"] for line in lines(tmp_path / "journal")] == [1]


async def test_storm_of_unreadable_messages_stays_bounded(
    make_writer: Callable[..., JournalWriter], tmp_path: Path
) -> None:
    """In memory by the queue, on disk by an allowance per hour; each is counted."""
    writer = make_writer(queue_frames=50)
    kinds: Counter[str] = Counter()
    async with opened(writer):
        for number in range(400):
            if writer.is_full:
                await writer.drain()
            kinds[writer.append(Frame(b"\xff" * 400_000, START_NS + number))] += 1

    kept = DeadLetter(tmp_path / "dead" / "feed-collector.jsonl").read()

    assert kinds == {"dead": 400}
    assert writer.waits > 0
    assert len(kept) == 64_000_000 // 400_000
    assert lines(tmp_path / "journal") == []


async def test_unreadable_messages_wait_for_room_too(
    make_writer: Callable[..., JournalWriter], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dead letter is as it was when the disk was full, and each message is in it once afterwards."""
    refusing = [True]
    real = os.fdatasync

    def fdatasync(descriptor: int) -> None:
        if refusing[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    async with opened(make_writer()) as writer:
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        writer.append(Frame(b"\xff", START_NS))
        await until(lambda: writer.shortage is not None)
        size = (tmp_path / "dead" / "feed-collector.jsonl").stat().st_size
        refusing[0] = False
        await asyncio.wait_for(writer.drain(), 5)

    assert size == 0
    assert len(DeadLetter(tmp_path / "dead" / "feed-collector.jsonl").read()) == 1


async def test_trades_that_came_before_are_known_again_after_a_start(
    make_writer: Callable[..., JournalWriter], tmp_path: Path
) -> None:
    """A repair leaves out what the journal's end holds."""
    async with opened(make_writer()) as writer:
        for number in (7, 8):
            writer.append(trade(number))

    assert last_trades(tmp_path / "journal", "collector") == [("KRW-BTC", 7), ("KRW-BTC", 8)]
    assert last_received_ms(tmp_path / "journal", "collector") == START_MS
    assert last_trades(tmp_path / "journal", "another") == []
    assert last_received_ms(tmp_path / "journal", "another") is None


@pytest.mark.parametrize("odd", [b"", b"\xff{", b'{"status":"UP"}', b'{"type":"trade","code":"btc"}'])
async def test_messages_appended_together_are_kept_as_one_by_one(
    make_writer: Callable[..., JournalWriter], tmp_path: Path, odd: bytes
) -> None:
    """Same kinds, lines and counts, with and without one among them that is no data."""
    raws = [frame.raw for number in range(40) for frame in (trade(number // 2), ticker(number))]
    if odd:
        raws.insert(33, odd)
    async with opened(make_writer()) as writer:
        kinds = [writer.append(Frame(raw, START_NS)) for raw in raws]
        expected = writer.arrivals
    one_by_one = [line for data in segment_bytes(tmp_path / "journal") for line in data.splitlines()]

    async with opened(make_writer()) as writer:
        together = Counter(writer.append_all(Frames(raws[:50], START_NS + HOUR_NS)))
        together.update(writer.append_all(Frames(raws[50:], START_NS + HOUR_NS)))
        counts = writer.arrivals
    lines_ = [line for data in segment_bytes(tmp_path / "journal") for line in data.splitlines()]

    def moved(line: bytes) -> bytes:
        return re.sub(rb"(ts_received|arrival)\":(\d+)", lambda m: b'%b":%d' % (m[1], int(m[2]) + HOUR_NS), line)

    assert together == Counter(kinds)
    assert lines_ == one_by_one + [moved(line) for line in one_by_one]
    assert (counts.duplicates, counts.late) == (expected.duplicates, 20)


async def test_much_is_written_before_its_time(make_writer: Callable[..., JournalWriter]) -> None:
    """With a minute between two syncs, four megabytes do not wait for it."""
    frames = Frames([trade(number, more=b',"x":"%b"' % (b"x" * 40_000)).raw for number in range(120)], START_NS)
    async with opened(make_writer(sync_interval_s=60)) as writer:
        writer.append_all(frames)
        await until(lambda: writer.synced_lines == 120)


async def test_odd_arrivals_are_counted(make_writer: Callable[..., JournalWriter]) -> None:
    """A snapshot may be of any age."""
    async with opened(make_writer()) as writer:
        for frame in (
            trade(1, START_MS),
            trade(1, START_MS),
            trade(2, START_MS - 5),
            trade(3, START_MS + 1, START_NS + 60_002_000_000),
            trade(4, START_MS + 1, START_NS + 99_000_000_000, b',"stream_type":"SNAPSHOT"'),
        ):
            writer.append(frame)

    assert writer.arrivals == ArrivalCounts(duplicates=1, out_of_order=1, late=1)
    assert writer.has_synced("KRW-BTC", 4)
    assert not writer.has_synced("KRW-ETH", 4)


async def test_trade_counts_as_kept_only_when_it_is_synced(make_writer: Callable[..., JournalWriter]) -> None:
    """A repair that left it out before that would lose it with the process."""
    disk = SmallDisk(0)
    async with opened(make_writer(make_segment=disk.open_segment)) as writer:
        writer.append(trade(7))
        await until(lambda: writer.shortage is not None)
        before = writer.has_synced("KRW-BTC", 7)
        disk.left = 1_000_000
        await asyncio.wait_for(writer.drain(), 5)
        after = writer.has_synced("KRW-BTC", 7)

    assert (before, after) == (False, True)


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
