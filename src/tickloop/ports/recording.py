"""What a bot leaves behind so that its decisions can be made again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from tickloop.domain.bot_session import Fact, Position
from tickloop.domain.market import Trade
from tickloop.ports.feeds import Frame

MakeFact = Callable[[], Fact]
"""Makes a fact out of values that do not change, in whatever thread: for one that takes longer than an order may."""


class SessionRecorder(Protocol):
    """Keeps the frames and facts of one session, in the order of these calls. None of them waits for the disk.

    What cannot be kept (a full disk, a disk that is too slow) ends the recording, never the bot: `problem` says why,
    and the session is incomplete for good.
    """

    @property
    def name(self) -> str:
        """Name the session."""

    @property
    def problem(self) -> str:
        """Say why the session is incomplete; empty while it is not."""

    def frame(self, frame: Frame) -> None:
        """Keep a frame that is about to be taken."""

    def note(self, fact: Fact | MakeFact) -> None:
        """Keep a fact, or what is to make it; its position is the last frame."""

    async def close(self) -> None:
        """Write what waits and end the session."""


@dataclass(frozen=True)
class SessionStep:
    """A frame, and all that happened until the next one.

    Attributes:
        trade: None before the first frame, and for a frame of another type.
        facts: in their order.
        is_whole: False for the last step of a session that broke off: facts may be missing.
    """

    position: Position
    trade: Trade | None
    facts: tuple[Fact, ...]
    is_whole: bool = True


class RecordedSession(Protocol):
    """A session as it was kept."""

    @property
    def name(self) -> str: ...

    def steps(self) -> Iterator[SessionStep]:
        """Yield the session from its start, frame by frame, up to where its files go.

        Raises:
            DataError: at once, with the reason, when it is incomplete; on the way when a line is not as the bot wrote
                it, naming it.
        """
