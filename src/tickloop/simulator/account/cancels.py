"""Cancels that were answered and are not done yet, since a fault delays them; a kill in between loses none."""

from __future__ import annotations

from typing import Any

import msgspec

from tickloop.simulator.account.state import Store
from tickloop.simulator.faults.board import Fault, FaultBoard, Hold


class Successor(msgspec.Struct, frozen=True):
    """The order that takes the place of a cancelled one.

    Attributes:
        fields: as `POST /v1/orders` would have them.
        is_rest: its volume is what remains of the old one when that has ended.
    """

    uuid: str
    fields: dict[str, Any]
    is_rest: bool


class Cancel(msgspec.Struct, frozen=True):
    """A cancel on its way.

    Attributes:
        uuid: of the order that is to end.
        until_ms: when it takes effect; None when that is once its fault is cleared.
    """

    uuid: str
    since_ms: int
    until_ms: int | None
    successor: Successor | None = None


class Cancels:
    """At most one for each open order. What was on its way at a kill goes on; its fault is gone with the board."""

    def __init__(self, store: Store, board: FaultBoard) -> None:
        self._store = store
        self._board = board
        kept = [msgspec.json.decode(body, type=Cancel) for body in store.cancels()]
        self._cancels = {cancel.uuid: cancel for cancel in kept}
        self._holds: dict[str, Hold] = {}

    def __contains__(self, uuid: str) -> bool:
        return uuid in self._cancels

    @property
    def next_ms(self) -> int | None:
        """Give when the next one takes effect, or None."""
        moments = (cancel.until_ms for cancel in self._cancels.values())
        return min((moment for moment in moments if moment is not None), default=None)

    def put_off(self, uuid: str, at_ms: int, fault: Fault, successor: Successor | None) -> None:
        """Take in a cancel of an open order, and put it on disk."""
        hold = Hold(fault, at_ms)
        cancel = Cancel(uuid, at_ms, hold.until_ms, successor)
        self._store.keep_cancel(uuid, msgspec.json.encode(cancel))
        self._cancels[uuid], self._holds[uuid] = cancel, hold

    def due(self, at_ms: int) -> list[tuple[int, Cancel]]:
        """Give those that take effect by a moment, each with its own, in that order."""
        found = [cancel for cancel in self._cancels.values() if self._is_due(cancel, at_ms)]
        moments = [(at_ms if cancel.until_ms is None else cancel.until_ms, cancel) for cancel in found]
        return sorted(moments, key=lambda one: (one[0], one[1].uuid))

    def forget(self, uuid: str) -> None:
        """Drop the cancel of an order that has ended; on disk it ended with the order."""
        self._cancels.pop(uuid, None)
        self._holds.pop(uuid, None)

    def _is_due(self, cancel: Cancel, at_ms: int) -> bool:
        if cancel.until_ms is not None:
            return at_ms >= cancel.until_ms
        hold = self._holds.get(cancel.uuid)
        return at_ms >= cancel.since_ms and (hold is None or hold.is_over(at_ms, self._board))
