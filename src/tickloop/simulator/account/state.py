"""The account's memory: balances, orders and identifiers in one small database that survives a kill at any moment."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import msgspec

from tickloop.errors import DataError, HomeNotWritableError, SchemaTooNewError
from tickloop.simulator.account.balances import QUOTE, Account, Holding
from tickloop.simulator.account.order import Order

SCHEMA_VERSION = 2

_PUT_ORDER = """
insert into orders (uuid, identifier, market, state, created_ms, fills, body) values (?, ?, ?, ?, ?, ?, ?)
on conflict (uuid) do update set state = excluded.state, fills = excluded.fills, body = excluded.body
"""
_LIST_ORDERS = """
select body from orders
where state in (select value from json_each(?)) and market = coalesce(?, market) and created_ms >= ? and created_ms < ?
order by seq * ? limit ?
"""

_NAMED_ORDERS = """
select body from orders
where uuid in (select value from json_each(?)) or identifier in (select value from json_each(?)) order by seq * ?
"""

_SCHEMA = """
create table holding (currency text primary key, body text not null) without rowid;
create table orders (
    seq integer primary key, uuid text not null unique, identifier text unique, market text not null,
    state text not null, created_ms integer not null, fills integer not null, body text not null);
create index orders_state on orders (state, created_ms);
create table identifier (identifier text primary key) without rowid;
"""
_SCHEMA_2 = "create table cancel (uuid text primary key, body text not null) without rowid"
"""Cancels that were answered and are not done yet; one ends with its order."""


@dataclass(frozen=True)
class Counts:
    orders: int
    fills: int
    open: int


class Store:
    """One transaction per change, on disk when the call returns."""

    def __init__(self, path: Path, krw: Decimal) -> None:
        """Open the memory, or begin one with `krw` in the account.

        Raises:
            SchemaTooNewError: a newer Tickloop wrote it.
            DataError: it is no database.
            HomeNotWritableError: it cannot be written.
        """
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None)
        except (OSError, sqlite3.OperationalError) as exc:
            raise HomeNotWritableError(f"simulator account {path} cannot be written: {exc}") from exc
        try:
            # `full`: an accepted order is on disk before its answer leaves, power cuts included.
            self._db.executescript("pragma journal_mode=wal; pragma synchronous=full; pragma busy_timeout=5000")
            self._migrate(krw)
        except sqlite3.OperationalError as exc:
            self.close()
            raise HomeNotWritableError(f"simulator account {path} cannot be written: {exc}") from exc
        except SchemaTooNewError:
            self.close()
            raise
        except sqlite3.DatabaseError as exc:
            self.close()
            raise DataError(f"{path} is not a simulator account ({exc}); delete it to start the account over") from exc

    def account(self) -> Account:
        rows = self._db.execute("select currency, body from holding").fetchall()
        return Account({currency: msgspec.json.decode(body, type=Holding) for currency, body in rows})

    def open_orders(self) -> list[Order]:
        return self._orders("select body from orders where state = 'wait' order by seq", ())

    def find(self, *, uuid: str | None = None, identifier: str | None = None) -> Order | None:
        """Give the order; `uuid` wins when both are given."""
        if uuid is not None:
            found = self._orders("select body from orders where uuid = ?", (uuid,))
        else:
            found = self._orders("select body from orders where identifier = ?", (identifier,))
        return found[0] if found else None

    def named(
        self, *, uuids: Sequence[str] = (), identifiers: Sequence[str] = (), newest_first: bool = True
    ) -> list[Order]:
        """Give the orders of some ids that there are, by acceptance."""
        sign = -1 if newest_first else 1
        return self._orders(_NAMED_ORDERS, (json.dumps(list(uuids)), json.dumps(list(identifiers)), sign))

    def orders(
        self, states: Sequence[str], market: str | None, start_ms: int, end_ms: int, limit: int, *, newest_first: bool
    ) -> list[Order]:
        """Give orders accepted in `[start_ms, end_ms)`, by acceptance."""
        sign = -1 if newest_first else 1
        return self._orders(_LIST_ORDERS, (json.dumps(list(states)), market, start_ms, end_ms, sign, limit))

    def counts(self) -> Counts:
        row = self._db.execute("select count(*), coalesce(sum(fills), 0), sum(state = 'wait') from orders").fetchone()
        return Counts(int(row[0]), int(row[1]), int(row[2] or 0))

    def use_identifier(self, identifier: str) -> bool:
        """Mark an identifier as used, for ever; False when it was already."""
        with self._writing():
            done = self._db.execute("insert or ignore into identifier values (?)", (identifier,))
        return done.rowcount == 1

    def is_used(self, identifier: str) -> bool:
        found = self._db.execute("select 1 from identifier where identifier = ?", (identifier,))
        return found.fetchone() is not None

    def save(self, orders: Iterable[Order], account: Account) -> None:
        """Write orders as they are now and the balances that go with them."""
        with self._writing(), self._db:
            self._db.execute("begin immediate")
            for order in orders:
                body = msgspec.json.encode(order).decode()
                key = (order.uuid, order.identifier, order.market, order.state, order.created_ms)
                self._db.execute(_PUT_ORDER, (*key, len(order.fills), body))
                if not order.is_open:
                    self._db.execute("delete from cancel where uuid = ?", (order.uuid,))
            self._put_holdings(account)

    def cancels(self) -> list[bytes]:
        """Give the cancels of open orders that `keep_cancel` took."""
        return [body.encode() for (body,) in self._db.execute("select body from cancel order by uuid")]

    def keep_cancel(self, uuid: str, body: bytes) -> None:
        """Write the cancel of an open order; it is there until the order is saved as ended."""
        with self._writing():
            self._db.execute("insert or replace into cancel values (?, ?)", (uuid, body.decode()))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn a full or read-only disk into `HomeNotWritableError`; nothing of the change is kept then."""
        try:
            yield
        except sqlite3.OperationalError as exc:
            raise HomeNotWritableError(f"simulator account {self._path} cannot be written: {exc}") from exc

    def close(self) -> None:
        self._db.close()

    def _orders(self, statement: str, values: Sequence[object]) -> list[Order]:
        rows = self._db.execute(statement, values)
        return [msgspec.json.decode(body, type=Order) for (body,) in rows]

    def _put_holdings(self, account: Account) -> None:
        rows = [(currency, msgspec.json.encode(holding).decode()) for currency, holding in account.holdings.items()]
        self._db.executemany("insert or replace into holding values (?, ?)", rows)

    def _migrate(self, krw: Decimal) -> None:
        version = int(self._db.execute("pragma user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise SchemaTooNewError(
                f"simulator account {self._path} has schema {version}; this Tickloop knows up to {SCHEMA_VERSION}"
            )
        if version == SCHEMA_VERSION:
            return
        with self._db:
            self._db.execute("begin immediate")
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._put_holdings(Account({QUOTE: Holding(available=krw)}))
            self._db.execute(_SCHEMA_2)
            self._db.execute(f"pragma user_version = {SCHEMA_VERSION}")
