"""A session on disk: what a kill, a full disk, a slow disk or a hand in the files makes of it."""

from __future__ import annotations

import errno
from decimal import Decimal
from pathlib import Path

import pytest

from fakes import FixedClock
from tickloop.adapters.local import bot_session
from tickloop.adapters.local.bot_session import BotSessionWriter
from tickloop.adapters.local.bot_session_keep import BotSessions
from tickloop.adapters.local.bot_session_read import BotSessionFiles
from tickloop.adapters.local.segments import OpenSegment
from tickloop.domain.bot_session import Aged, Ended, Fact, Started
from tickloop.domain.purse import PurseState
from tickloop.domain.strategy import PRESETS
from tickloop.domain.window import DAY_MS
from tickloop.errors import DataError, UsageError
from tickloop.ports import Frame, MakeFact
from tickloop.services.replay_session import replay_session
from trading_fakes import MARKET, MemorySession, Stage, at, message, trade, until

STARTED = Started(
    "b",
    (MARKET,),
    at(0),
    "default",
    PRESETS["default"]._asdict(),
    Decimal(6_000),
    1_000,
    20,
    PurseState(Decimal(50_000)),
    0,
)


def writer(folder: Path, **options: float) -> BotSessionWriter:
    return BotSessionWriter(folder, FixedClock(), interval_s=0.002, **options)  # type: ignore[arg-type]


async def written(session: BotSessionWriter) -> None:
    """Wait until all that was kept is in the files, with its mark."""
    await until(lambda: not session.waiting)


async def small(folder: Path) -> BotSessionWriter:
    """Give an ended session of three rounds."""
    session = writer(folder)
    session.note(STARTED)
    for number in range(3):
        session.frame(message(trade(at(0, number), 5e7 + number)))
        session.frame(message(trade(at(0, 100 + number), 5e7)))
        session.note(Aged(is_stale=number % 2 == 0))
        await written(session)
    session.note(Ended(at(1)))
    await session.close()
    return session


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


async def test_change_of_any_line_of_any_file_is_named(tmp_path: Path) -> None:
    """Each line with one digit changed, left out, or twice: the replay names a line at or behind it."""
    session = await small(tmp_path)
    assert replay_session(BotSessionFiles(session.folder)).is_equal
    (segment,) = session.folder.glob("2*.jsonl")
    tried = 0

    for path in (segment, session.folder / "session.jsonl"):
        lines = lines_of(path)
        for number, line in enumerate(lines):
            for instead in (_other_digit(line), b"", line + line):
                path.write_bytes(b"".join([*lines[:number], instead, *lines[number + 1 :]]))
                is_cut = path != segment and number == len(lines) - 1 and not instead

                result = replay_session(BotSessionFiles(session.folder))

                tried += 1
                if is_cut:  # the last mark gone: the session broke off before it
                    assert not result.has_ended
                    continue
                assert not result.is_equal, (path.name, number, instead)
                assert "line" in result.difference or "format" in result.difference
        path.write_bytes(b"".join(lines))

    assert tried == 3 * (6 + 1 + 3 + 1 + 4)


def _other_digit(line: bytes) -> bytes:
    """Change the last digit of a line, so that it still reads as JSON."""
    place = next(index for index in range(len(line) - 1, 0, -1) if line[index : index + 1].isdigit())
    digit = (line[place] - ord("0") + 1) % 10
    return line[:place] + b"%d" % digit + line[place + 1 :]


async def test_torn_last_lines_do_not_exist(tmp_path: Path) -> None:
    """Of frames, of the log, and lines behind the last mark."""
    session = writer(tmp_path)
    session.note(STARTED)
    session.frame(message(trade(at(0), 5e7)))
    await written(session)
    (segment,) = session.folder.glob("2*.jsonl")
    log = session.folder / "session.jsonl"
    whole = replay_session(BotSessionFiles(session.folder))

    line = lines_of(segment)[0]
    for left in (line, line[:50], b""):
        with segment.open("ab") as file:
            file.write(left)
        with log.open("ab") as file:
            file.write(lines_of(log)[0] + b'{"kind":"ag')
        torn = replay_session(BotSessionFiles(session.folder))
        assert (torn.is_equal, torn.frames, torn.has_ended) == (True, 1, False)
        log.write_bytes(log.read_bytes()[: log.read_bytes().rfind(b'{"kind":"ag')])
    await session.close()

    assert (whole.is_equal, whole.frames, whole.has_ended) == (True, 1, False)


async def test_session_whose_frames_end_before_its_log_is_replayed_to_there(tmp_path: Path) -> None:
    """As a power cut may leave it; a session that was ended has all its frames."""
    ended = await small(tmp_path / "ended")
    broken = writer(tmp_path / "broken")
    broken.note(STARTED)
    for number in range(4):
        broken.frame(message(trade(at(0, number), 5e7)))
        await written(broken)
    await broken.close()
    for session in (ended, broken):
        (segment,) = session.folder.glob("2*.jsonl")
        segment.write_bytes(b"".join(lines_of(segment)[:2]))

    found = replay_session(BotSessionFiles(broken.folder))
    wrong = replay_session(BotSessionFiles(ended.folder))

    assert (found.is_equal, found.frames, found.has_ended) == (True, 2, False)
    assert "and the frames end with line 2 of" in wrong.difference


