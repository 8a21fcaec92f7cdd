"""Events of the journal that are no trades, in order of their own time: found first, then read batch by batch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickloop.adapters.common.stored_line import DOC_ID
from tickloop.adapters.local.journal_index import whole_lines
from tickloop.domain.window import Window
from tickloop.errors import CorruptLineError, UsageError

_BATCH = 1_000

_PLACE = np.dtype(
    [
        ("ts", "i8"),
        ("check", "u4"),  # of the message: with time, type and market it is the `doc_id`
        ("arrival", "i8"),
        ("segment", "i4"),
        ("offset", "i8"),
        ("size", "i4"),
    ]
)


def events_in(
    segments: Sequence[Path], kind: str, market: str, window: Window, batch: int = _BATCH
) -> Iterator[list[dict[str, Any]]]:
    """Yield the events of one type of a market whose own time lies in the window, by time and `doc_id`.

    An event that was written more than once comes as the line of lowest arrival. Lines of any time may lie in any
    segment: of every event 36 bytes are held, of lines those of one batch.

    Args:
        segments: those that can hold events of the window.

    Raises:
        UsageError: for trades, which have an order of their own: `read` gives them.
        CorruptLineError: a line is not JSON.
    """
    if kind == "trade":
        raise UsageError("events of type 'trade' are read as trades; valid: ticker, orderbook, candle.1s")
    places = [_places(path, number, kind, market, window) for number, path in enumerate(segments)]
    found = np.concatenate([np.empty(0, _PLACE), *places])
    found = found[np.lexsort((found["arrival"], found["check"], found["ts"]))]
    is_first = np.ones(len(found), bool)
    is_first[1:] = (found["ts"][1:] != found["ts"][:-1]) | (found["check"][1:] != found["check"][:-1])
    found = found[is_first]
    for start in range(0, len(found), batch):
        yield _read(segments, found[start : start + batch])


def _places(path: Path, number: int, kind: str, market: str, window: Window) -> NDArray[np.void]:
    form = rb'"arrival":(\d+),"@timestamp":"[^"]*",' + DOC_ID + rb'%b:%b:(\d+):([0-9a-f]{8})"}\n'
    ending = re.compile(form % (re.escape(kind).encode(), re.escape(market).encode()))
    found: list[tuple[int, int, int, int, int, int]] = []
    offset = 0
    for data in whole_lines(path, 0, path.stat().st_size):
        for match in ending.finditer(data):
            arrival, ts_ms, check = match.groups()
            if int(ts_ms) in window:
                begin = data.rfind(b"\n", 0, match.start()) + 1
                found.append((int(ts_ms), int(check, 16), int(arrival), number, offset + begin, match.end() - begin))
        offset += len(data)
    return np.array(found, _PLACE)


def _read(segments: Sequence[Path], places: NDArray[np.void]) -> list[dict[str, Any]]:
    lines: list[bytes] = [b""] * len(places)
    for number in np.unique(places["segment"]).tolist():
        with segments[number].open("rb") as file:
            for row in np.flatnonzero(places["segment"] == number).tolist():
                file.seek(int(places["offset"][row]))
                lines[row] = file.read(int(places["size"][row]))
    return [_decoded(line) for line in lines]


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError as exc:
        raise CorruptLineError(f"journal line {line[:80]!r}... is no JSON object: {exc}") from exc
