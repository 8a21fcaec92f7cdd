"""The daily indices of a prefix as they are on the server."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tickloop.adapters.opensearch.connect import Server
from tickloop.adapters.opensearch.names import day_ms_of, pattern_of
from tickloop.adapters.opensearch.template import pruned_before_ms
from tickloop.domain.window import DAY_MS, Window, to_datetime
from tickloop.errors import DataError, StoreAwayError, StoreError


def open_indices(server: Server, prefix: str) -> list[str]:
    """Give the names of a prefix's indices; `StoreError` when one is closed, for its events would be missing."""
    found = all_indices(server, prefix)
    closed = [name for name, is_open in found.items() if not is_open]
    if closed:
        raise StoreError(f"{server.place}: index {closed[0]} is closed; remedy: POST /{closed[0]}/_open, or delete it")
    return list(found)


def all_indices(server: Server, prefix: str) -> dict[str, bool]:
    """Give the names of a prefix's indices and whether each is open."""
    text = server.look("GET", f"/_resolve/index/{pattern_of(prefix)}", expand_wildcards="open,closed")
    found = [] if text is None else server.decode(text, _RESOLVED).indices
    return {one.name: "closed" not in one.attributes for one in found}


def check_kept(server: Server, prefix: str, window: Window, days: Sequence[str]) -> None:
    """Pass a window of which no day was deleted for its age: what is left would pass for the whole of it.

    Raises:
        DataError: a day without an index lies before the last one that `prune` has deleted.
    """
    first_day_ms = window.start_ms - window.start_ms % DAY_MS
    missing = {*range(first_day_ms, window.end_ms, DAY_MS)} - {day_ms_of(prefix, name) for name in days}
    if missing and min(missing) < pruned_before_ms(server, prefix):
        raise DataError(
            f"{server.place} has no events of {to_datetime(min(missing)):%Y-%m-%d} any more (opensearch.keep_days); "
            f"window {window} cannot be read as a whole"
        )


def refresh(server: Server, names: str) -> None:
    """Let everything that was stored be found.

    Raises:
        StoreAwayError: not all shards could.
    """
    shards = server.decode(server.ask("POST", f"/{names}/_refresh"), _REFRESHED)._shards
    if shards.failed or not shards.successful:
        raise StoreAwayError(f"{server.place}: {shards.failed} shards of {names} are not ready; try again later")


class _Index(msgspec.Struct):
    name: str
    attributes: list[str] = []


class _Resolved(msgspec.Struct):
    indices: list[_Index]


class _Shards(msgspec.Struct):
    successful: int
    failed: int


class _Refreshed(msgspec.Struct):
    _shards: _Shards


_RESOLVED = msgspec.json.Decoder(_Resolved)
_REFRESHED = msgspec.json.Decoder(_Refreshed)
