"""Numbers for PostgreSQL's advisory locks, and turns: locks that a transaction waits for and holds to its end.

A session's locks have 64-bit numbers, turns two of 32 bits: the two never meet. Numbers are hashes, so that two names
may have one in common: then one waits, or is told "busy", for the other without need, and nothing else happens. For
turns that is one pair in four thousand million; for 64 bits it will not be seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import psycopg

_CLASS = 0x7469636B  # "tick": other users of the database's advisory locks have other classes


def number64(*names: object) -> int:
    """Give a number of 64 bits with sign for some names, the same in every process."""
    return int.from_bytes(_digest(names)[:8], "big", signed=True)


def _number32(*names: object) -> int:
    return int.from_bytes(_digest(names)[:4], "big", signed=True)


def _digest(names: Iterable[object]) -> bytes:
    return hashlib.sha256("\0".join(map(str, names)).encode()).digest()


def take_turn(connection: psycopg.Connection, *names: object) -> None:
    """Wait until no other transaction has the turn of this name; it is ours until this transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_CLASS, _number32(*names)))


def turns_statement(table: str, markets: Iterable[str]) -> str:
    """Give the statement that takes the turns of a table's markets.

    Writers of the same rows take turns, always in the same order: otherwise one that deletes a window could not see
    what another has just put there, and two could wait for each other.
    """
    numbers = sorted({_number32(table, market) for market in markets})
    calls = " ".join(f"PERFORM pg_advisory_xact_lock({_CLASS}, {number});" for number in numbers)
    return f"DO $$ BEGIN {calls} END $$"
