"""A bot's session on disk: its frames as segments of a journal, and the log of what it did, each in one folder."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from tickloop.adapters.local.files import free_bytes, sync_folder, write_all, writing
from tickloop.adapters.local.journal_line import line_of
from tickloop.adapters.local.segments import HOUR_NS, OpenSegment
from tickloop.adapters.local.session_lines import LOG, REASON, Mark, checksum, log_line, session_number
from tickloop.adapters.upbit.events import ExchangeErrorEvent, StatusEvent
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.domain.bot_session import Fact, Position
from tickloop.errors import CorruptLineError, HomeNotWritableError
from tickloop.ports import Clock, Frame, MakeFact

QUEUE_ITEMS = 100_000
QUEUE_BYTES = 64_000_000
"""Most that waits in memory: a disk that is slower than that ends the recording."""

MIN_FREE_BYTES = 100_000_000
"""A session leaves as much of the disk to the order log, which the bot cannot do without."""

_WRITER = "bot"
_RESERVE_BYTES = 4_096
_CLOSE_DEADLINE_S = 1.0


class BotSessionWriter:
    """Implements `ports.SessionRecorder` on a folder of its own below the sessions of a bot.

    A thread makes the lines and writes them every `interval_s`, frames before the facts that refer to them, and a mark
    behind both. So a kill costs at most that; nothing is synced before a segment ends, so a power cut costs more. What
    is left can be replayed either way.

    When a queue is full, or the disk, or less than `min_free_bytes` are left of it, the session is incomplete and says
    so in a file for which the room was taken at the start.
    """

    def __init__(
        self,
        sessions: Path,
        clock: Clock,
        *,
        segment_bytes: int = 64_000_000,
        interval_s: float = 0.1,
        queue_items: int = QUEUE_ITEMS,
        queue_bytes: int = QUEUE_BYTES,
        min_free_bytes: int = MIN_FREE_BYTES,
    ) -> None:
        """Begin a session; a disk that takes none makes one that is incomplete from the start."""
        now_ns = clock.now_ns()
        start = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
        number = max(map(session_number, sessions.glob("*")), default=0) + 1  # one bot at a time: it has the order log
        self.folder = sessions / f"{start:%Y%m%dT%H%M%S}-{number:04d}"
        self.problem = ""
        self._files = _Files(self.folder, segment_bytes)
        self._interval_s = interval_s
        self._queue_items, self._queue_bytes, self._min_free_bytes = queue_items, queue_bytes, min_free_bytes
        self._items: deque[Frame | Fact | MakeFact] = deque()  # both ends are safe across threads
        self._items_in = self._items_out = 0  # each is written by one thread alone
        self._bytes_in = self._bytes_out = 0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            self._files.open()
        except (HomeNotWritableError, OSError) as exc:
            self.problem = str(exc)
            return
        self._thread = threading.Thread(target=self._run, name="bot-session", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def waiting(self) -> int:
        """Give how many frames and facts are not in the files yet."""
        return self._items_in - self._items_out

    def frame(self, frame: Frame) -> None:
        self._bytes_in += len(frame.raw)
        self._put(frame)

    def note(self, fact: Fact | MakeFact) -> None:
        self._put(fact)

    async def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, _CLOSE_DEADLINE_S)

    def _put(self, item: Frame | Fact | MakeFact) -> None:
        if self.problem:
            return
        if self.waiting >= self._queue_items or self._bytes_in - self._bytes_out > self._queue_bytes:
            self.problem = f"{self.waiting:,} frames and facts waited for the disk, more than are kept in memory"
            return
        self._items.append(item)
        self._items_in += 1

    def _run(self) -> None:
        try:
            is_last = False
            while not is_last and not self.problem:
                is_last = self._closing.wait(self._interval_s)  # looked at before the queue, so that nothing stays
                self._turn()
        except (HomeNotWritableError, CorruptLineError, OSError) as exc:
            self.problem = str(exc)
        finally:
            self._files.close(self.problem)
            self._items.clear()

    def _turn(self) -> None:
        count = len(self._items)
        if not count or self.problem:
            return
        free = free_bytes(self.folder)
        if free < self._min_free_bytes:
            self.problem = f"the disk had {free:,} bytes left; valid: at least {self._min_free_bytes:,}"
            return
        for _ in range(count):
            item = self._items.popleft()
            if isinstance(item, Frame):
                self._bytes_out += len(item.raw)
                self._files.frame(item)
            else:
                self._files.fact(item() if callable(item) else item)
        self._files.flush()
        self._items_out += count


class _Files:
    """The files of a session, used by one thread."""

    def __init__(self, folder: Path, segment_bytes: int) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._segment: OpenSegment | None = None
        self._log = self._reserve = -1
        self._at = Position()
        self._arrival = -1
        self._lines: list[bytes] = []
        self._waiting = 0  # bytes of these lines
        self._facts: list[bytes] = []
        self._sums = Mark(0, 0)

    def open(self) -> None:
        with writing(self._folder):
            self._folder.mkdir(parents=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._log = os.open(self._folder / LOG, flags, 0o600)
            self._reserve = os.open(self._folder / f".{REASON}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            write_all(self._reserve, b"\n" * _RESERVE_BYTES)
            os.fsync(self._reserve)  # a file system that allocates late has the room by now
            sync_folder(self._folder)
            sync_folder(self._folder.parent)

    def frame(self, frame: Frame) -> None:
        """Add the line of a frame; what is no message of the market has none."""
        try:
            event = parse_frame(frame.raw)
        except CorruptLineError:
            return  # the bot could not read it either
        if isinstance(event, StatusEvent | ExchangeErrorEvent):
            return
        arrival = max(self._arrival + 1, frame.ts_received_ns)
        line = line_of(frame.raw, event, frame.ts_received_ns, arrival)
        segment = self._segment_for(arrival, len(line))
        self._arrival = arrival
        self._at = Position(segment.path.name, self._at.line + 1)
        self._lines.append(line)
        self._waiting += len(line)

    def fact(self, fact: Fact) -> None:
        self._facts.append(log_line(fact, self._at))

    def flush(self) -> None:
        """Write the frames, then the facts, then the mark that makes both count."""
        self._write_frames()
        facts = b"".join(self._facts)
        self._facts.clear()
        sums = Mark(self._sums.frames, checksum(facts, self._sums.log))
        mark = log_line(sums, self._at)
        self._sums = Mark(sums.frames, checksum(mark, sums.log))
        with writing(self._folder):
            write_all(self._log, facts + mark)

    def close(self, problem: str) -> None:
        """Sync and close the files; with a problem, leave it behind."""
        with suppress(OSError):
            if problem:
                os.pwrite(self._reserve, problem.encode()[:_RESERVE_BYTES], 0)
                (self._folder / f".{REASON}").rename(self._folder / REASON)
            else:
                (self._folder / f".{REASON}").unlink()
            os.fdatasync(self._log)
        with suppress(HomeNotWritableError, OSError):
            self._end_segment()
        os.close(self._log)
        os.close(self._reserve)

    def _write_frames(self) -> None:
        if self._lines and self._segment is not None:
            data = b"".join(self._lines)
            self._lines.clear()
            self._waiting = 0
            self._segment.write(data)
            self._sums = Mark(checksum(data, self._sums.frames), self._sums.log)

    def _segment_for(self, arrival: int, size: int) -> OpenSegment:
        segment = self._segment
        if segment is not None and arrival // HOUR_NS == segment.hour:
            held = segment.size + self._waiting
            if not held or held + size <= self._segment_bytes:
                return segment
        self._end_segment()
        self._segment = OpenSegment(self._folder, _WRITER, arrival)
        self._at = Position(self._segment.path.name, 0)
        return self._segment

    def _end_segment(self) -> None:
        if self._segment is not None:
            self._write_frames()
            self._segment.sync()
            self._segment.close()
            self._segment = None
