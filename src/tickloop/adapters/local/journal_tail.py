"""What the newest lines of a writer tell a process that starts: read from the end, a few megabytes at most."""

from __future__ import annotations

import re
from pathlib import Path

from tickloop.adapters.common.stored_line import DOC_ID
from tickloop.adapters.local.segments import read_tail

# Some seconds of all KRW markets at a busy time: what may come again after a reconnect.
_TRADES_BYTES = 4_000_000

_TRADE = re.compile(DOC_ID + rb'trade:([A-Z0-9-]+):(\d+)"}\n')
_RECEIVED = re.compile(rb'"ts_received":(\d{1,19}),')


def last_trades(folder: Path, writer: str, most_bytes: int = _TRADES_BYTES) -> list[tuple[str, int]]:
    """Give market and trade id of the newest trades, in the order of their lines."""
    return [(market.decode(), int(number)) for market, number in _TRADE.findall(read_tail(folder, writer, most_bytes))]


def last_received_ms(folder: Path, writer: str) -> int | None:
    """Give the market time at which the newest line was received, None without any."""
    found = _RECEIVED.findall(read_tail(folder, writer))
    return int(found[-1]) // 1_000_000 if found else None
