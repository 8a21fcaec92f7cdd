"""A bot's session read back: frames and facts in their order, each line as the bot wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tickloop.adapters.local.segments import list_segments
from tickloop.adapters.local.session_lines import LOG, REASON, Mark, checksum, read_frame_line, read_log_line
from tickloop.domain.bot_session import Ended, Fact, Position
from tickloop.domain.market import Trade
from tickloop.errors import CorruptLineError, DataError, UsageError
from tickloop.ports import SessionStep


class BotSessionFiles:
    """Implements `ports.RecordedSession` on the folder that `BotSessionWriter` filled, in bounded memory."""

    def __init__(self, folder: Path) -> None:
        """Look at the folder; `UsageError` when it holds no session."""
        if not (folder / LOG).is_file():
            raise UsageError(
                f"{folder} holds no session of a bot; valid: a folder such as HOME/bots/NAME/sessions/TIME"
            )
        self.folder = folder

    @property
    def name(self) -> str:
        return self.folder.name

    def steps(self) -> Iterator[SessionStep]:
        reason = self.folder / REASON
        if reason.exists():
            told = reason.read_text(errors="replace").strip()
            raise DataError(f"session {self.folder} is incomplete and cannot be replayed: {told}")
        return self._steps()

    def _steps(self) -> Iterator[SessionStep]:
        frames, log = _Frames(self.folder), _Log(self.folder / LOG)
        at, trade = Position(), None
        held: list[Fact] = []
        has_ended = False
        lines = log.lines()
        for place, what in lines:
            if not at <= place:
                raise DataError(f"{log.where} stands after {at} and says {place}; valid: that or a later line")
            while at < place:
                nxt = frames.next()
                if nxt is None:
                    where = log.where
                    if isinstance(what, Ended) or log.ends_well(lines):
                        raise DataError(f"{where} says {place}, and the frames end with {at}")
                    yield SessionStep(at, trade, tuple(held), is_whole=False)
                    return
                if nxt[0] > place:
                    raise DataError(f"{log.where} says {place}, which is not there; the frames go on with {nxt[0]}")
                yield SessionStep(at, trade, tuple(held))
                (at, trade), held = nxt, []
            if isinstance(what, Mark):
                try:
                    log.check(what)
                    frames.check(what)
                except DataError:
                    yield SessionStep(at, trade, tuple(held), is_whole=False)  # it may tell more exactly what differs
                    raise
            else:
                held.append(what)
                has_ended = isinstance(what, Ended)
        if has_ended and (left := frames.next()) is not None:
            raise DataError(f"the session has ended at {at}, and there is {left[0]}")
        yield SessionStep(at, trade, tuple(held), is_whole=has_ended)


class _Frames:
    """The frames of a session, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._lines = self._all(folder)
        self._sum = 0
        self._since = self._at = Position()

    def next(self) -> tuple[Position, Trade | None] | None:
        """Give the next frame; None behind the last one.

        Raises:
            DataError: its line is none.
        """
        found = next(self._lines, None)
        if found is None:
            return None
        self._at, line = found
        self._sum = checksum(line, self._sum)
        try:
            return self._at, read_frame_line(line)
        except CorruptLineError as exc:
            raise DataError(f"{self._at} cannot be read: {exc}") from exc

    def check(self, mark: Mark) -> None:
        if mark.frames != self._sum:
            raise DataError(f"a frame after {self._since}, up to {self._at}, is not as the bot wrote it (checksum)")
        self._since = self._at

    @staticmethod
    def _all(folder: Path) -> Iterator[tuple[Position, bytes]]:
        for segment in list_segments(folder):
            for number, line in enumerate(_whole_lines(segment.path), start=1):
                yield Position(segment.path.name, number), line


class _Log:
    """The lines of a session log up to its last mark.

    `where` names the line that was given last.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sum = 0
        self._before = 0
        self._since = self._number = 0

    @property
    def where(self) -> str:
        return f"line {self._number} of {LOG}"

    def lines(self) -> Iterator[tuple[Position, Fact | Mark]]:
        waiting: list[tuple[int, bytes, Position, Fact | Mark]] = []
        for number, line in enumerate(_whole_lines(self._path), start=1):
            try:
                at, what = read_log_line(line)
            except DataError as exc:
                raise DataError(f"line {number} of {LOG} cannot be read: {exc}") from exc
            waiting.append((number, line, at, what))
            if isinstance(what, Mark):  # what stands behind the last one may lack others: it does not count
                for one in waiting:
                    yield self._given(*one)
                waiting.clear()

    def check(self, mark: Mark) -> None:
        """Compare the sum of all lines before the mark, which was given last."""
        if mark.log != self._before:
            raise DataError(f"a line after {self._since} of {LOG}, up to {self.where}, is not as the bot wrote it")
        self._since = self._number

    def ends_well(self, lines: Iterator[tuple[Position, Fact | Mark]]) -> bool:
        """Check the lines that are left, without their frames; tell whether the bot has ended the session."""
        has_ended = False
        for _, what in lines:
            if isinstance(what, Mark):
                self.check(what)
            has_ended = has_ended or isinstance(what, Ended)
        return has_ended

    def _given(self, number: int, line: bytes, at: Position, what: Fact | Mark) -> tuple[Position, Fact | Mark]:
        self._number = number
        self._before, self._sum = self._sum, checksum(line, self._sum)
        return at, what


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines with their ends; an unterminated last line does not exist."""
    with path.open("rb") as file:
        yield from (line for line in file if line.endswith(b"\n"))
