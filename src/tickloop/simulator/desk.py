"""The private side: takes orders, fills them, remembers them, and answers what became of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from tickloop.domain.rules import fee_rate, max_total, min_total
from tickloop.simulator.account import QUOTE, Account, balance_object, base_of, plain
from tickloop.simulator.book import Level
from tickloop.simulator.changes import AssetChange, Listener, OrderChange, asset_change, order_changes
from tickloop.simulator.faultboard import FaultBoard
from tickloop.simulator.matching import Step, accept, end, fill_resting, is_passed_by, match
from tickloop.simulator.order import Order, OrderSide, order_object
from tickloop.simulator.placing import REMAIN_ONLY, Ticket, check_rules, identifier_of, parse_ticket, replacement
from tickloop.simulator.refusal import RefusedError, order_refusal
from tickloop.simulator.state import Counts, Store


class Quotes(Protocol):
    """What the private side needs to know of the market."""

    def is_known(self, market: str) -> bool: ...

    def is_trading(self, market: str, at_ms: int) -> bool:
        """Tell whether the market has a price and its recording is not over."""

    def last_price(self, market: str, at_ms: int) -> Decimal: ...

    def levels(self, market: str, side: OrderSide, at_ms: int) -> Sequence[Level]:
        """Give what an order of this side takes, best first."""


@dataclass(frozen=True)
class OpenFilter:
    """Which open orders a batch cancel means; an empty set is no restriction."""

    pairs: frozenset[str]
    quotes: frozenset[str]
    excluded: frozenset[str]
    sides: frozenset[str]
    count: int
    newest_first: bool

    def passes(self, order: Order) -> bool:
        quote = order.market.partition("-")[0]
        return (
            (not self.pairs or order.market in self.pairs)
            and (not self.quotes or quote in self.quotes)
            and order.market not in self.excluded
            and order.side in self.sides
        )


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
        self._store = store
        self._board = board or FaultBoard()
        self._smp_default = smp_default
        self._later: list[tuple[int, Callable[[int], None]]] = []
        self._quotes = quotes
        self._new_id = new_id
        self._account = store.account()
        self._listeners: list[Listener] = []
        self._resting: dict[str, dict[str, Order]] = {}
        for order in store.open_orders():
            self._rest(order)

    @property
    def account(self) -> Account:
        return self._account

    @property
    def resting_markets(self) -> set[str]:
        """Markets whose trades may fill an order."""
        return {market for market, orders in self._resting.items() if orders}

    def place(self, fields: Mapping[str, Any], at_ms: int) -> dict[str, Any]:
        """Take an order and fill it at the book of this moment; give it as it was on acceptance, still `wait`.

        An identifier is used up by its first request, also by one that is refused.

        Raises:
            RefusedError: the order does not exist.
        """
        identifier = identifier_of(fields)
        if identifier is not None and not self._store.use_identifier(identifier):
            raise order_refusal("duplicated_identifier", "The identifier was used before.")
        ticket, levels = self._checked(fields, at_ms)
        accepted, account = self._accepted(ticket, at_ms)
        across = [one for one in self._resting.get(ticket.market, {}).values() if one.side != ticket.side]
        self._keep(match(accepted, account, levels, at_ms, self._new_id, across, self._smp_default), at_ms, accepted)
        return order_object(accepted)

    def test(self, fields: Mapping[str, Any], at_ms: int) -> dict[str, Any]:
        """Check an order as `place` does and give what it would be; nothing is kept, its identifier stays free."""
        ticket, _ = self._checked(fields, at_ms)
        return order_object(self._accepted(ticket, at_ms)[0])

    def cancel(self, uuid: str | None, identifier: str | None, at_ms: int) -> dict[str, Any]:
        """Cancel an open order; give it as it was before, as the exchange does.

        Raises:
            RefusedError: 404 `order_not_found` when there is no such open order.
        """
        order = self._find(uuid, identifier)
        if not order.is_open:
            raise _not_found()
        self._cancel(order.uuid, at_ms)
        return order_object(order)

    def cancel_and_new(self, fields: Mapping[str, Any], at_ms: int) -> dict[str, Any]:
        """Cancel an order and put another in its place once that is done; give the old one and the new one's names.

        Raises:
            RefusedError: nothing was changed.
        """
        texts = {name: value for name, value in fields.items() if isinstance(value, str)}
        order = self._find(texts.get("prev_order_uuid"), texts.get("prev_order_identifier"))
        if not order.is_open:
            raise _not_found()
        wanted = replacement(fields, order)
        self._checked(wanted, at_ms)
        identifier = identifier_of(wanted)
        if identifier is not None and not self._store.use_identifier(identifier):
            raise order_refusal("duplicated_identifier", "The identifier was used before.")
        new_uuid = self._new_id()
        is_rest = texts.get("new_volume") == REMAIN_ONLY

        def replace(when_ms: int) -> None:
            self._replace(order.uuid, new_uuid, wanted, when_ms, is_rest=is_rest)

        self._cancel(order.uuid, at_ms, replace)
        names = {"new_order_uuid": new_uuid, "new_order_identifier": identifier}
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
        orders = [one for book in self._resting.values() for one in book.values() if wanted.passes(one)]
        orders.sort(key=lambda one: one.created_ms, reverse=wanted.newest_first)
        return self._cancel_all(orders[: wanted.count], [], at_ms)

    def advance(self, at_ms: int) -> None:
        """Do what was put off until now."""
        due = [one for one in self._later if one[0] <= at_ms]
        self._later = [one for one in self._later if one[0] > at_ms]
        for when_ms, act in due:
            act(when_ms)

    def named(self, uuids: Sequence[str], identifiers: Sequence[str], *, newest_first: bool) -> list[dict[str, Any]]:
        """Give orders by their ids, without their trades."""
        found = self._store.named(uuids=uuids, identifiers=identifiers, newest_first=newest_first)
        return [order_object(order) for order in found]

    def order(self, uuid: str | None, identifier: str | None) -> dict[str, Any]:
        """Give one order with its trades, open or ended.

        Raises:
            RefusedError: 404 `order_not_found`.
        """
        return order_object(self._find(uuid, identifier), with_trades=True)

    def orders(
        self, states: Sequence[str], market: str | None, start_ms: int, end_ms: int, limit: int, *, newest_first: bool
    ) -> list[dict[str, Any]]:
        """Give orders accepted in `[start_ms, end_ms)`, without their trades."""
        found = self._store.orders(states, market, start_ms, end_ms, limit, newest_first=newest_first)
        return [order_object(order) for order in found]

    def balances(self) -> list[dict[str, str | bool]]:
        """Give KRW and every currency that is held."""
        holdings = {QUOTE: self._account.holding(QUOTE), **self._account.holdings}
        return [
            balance_object(currency, holding)
            for currency, holding in holdings.items()
            if holding.total or currency == QUOTE
        ]

    def chance(self, market: str, at_ms: int) -> dict[str, Any]:
        """Give what may be ordered in a market: fees, limits and the two balances."""
        self._require_known(market)
        base, fee, least = base_of(market), plain(fee_rate(market, at_ms)), plain(min_total(market, at_ms))
        kinds = ["best_fok", "best_ioc", "limit", "limit_fok", "limit_ioc"]
        return {
            "bid_fee": fee,
            "ask_fee": fee,
            "maker_bid_fee": fee,
            "maker_ask_fee": fee,
            "market": {
                "id": market,
                "name": f"{base}/{QUOTE}",
                "order_types": ["limit"],
                "order_sides": ["ask", "bid"],
                "bid_types": [*kinds, "price"],
                "ask_types": [*kinds, "market"],
                "bid": {"currency": QUOTE, "min_total": least},
                "ask": {"currency": base, "min_total": least},
                "max_total": plain(max_total(market, at_ms)),
                "state": "active" if self._quotes.is_trading(market, at_ms) else "preview",
            },
            "bid_account": balance_object(QUOTE, self._account.holding(QUOTE)),
            "ask_account": balance_object(base, self._account.holding(base)),
        }

    def on_trade(self, market: str, price: float, ts_ms: int) -> None:
        """Fill the resting orders that a trade of the market passed."""
        resting = self._resting.get(market)
        if not resting:
            return
        printed = Decimal(repr(price))
        for order in [order for order in resting.values() if is_passed_by(order, printed, ts_ms)]:
            self._keep(fill_resting(order, self._account, ts_ms, self._new_id()), ts_ms)

    def counts(self) -> Counts:
        return self._store.counts()

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every change from now on, in order, after it is on disk."""
        self._listeners.append(listener)

    def _checked(self, fields: Mapping[str, Any], at_ms: int) -> tuple[Ticket, Sequence[Level]]:
        ticket = parse_ticket(fields)
        self._require_trading(ticket.market, at_ms)
        levels = self._quotes.levels(ticket.market, ticket.side, at_ms)
        check_rules(ticket, self._quotes.last_price(ticket.market, at_ms), levels, at_ms)
        return ticket, levels

    def _accepted(self, ticket: Ticket, at_ms: int, uuid: str | None = None) -> Step:
        return accept(ticket, self._account, fee_rate(ticket.market, at_ms), at_ms, uuid or self._new_id())

    def _cancel(self, uuid: str, at_ms: int, then: Callable[[int], None] | None = None) -> None:
        """End an open order, at once or, under a fault, later; `then` is called once that is done."""
        slow = self._board.strike("slow_cancel")
        if slow is not None:
            self._later.append((at_ms + slow.for_ms, lambda when_ms: self._end(uuid, when_ms, then)))
        else:
            self._end(uuid, at_ms, then)

    def _end(self, uuid: str, at_ms: int, then: Callable[[int], None] | None) -> None:
        order = self._store.find(uuid=uuid)
        if order is not None and order.is_open:  # it may have been filled while the cancel was on its way
            self._keep([(order, self._account), end(order, self._account, "cancel", at_ms)], at_ms)
            if then is not None:
                then(at_ms)

    def _replace(self, old_uuid: str, new_uuid: str, wanted: Mapping[str, Any], at_ms: int, *, is_rest: bool) -> None:
        old = self._store.find(uuid=old_uuid)
        assert old is not None, "an order that was cancelled is kept"
        if is_rest:
            wanted = {**wanted, "volume": plain(old.remaining)}
        try:
            ticket, levels = self._checked(wanted, at_ms)
            accepted, account = self._accepted(ticket, at_ms, new_uuid)
        except RefusedError:
            return  # the rest is too small, or the market has ended: the old one is cancelled and no new one comes
        across = [one for one in self._resting.get(ticket.market, {}).values() if one.side != ticket.side]
        self._keep(match(accepted, account, levels, at_ms, self._new_id, across, self._smp_default), at_ms, accepted)

    def _cancel_all(self, orders: Sequence[Order], missing: list[dict[str, str]], at_ms: int) -> dict[str, Any]:
        failed = missing + [_named(one) for one in orders if not one.is_open]
        done = [one for one in orders if one.is_open]
        for one in done:
            self._cancel(one.uuid, at_ms)
        return {
            "success": {"count": len(done), "orders": [_named(one) for one in done]},
            "failed": {"count": len(failed), "orders": failed},
        }

    def _keep(self, steps: Sequence[Step], at_ms: int, accepted: Order | None = None) -> None:
        """Write what orders went through and tell of it; `accepted` is the one that is new."""
        before, account = self._account, steps[-1][1]
        paths: dict[str, list[Order]] = {}
        for order, _ in steps:
            known = self._resting.get(order.market, {}).get(order.uuid)
            paths.setdefault(order.uuid, [] if known is None or known == order else [known]).append(order)
        self._store.save([path[-1] for path in paths.values()], account)
        self._account = account
        for path in paths.values():
            order = path[-1]
            self._resting.get(order.market, {}).pop(order.uuid, None)
            if order.is_open:
                self._rest(order)
        for path in paths.values():
            is_new = accepted is not None and path[-1].uuid == accepted.uuid
            for change in order_changes(path, at_ms, is_new=is_new):
                self._tell(change)
        if (moved := asset_change(before, account, at_ms)) is not None:
            self._tell(moved)

    def _tell(self, change: OrderChange | AssetChange) -> None:
        for listener in self._listeners:
            listener(change)

    def _rest(self, order: Order) -> None:
        self._resting.setdefault(order.market, {})[order.uuid] = order

    def _find(self, uuid: str | None, identifier: str | None) -> Order:
        if uuid is None and identifier is None:
            raise order_refusal("validation_error", "uuid or identifier is missing.")
        order = self._store.find(uuid=uuid, identifier=identifier)
        if order is None:
            raise _not_found()
        return order

    def _require_known(self, market: str) -> None:
        if not self._quotes.is_known(market):
            raise order_refusal("notfoundmarket", f"{market[:40]} is not a market here.")

    def _require_trading(self, market: str, at_ms: int) -> None:
        self._require_known(market)
        # A book that stands still for ever would fill orders at a price that nobody quotes any more.
        if not self._quotes.is_trading(market, at_ms):
            raise RefusedError(403, "market_offline", f"{market} has no price: its recording has not begun or is over.")


def _not_found() -> RefusedError:
    return RefusedError(404, "order_not_found", "There is no such order.")


def _named(order: Order) -> dict[str, str]:
    names = {"uuid": order.uuid, "market": order.market, "identifier": order.identifier}
    return {name: value for name, value in names.items() if value is not None}
