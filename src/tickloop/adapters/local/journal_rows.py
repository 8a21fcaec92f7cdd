"""Trade lines of the journal as compact rows. Pure: bytes and arrays only."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import Any

import numpy as np

from tickloop.adapters.common.stored_line import DOC_ID, has_doc_id, read_trade
from tickloop.adapters.common.trade_rows import ROW, Rows, row_of
from tickloop.adapters.local.dead_letter import DeadLine
from tickloop.errors import CorruptLineError

_TRADE_ID = DOC_ID + b"trade:"


def read_lines(data: bytes, segment: str, offset: int) -> tuple[dict[str, Rows], list[DeadLine]]:
    """Read whole lines of a segment that begin at an offset of it: the trades by market, and what is no line at all.

    Lines of other types are passed over when they end in a `doc_id`.
    """
    trades: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    dead: list[DeadLine] = []
    for line in data.split(b"\n")[:-1]:
        try:
            place = line.rfind(_TRADE_ID)
            if place >= 0:
                market = _market_at(line, place + len(_TRADE_ID))
                trades[market].append(row_of(read_trade(line, market)))
            elif not has_doc_id(line):
                raise CorruptLineError(f"journal line {line[:120]!r} does not end in a doc_id; valid: what was written")
        except CorruptLineError as exc:
            dead.append(DeadLine(segment, offset, str(exc), line))
        offset += len(line) + 1
    return {market: np.array(rows, ROW) for market, rows in trades.items()}, dead


def _market_at(line: bytes, start: int) -> str:
    return _text(line[start : max(start, line.find(b":", start))])


@lru_cache(maxsize=1024)  # one string for all lines of a market
def _text(name: bytes) -> str:
    return name.decode(errors="replace")
