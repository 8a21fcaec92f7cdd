"""The private side: takes orders, fills them, cancels them, and answers what became of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from tickloop.domain.rules import fee_rate
from tickloop.simulator.account.answers import balance_objects, batch_object, chance_object
from tickloop.simulator.account.balances import Account, plain
from tickloop.simulator.account.cancels import Cancels, Successor
from tickloop.simulator.account.changes import Listener, OrderChange
from tickloop.simulator.account.keeper import Keeper, not_found
from tickloop.simulator.account.matching import Step, accept, end, fill_resting, is_passed_by, match
from tickloop.simulator.account.order import ASK, BID, OpenFilter, Order, OrderSide, order_object
from tickloop.simulator.account.placing import (
    REMAIN_ONLY,
    Ticket,
    check_rules,
    identifier_of,
    parse_ticket,
    replacement,
)
from tickloop.simulator.account.state import Counts, Store
from tickloop.simulator.faults.board import FaultBoard
from tickloop.simulator.prices.book import Level
from tickloop.simulator.refusal import RefusedError, order_refusal


class Quotes(Protocol):
    """What the private side needs to know of the market."""

    def is_known(self, market: str) -> bool: ...

    def is_trading(self, market: str, at_ms: int) -> bool:
        """Tell whether the market has a price and its recording is not over."""

    def last_price(self, market: str, at_ms: int) -> Decimal: ...

    def levels(self, market: str, side: OrderSide, at_ms: int) -> Sequence[Level]:
        """Give what an order of this side takes, best first."""

    def print_fill(self, market: str, price: Decimal, volume: Decimal, taker: OrderSide, ts_ms: int) -> None:
        """Let everybody see a fill, where prices are not from a recording; else do nothing."""


class Desk:
    """One account. Every change is on disk before the call that made it returns."""

    def __init__(
        self,
        store: Store,
        quotes: Quotes,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        board: FaultBoard | None = None,
        smp_default: str = "none",
    ) -> None:
        """Open the desk.

        Args:
            new_id: gives uuids of orders and fills.
            smp_default: what happens when the account's own orders meet and the taker names nothing.
        """
        self._store = store
        self._keeper = Keeper(store)
        self._quotes = quotes
        self._new_id = new_id
        self._board = board or FaultBoard()
        self._smp_default = smp_default
        self._cancels = Cancels(store, self._board)

    @property
    def account(self) -> Account:
        return self._keeper.account

    @property
    def resting_markets(self) -> set[str]:
        """Markets whose trades may fill an order."""
        return self._keeper.resting_markets

    @property
    def next_ms(self) -> int | None:
        """Give when a delayed cancel takes effect, or None."""
        return self._cancels.next_ms

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every change from now on, in order, after it is on disk."""
        self._keeper.listen(listener)

    def place(self, fields: Mapping[str, Any], at_ms: int) -> dict[str, Any]:
        """Take an order and fill it at the book of this moment; give it as it was on acceptance, still `wait`.

        An identifier is used up by its first request, also by one that is refused.

        Raises:
            RefusedError: the order does not exist.
        """
        self._use(identifier_of(fields))
        ticket, levels = self._checked(fields, at_ms)
        return order_object(self._enter(ticket, levels, at_ms, self._new_id()))

    def test(self, fields: Mapping[str, Any], at_ms: int) -> dict[str, Any]:
        """Check an order as `place` does and give what it would be; nothing is kept, its identifier stays free."""
        identifier = identifier_of(fields)
        if identifier is not None and self._store.is_used(identifier):
            raise _duplicated()
        ticket, _ = self._checked(fields, at_ms)
        return order_object(self._accepted(ticket, at_ms, self._new_id())[0])

    def cancel(self, uuid: str | None, identifier: str | None, at_ms: int) -> dict[str, Any]:
        """Cancel an open order; give it as it was before, as the exchange does.

        Raises:
            RefusedError: 404 `order_not_found` when there is no such open order.
        """
        order = self._open(uuid, identifier)
        self._cancel(order.uuid, at_ms)
        return order_object(order)

    def cancel_and_new(self, fields: Mapping[str, Any], at_ms: int) -> dict[str, Any]:
        """Cancel an order and put another in its place once that is done; give the old one and the new one's names.

        Raises:
            RefusedError: nothing was changed, but the new identifier is used up.
        """
        texts = {name: value for name, value in fields.items() if isinstance(value, str)}
        order = self._open(texts.get("prev_order_uuid"), texts.get("prev_order_identifier"))
        if order.uuid in self._cancels:
            raise not_found()
        wanted = replacement(fields, order)
        self._use(identifier_of(wanted))
        ticket, _ = self._checked(wanted, at_ms)
        _, free = end(order, self.account, "cancel", at_ms)
        new_uuid = self._new_id()
        accept(ticket, free, fee_rate(ticket.market, at_ms), at_ms, new_uuid)  # what the old one frees counts
        self._cancel(order.uuid, at_ms, Successor(new_uuid, wanted, texts.get("new_volume") == REMAIN_ONLY))
        names = {"new_order_uuid": new_uuid, "new_order_identifier": ticket.identifier}
        return {**order_object(order), **{name: value for name, value in names.items() if value is not None}}

    def cancel_named(self, uuids: Sequence[str], identifiers: Sequence[str], at_ms: int) -> dict[str, Any]:
        """Cancel orders by their ids; tell which were open and which were not."""
        found = self._store.named(uuids=uuids, identifiers=identifiers)
        names = {one.uuid for one in found} | {one.identifier for one in found}
        missing = [{"uuid": one} for one in uuids if one not in names]
        missing += [{"identifier": one} for one in identifiers if one not in names]
        return self._cancel_all(found, missing, at_ms)

    def cancel_open(self, wanted: OpenFilter, at_ms: int) -> dict[str, Any]:
        """Cancel open orders that a filter passes; tell which."""
        orders = [order for order in self._keeper.all_resting() if wanted.passes(order)]
        orders.sort(key=lambda order: order.created_ms, reverse=wanted.newest_first)
        return self._cancel_all(orders[: wanted.count], [], at_ms)

    def advance(self, at_ms: int) -> None:
        """Do the cancels that were put off until now."""
        for when_ms, cancel in self._cancels.due(at_ms):
            self._end(cancel.uuid, when_ms, cancel.successor)
            self._cancels.forget(cancel.uuid)

    def on_trade(self, market: str, price: float, ts_ms: int) -> None:
        """Fill the resting orders that a trade of the market passed."""
        resting = self._keeper.resting(market)
        if not resting:
            return
        printed = Decimal(repr(price))
        for order in resting:
            if is_passed_by(order, printed, ts_ms):
                self._print(self._keeper.keep(fill_resting(order, self.account, ts_ms, self._new_id()), ts_ms))
                self._cancels.forget(order.uuid)

    def order(self, uuid: str | None, identifier: str | None) -> dict[str, Any]:
        """Give one order with its trades, open or ended.

        Raises:
            RefusedError: 404 `order_not_found`.
        """
        return order_object(self._keeper.find(uuid, identifier), with_trades=True)

    def named(self, uuids: Sequence[str], identifiers: Sequence[str], *, newest_first: bool) -> list[dict[str, Any]]:
        """Give orders by their ids, without their trades."""
        found = self._store.named(uuids=uuids, identifiers=identifiers, newest_first=newest_first)
        return [order_object(order) for order in found]

    def orders(
        self, states: Sequence[str], market: str | None, start_ms: int, end_ms: int, limit: int, *, newest_first: bool
    ) -> list[dict[str, Any]]:
        """Give orders accepted in `[start_ms, end_ms)`, without their trades."""
        found = self._store.orders(states, market, start_ms, end_ms, limit, newest_first=newest_first)
        return [order_object(order) for order in found]

    def balances(self) -> list[dict[str, str | bool]]:
        return balance_objects(self.account)

    def chance(self, market: str, at_ms: int) -> dict[str, Any]:
        self._require_known(market)
        return chance_object(market, self.account, at_ms, is_trading=self._quotes.is_trading(market, at_ms))

    def counts(self) -> Counts:
        return self._store.counts()

    def _checked(self, fields: Mapping[str, Any], at_ms: int) -> tuple[Ticket, Sequence[Level]]:
        ticket = parse_ticket(fields)
        self._require_trading(ticket.market, at_ms)
        levels = self._quotes.levels(ticket.market, ticket.side, at_ms)
        check_rules(ticket, self._quotes.last_price(ticket.market, at_ms), levels, at_ms)
        return ticket, levels

    def _accepted(self, ticket: Ticket, at_ms: int, uuid: str) -> Step:
        return accept(ticket, self.account, fee_rate(ticket.market, at_ms), at_ms, uuid)

    def _enter(self, ticket: Ticket, levels: Sequence[Level], at_ms: int, uuid: str) -> Order:
        """Accept an order and let it take the book; give it as it was on acceptance."""
        accepted, account = self._accepted(ticket, at_ms, uuid)
        across = [one for one in self._keeper.resting(ticket.market) if one.side != ticket.side]
        steps = match(accepted, account, levels, at_ms, self._new_id, across, self._smp_default)
        self._print(self._keeper.keep(steps, at_ms, accepted.uuid), accepted.uuid)
        return accepted

    def _use(self, identifier: str | None) -> None:
        if identifier is not None and not self._store.use_identifier(identifier):
            raise _duplicated()

    def _open(self, uuid: str | None, identifier: str | None) -> Order:
        order = self._keeper.find(uuid, identifier)
        if not order.is_open:
            raise not_found()
        return order

    def _cancel(self, uuid: str, at_ms: int, successor: Successor | None = None) -> None:
        """End an open order, at once or, under a fault, later; its successor comes once that is done."""
        if uuid in self._cancels:
            return
        slow = self._board.strike("slow_cancel")
        if slow is not None:
            self._cancels.put_off(uuid, at_ms, slow, successor)
        else:
            self._end(uuid, at_ms, successor)

    def _end(self, uuid: str, at_ms: int, successor: Successor | None) -> None:
        order = self._keeper.find(uuid, None)
        if order.is_open:  # it may have been filled while the cancel was on its way
            self._keeper.keep([end(order, self.account, "cancel", at_ms)], at_ms)
            if successor is not None:
                self._replace(order, successor, at_ms)

    def _replace(self, old: Order, successor: Successor, at_ms: int) -> None:
        rest = {"volume": plain(old.remaining)} if successor.is_rest else {}
        try:
            self._enter(*self._checked({**successor.fields, **rest}, at_ms), at_ms, successor.uuid)
        except RefusedError:
            return  # the rest is too small, or the market has ended: the old one is cancelled and no new one comes

    def _cancel_all(self, orders: Sequence[Order], missing: list[dict[str, str]], at_ms: int) -> dict[str, Any]:
        for order in orders:
            if order.is_open:
                self._cancel(order.uuid, at_ms)
        return batch_object([one for one in orders if one.is_open], [one for one in orders if not one.is_open], missing)

    def _print(self, changes: Sequence[OrderChange], new_uuid: str = "") -> None:
        """Show fills to the market: of two own orders that met, the taker's only."""
        for change in changes:
            if change.fill is not None and new_uuid in ("", change.order.uuid):
                passive = ASK if change.order.side == BID else BID
                taker = passive if change.is_maker else change.order.side
                fill = change.fill
                self._quotes.print_fill(change.order.market, fill.price, fill.volume, taker, fill.ts_ms)

    def _require_known(self, market: str) -> None:
        if not self._quotes.is_known(market):
            raise order_refusal("notfoundmarket", f"{market[:40]} is not a market here.")

    def _require_trading(self, market: str, at_ms: int) -> None:
        self._require_known(market)
        # A book that stands still for ever would fill orders at a price that nobody quotes any more.
        if not self._quotes.is_trading(market, at_ms):
            raise RefusedError(403, "market_offline", f"{market} has no price: its recording has not begun or is over.")


def _duplicated() -> RefusedError:
    return order_refusal("duplicated_identifier", "The identifier was used before.")
