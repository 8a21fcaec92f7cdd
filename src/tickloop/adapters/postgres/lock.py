"""One runner per step, market and hour, by advisory locks of a session that does nothing else.

Windows are taken as few aligned blocks of 1, 8, 64, 512 and 4,096 hours instead of hour by hour: a year of hours would
fill the server's table of locks. A block is held exclusively, and every larger block around it shared. So two windows
that share an hour meet at the larger of the two blocks that hold it, however they lie, and two that only touch do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg

from tickloop.adapters.postgres.connect import PostgresServer, plain_pool
from tickloop.adapters.postgres.errors import translated
from tickloop.adapters.postgres.turns import number64, take_turn
from tickloop.domain.window import HOUR_MS, Window

_SIZES = (1, 8, 64, 512, 4096)  # hours of a block


class Block(NamedTuple):
    """`hours` hours from `first`, hours since 1970; `first` is a multiple of `hours`."""

    hours: int
    first: int


class Blocks(NamedTuple):
    """What a window takes: blocks for itself, and the larger ones around them together with others."""

    exclusive: tuple[Block, ...]
    shared: tuple[Block, ...]


def blocks_of(window: Window) -> Blocks:
    """Cut a window, widened to whole hours, into the fewest aligned blocks."""
    at, end = window.start_ms // HOUR_MS, -(-window.end_ms // HOUR_MS)
    exclusive: list[Block] = []
    while at < end:
        hours = max(size for size in _SIZES if at % size == 0 and at + size <= end)
        exclusive.append(Block(hours, at))
        at += hours
    around = {Block(size, one.first - one.first % size) for one in exclusive for size in _SIZES if size > one.hours}
    return Blocks(tuple(exclusive), tuple(sorted(around)))


class PostgresWindowLock:
    """Every hold has a connection of its own: two holds in one process exclude each other too.

    What a killed process held is free as soon as the server sees its connection end, and after a minute when the whole
    machine is gone. Needs a connection that stays one session: no pooler of transactions in between.

    Raises:
        StoreError, StoreAwayError: as the warehouse; also at the end of a block whose connection was lost meanwhile,
            since from then on another runner may have been let in.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._pool = plain_pool(server)

    @contextmanager
    def hold(self, step: str, market: str, window: Window) -> Iterator[bool]:
        """Enter with True when the whole window was free, False when another runner has a part of it."""
        with translated(self._server), self._pool.borrow() as connection:
            is_ours = _try_all(connection, step, market, blocks_of(window))
            yield is_ours
            if is_ours:
                _free_all(connection)

    def close(self) -> None:
        """Close the connections that hold nothing."""
        self._pool.close()


def _try_all(connection: psycopg.Connection, step: str, market: str, blocks: Blocks) -> bool:
    exclusive = [number64(step, market, *block) for block in blocks.exclusive]
    shared = [number64(step, market, *block) for block in blocks.shared]
    with connection.transaction():
        # Nobody else tries the same step and market meanwhile: one that is about to be refused is in nobody's way.
        take_turn(connection, "hold", step, market)
        row = connection.execute(
            "SELECT (SELECT bool_and(pg_try_advisory_lock(n)) FROM unnest(%s::bigint[]) n),"
            " (SELECT coalesce(bool_and(pg_try_advisory_lock_shared(n)), true) FROM unnest(%s::bigint[]) n)",
            (exclusive, shared),
        ).fetchone()
        is_ours = row is not None and all(row)
        if not is_ours:
            _free_all(connection)
    return is_ours


def _free_all(connection: psycopg.Connection) -> None:
    connection.execute("SELECT pg_advisory_unlock_all()")
