"""Lines into segments on a disk that is full at any byte: each line is read once, in order, whatever was cut off."""

import errno
import os
import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tickloop.adapters.local.files import writing
from tickloop.adapters.local.segment_writer import Lines, SegmentWriter
from tickloop.adapters.local.segments import HOUR_NS, OpenSegment, list_segments
from tickloop.errors import DiskFullError

MEMORY = Path("/dev/shm")
"""A disk that syncs at once: what is proved is which bytes stand, and a real sync costs milliseconds a time."""


class Disk:
    """Takes bytes up to each of `limits` in turn, then refuses once; after the last it takes all. So may a sync."""

    def __init__(self, limits: list[int], syncs: list[bool]) -> None:
        self.limits = limits
        self.syncs = syncs

    def open_segment(self, folder: Path, writer: str, start_ns: int) -> OpenSegment:
        disk = self

        class Segment(OpenSegment):
            def write(self, data: bytes) -> None:
                limit = disk.limits[0] if disk.limits else len(data)
                super().write(data[:limit])
                if limit < len(data):
                    disk.limits.pop(0)
                    self._refuse()
                elif disk.limits:
                    disk.limits[0] -= len(data)

            def sync(self) -> None:
                if disk.syncs and disk.syncs.pop(0):
                    self._refuse()
                super().sync()

            def _refuse(self) -> None:
                with writing(self.path):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return Segment(folder, writer, start_ns)


def line(number: int) -> tuple[int, bytes]:
    return number * (HOUR_NS // 7), b'{"number":%d,"fill":"%b"}\n' % (number, b"x" * (number * 13 % 50))


def add(writer: SegmentWriter, lines: list[tuple[int, bytes]]) -> None:
    """Add lines that each came by themselves."""
    for arrival, text in lines:
        writer.add(Lines.of(arrival, [text]))


@given(
    st.lists(st.integers(0, 300), max_size=6),
    st.lists(st.booleans(), max_size=12),
    st.integers(1, 12),
    st.integers(60, 400),
)
def test_every_line_is_there_in_order_after_any_refusals(
    limits: list[int], syncs: list[bool], batch: int, segment_bytes: int
) -> None:
    """Readers see whole lines only; where a sync was refused a line may stand twice, alike."""
    lines = [line(number) for number in range(40)]
    has_sync_refused = any(syncs)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        writer = SegmentWriter(Path(name), "w", segment_bytes, Disk(list(limits), list(syncs)).open_segment)
        for first in range(0, len(lines), batch):
            add(writer, lines[first : first + batch])
            for _ in range(len(limits) + len(syncs) + 1):
                try:
                    writer.flush()
                    break
                except DiskFullError:
                    continue
        writer.close()
        found = [text for one in list_segments(Path(name)) for text in one.path.read_bytes().split(b"\n")[:-1] if text]

    expected = [text[:-1] for _, text in lines]
    once = list(dict.fromkeys(found))
    assert sorted(once, key=expected.index) == expected
    assert has_sync_refused or found == expected
    assert (writer.waiting_bytes, writer.waiting_lines, writer.synced_lines) == (0, 0, len(lines))
    assert writer.synced_arrival == lines[-1][0]


def test_names_of_segments_sort_in_the_order_of_their_lines(tmp_path: Path) -> None:
    """Also of those that were begun after a refusal."""
    writer = SegmentWriter(tmp_path, "w", 60, Disk([30, 30], []).open_segment)
    add(writer, [line(number) for number in range(8)])
    for _ in range(3):
        try:
            writer.flush()
        except DiskFullError:
            continue
    writer.close()

    segments = list_segments(tmp_path)
    assert len(segments) > 1
    assert all(before.start_ns <= after.start_ns for before, after in pairwise(segments))
