"""The sessions of all bots of a home: which there are, and which are old enough to go."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from tickloop.adapters.local.files import writing
from tickloop.adapters.local.segments import list_segments
from tickloop.adapters.local.session_lines import LOG, session_number
from tickloop.domain.window import DAY_MS, HOUR_MS
from tickloop.errors import UsageError

NEWEST = "last"
"""Stands for a bot's newest session where one is named."""

_SHOWN = 5


class BotSessions:
    """Implements `ports.Prunable` on the folder of bots.

    A session is a folder `BOT/sessions/TIME-NUMBER`. Its time of keeping runs from the hour of its newest segment, in
    market time. The newest session of each bot stays: it may be running.
    """

    def __init__(self, bots: Path, keep_days: int) -> None:
        self._bots = bots
        self._keep_ms = keep_days * DAY_MS

    def of(self, bot: str) -> list[Path]:
        """Give a bot's sessions, oldest first."""
        return sorted((path.parent for path in (self._bots / bot / "sessions").glob(f"*/{LOG}")), key=session_number)

    def find(self, bot: str, name: str) -> Path:
        """Give the session of that name, or path, or with `last` the newest.

        Raises:
            UsageError: there is none.
        """
        found = self.of(bot)
        if name == NEWEST and found:
            return found[-1]
        for folder in (Path(name), *(one for one in found if one.name == name)):
            if (folder / LOG).is_file():
                return folder
        known = ", ".join(one.name for one in reversed(found[-_SHOWN:])) or "none yet"
        raise UsageError(f"session {name!r} of bot {bot!r} is not there; valid: {NEWEST}, a folder, or one of: {known}")

    def prune(self, now_ms: int) -> list[str]:
        """Delete the old ones; give their names, with the bot's. `HomeNotWritableError` when one cannot be deleted."""
        all_of = [self.of(path.name) for path in sorted(self._bots.glob("*"))]
        ends = {one: end for folders in all_of for one in folders if (end := _end_ms(one)) is not None}
        if not ends:
            return []
        # A clock that jumps ahead must not cost all there is.
        newest_ms = min(now_ms, max(ends.values()))
        gone = []
        for folder in (one for folders in all_of for one in folders[:-1]):
            if folder in ends and ends[folder] + self._keep_ms <= newest_ms:
                with writing(folder):
                    shutil.rmtree(folder)
                gone.append(f"{folder.parents[1].name}/{folder.name}")
        return gone


def _end_ms(folder: Path) -> int | None:
    """Give when a session was written last, to the hour; None for a name that is not ours."""
    segments = list_segments(folder)
    if segments:
        return segments[-1].start_ns // 1_000_000 + HOUR_MS
    try:
        start = datetime.strptime(folder.name.partition("-")[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(start.timestamp()) * 1_000 + HOUR_MS
