"""Fills of a client's orders as trades that everybody sees, where prices are made while the simulator runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from tickloop.domain.market import Side
from tickloop.errors import DataError, HomeNotWritableError
from tickloop.simulator.prices.tape import CHANGES, SIDES, Tape, change_against


class Printed(msgspec.Struct, frozen=True):
    """A trade that an order of the account made, printed for everybody."""

    market: str
    ts_ms: int
    trade_id: int
    price: float
    qty_e8: int
    side: Side


class PrintFile:
    """All printed trades of a simulator, one JSON line each: a killed one goes on with the same past.

    A line is handed to the system before the trade exists; a power cut, other than a kill, may take the last ones.
    """

    def __init__(self, path: Path | None) -> None:
        """Read the trades of earlier runs; an unterminated last line was never printed and is cut off.

        Args:
            path: None keeps them in memory only.

        Raises:
            DataError: a line is no trade.
            HomeNotWritableError: the file cannot be read or repaired.
        """
        self._path = path
        self.trades: tuple[Printed, ...] = ()
        if path is None:
            return
        try:
            content = path.read_bytes() if path.is_file() else b""
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):
                with path.open("r+b") as file:
                    file.truncate(len(whole))
        except OSError as exc:
            raise HomeNotWritableError(f"printed trades {path} cannot be read: {exc.strerror}") from exc
        self.trades = tuple(_trade(path, number, line) for number, line in enumerate(whole.splitlines(), 1))

    def add(self, trade: Printed) -> None:
        """Remember a trade.

        Raises:
            HomeNotWritableError: it cannot be kept; nothing was printed.
        """
        if self._path is None:
            return
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(msgspec.json.encode(trade) + b"\n")
        except OSError as exc:
            raise HomeNotWritableError(f"printed trades {self._path} cannot be written: {exc.strerror}") from exc


def with_printed(made: Tape, printed: Sequence[Printed]) -> Tape:
    """Put the printed trades of a day among the made ones, after those of the same millisecond."""
    before = float(made.prev_close[0]) if len(made) else printed[0].price
    columns = {
        "ts_event": [one.ts_ms for one in printed],
        "trade_id": [one.trade_id for one in printed],
        "price": [one.price for one in printed],
        "qty_e8": [one.qty_e8 for one in printed],
        "side": [SIDES.index(one.side) for one in printed],
        "change": [CHANGES.index(change_against(one.price, before)) for one in printed],
        "prev_close": [before] * len(printed),
    }
    joined = [
        np.concatenate([getattr(made, name), np.array(column, dtype=getattr(made, name).dtype)])
        for name, column in columns.items()
    ]
    order = np.argsort(joined[0], kind="stable")
    return Tape(made.market, *(column[order] for column in joined))


def _trade(path: Path, number: int, line: bytes) -> Printed:
    try:
        return msgspec.json.decode(line, type=Printed)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise DataError(f"{path}, line {number} is no printed trade ({exc}); delete the file to forget them") from exc
