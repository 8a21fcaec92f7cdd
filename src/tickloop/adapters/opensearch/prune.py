"""Old days are deleted by the index, which costs nothing."""

from __future__ import annotations

from collections.abc import Iterable

from tickloop.adapters.opensearch.connect import Server
from tickloop.adapters.opensearch.indices import all_indices
from tickloop.adapters.opensearch.names import day_ms_of
from tickloop.adapters.opensearch.template import note_pruned
from tickloop.domain.window import DAY_MS


def old_days(prefix: str, indices: Iterable[str], now_ms: int, keep_days: int) -> dict[str, int]:
    """Give the indices whose day has been over for more than `keep_days`, oldest first -> end of that day, ms.

    A day counts from the newest index when that is older than now: a clock that jumps ahead, or a collector that stood
    still for weeks, must not cost all there is.
    """
    ends = {name: day_ms + DAY_MS for name in indices if (day_ms := day_ms_of(prefix, name)) is not None}
    if not ends:
        return {}
    newest_ms = min(now_ms, max(ends.values()))
    old = {name: end_ms for name, end_ms in ends.items() if end_ms <= newest_ms - keep_days * DAY_MS}
    return dict(sorted(old.items(), key=lambda item: item[1]))


class OpensearchPruning:
    """Implements `ports.Prunable` on the daily indices of a prefix."""

    def __init__(self, server: Server, prefix: str, keep_days: int) -> None:
        self._server = server
        self._prefix = prefix
        self._keep_days = keep_days

    def prune(self, now_ms: int) -> list[str]:
        """Delete the indices of days that are over for longer than `keep_days`; give their names.

        Raises:
            StoreError: the server refuses; `StoreAwayError` when it is away. What was deleted stays so.
        """
        old = old_days(self._prefix, all_indices(self._server, self._prefix), now_ms, self._keep_days)
        if old:
            note_pruned(self._server, self._prefix, max(old.values()))
        return [name for name in old if self._server.look("DELETE", f"/{name}") is not None]
