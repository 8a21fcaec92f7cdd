"""Lines of a bot's session log: a fact with its position, and marks. Pure: bytes and values only.

A mark tells up to where frames and facts are all there, with a running checksum of each: what a killed process left
behind its last mark does not count, and a line that was changed afterwards is found.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tickloop.adapters.common.stored_line import TradeLine
from tickloop.adapters.upbit.parse import BAD_JSON, trade_of
from tickloop.domain.bot_session import FACTS, Fact, Position
from tickloop.domain.market import Trade
from tickloop.errors import CorruptLineError, DataError

LOG = "session.jsonl"
REASON = "incomplete.txt"
"""Lies in a session that is incomplete, and says why."""

_NUMBER = re.compile(r"^\d{8}T\d{6}-(\d{4,9})$")

_MARK = "mark"
_KIND_OF = {fact: kind for kind, fact in FACTS.items()}


@dataclass(frozen=True)
class Mark:
    """Checksums of all lines of frames, and of all lines of the log before this one."""

    frames: int
    log: int


class _Line(msgspec.Struct):
    kind: str
    at: tuple[str, int]
    what: msgspec.Raw


class _Kind(msgspec.Struct):
    type: str


_LINES = msgspec.json.Decoder(_Line)
_KINDS = msgspec.json.Decoder(_Kind)
_TRADES = msgspec.json.Decoder(TradeLine)


def session_number(folder: Path) -> int:
    """Give the number in a session's name, by which a bot's sessions are in order whatever its clock does; 0: none."""
    match = _NUMBER.match(folder.name)
    return int(match.group(1)) if match else 0


def log_line(what: Fact | Mark, at: Position) -> bytes:
    kind = _MARK if isinstance(what, Mark) else _KIND_OF[type(what)]
    return msgspec.json.encode({"kind": kind, "at": (at.segment, at.line), "what": what}) + b"\n"


def read_log_line(line: bytes) -> tuple[Position, Fact | Mark]:
    """Read a line of the log; `DataError` says what is wrong with it."""
    try:
        outer = _LINES.decode(line)
        cls: Any = Mark if outer.kind == _MARK else FACTS.get(outer.kind)
        if cls is None:
            raise DataError(f"kind {outer.kind!r}; valid: {', '.join((*FACTS, _MARK))}")
        return Position(*outer.at), msgspec.json.decode(outer.what, type=cls, strict=True)
    except BAD_JSON as exc:
        raise DataError(str(exc)) from exc


def read_frame_line(line: bytes) -> Trade | None:
    """Read a line of a frame as the bot read the frame; None when it is no trade.

    Raises:
        CorruptLineError: it is no line of the journal.
    """
    try:
        if _KINDS.decode(line).type != "trade":
            return None
        trade = _TRADES.decode(line)
    except BAD_JSON as exc:
        raise CorruptLineError(str(exc)) from exc
    # To the bot, whose feed has no arrival of its own, the time of receipt stands for it.
    return trade_of(trade, trade.ts_received, trade.ts_received)


def checksum(data: bytes, before: int) -> int:
    """Go on with a running checksum."""
    return zlib.crc32(data, before)