class Beside(MemorySession):
    """Keeps a session in memory too, for the replay that `play` makes."""

    def __init__(self, files: BotSessionWriter) -> None:
        super().__init__()
        self._files = files

    def frame(self, frame: Frame) -> None:
        super().frame(frame)
        self._files.frame(frame)
        self.problem = self._files.problem

    def note(self, fact: Fact | MakeFact) -> None:
        super().note(fact)
        self._files.note(fact)
        self.problem = self._files.problem

    async def close(self) -> None:
        await self._files.close()


async def test_full_disk_ends_the_recording_and_not_the_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order goes out; the session says why it is incomplete, and is not replayed."""

    class FullSegment(OpenSegment):
        def write(self, data: bytes | memoryview) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bot_session, "OpenSegment", FullSegment)
    stage = Stage({at(0): 6e7})
    session = writer(tmp_path)
    stage.open_session = lambda: Beside(session)

    async def failed() -> None:
        await until(lambda: bool(session.problem))

    await stage.play(trade(at(0, 500), 5e7), failed, trade(at(0, 1_000), 5e7), stage.settled)

    assert len(stage.broker.placed) == 1
    assert "No space left on device" in stage.reports[-1][1]["session"]["problem"]
    with pytest.raises(DataError, match=r"is incomplete and cannot be replayed: .*No space left on device"):
        replay_session(BotSessionFiles(session.folder))


async def test_session_leaves_room_to_the_order_log(tmp_path: Path) -> None:
    session = writer(tmp_path, min_free_bytes=1 << 60)
    session.note(STARTED)
    await until(lambda: bool(session.problem))
    await session.close()

    with pytest.raises(DataError, match=r"the disk had .* bytes left; valid: at least 1,152,921,504,606,846,976"):
        BotSessionFiles(session.folder).steps()


@pytest.mark.parametrize("bounds", [{"queue_items": 5}, {"queue_bytes": 1_000}])
async def test_disk_that_is_too_slow_ends_the_recording(tmp_path: Path, bounds: dict[str, int]) -> None:
    """What waits is bounded by number and by size."""
    session = BotSessionWriter(tmp_path, FixedClock(), interval_s=60, **bounds)
    for number in range(8):
        session.frame(message(trade(at(0, number), 5e7)))
    waiting = session.waiting
    await session.close()

    assert waiting <= 5
    with pytest.raises(DataError, match="waited for the disk, more than are kept in memory"):
        BotSessionFiles(session.folder).steps()


async def test_folder_that_cannot_be_made_is_a_problem_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_text("no folder")

    session = writer(tmp_path / "sessions")
    session.frame(message(trade(at(0), 5e7)))
    await session.close()

    assert "cannot be written" in session.problem
    assert session.waiting == 0


async def test_sessions_are_found_by_name_by_folder_and_as_the_last(tmp_path: Path) -> None:
    folders = []
    for minute in (3, 1, 1, 1, 1, 0):  # a held clock stands, and one that is made anew begins earlier
        session = BotSessionWriter(tmp_path / "b" / "sessions", FixedClock(at(minute)), interval_s=0.002)
        session.note(STARTED)
        await session.close()
        folders.append(session.folder)
    sessions = BotSessions(tmp_path, keep_days=30)

    assert sessions.of("b") == folders
    assert sessions.find("b", "last") == folders[5]
    assert sessions.find("b", folders[0].name) == folders[0]
    assert sessions.find("other", str(folders[1])) == folders[1]
    with pytest.raises(UsageError, match=f"valid: last, a folder, or one of: {folders[5].name}, {folders[4].name}"):
        sessions.find("b", "yesterday")
    with pytest.raises(UsageError, match="one of: none yet"):
        sessions.find("other", "last")


async def test_old_sessions_go_and_the_newest_of_each_bot_stays(tmp_path: Path) -> None:
    """Counted in market time from their last hour; a clock that jumps ahead costs nothing."""
    made = {}
    for bot, days in (("a", (0, 5, 20)), ("b", (0,))):
        for day in days:
            start_ms = at(0) + day * DAY_MS
            session = BotSessionWriter(tmp_path / bot / "sessions", FixedClock(start_ms), interval_s=0.002)
            session.frame(message(trade(start_ms, 5e7)))
            await session.close()
            made[bot, day] = session.folder
    sessions = BotSessions(tmp_path, keep_days=10)

    assert sessions.prune(at(0) + 9 * DAY_MS) == []
    assert sessions.prune(at(0) + 10_000 * DAY_MS) == [f"a/{made['a', 0].name}", f"a/{made['a', 5].name}"]
    assert sessions.of("a") == [made["a", 20]]
    assert sessions.of("b") == [made["b", 0]]
    assert BotSessions(tmp_path / "none", keep_days=10).prune(at(0)) == []
