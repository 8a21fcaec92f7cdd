"""The account's keeper: balances and open orders in memory, every change on disk before anybody is told of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tickloop.simulator.account.changes import AssetChange, Listener, OrderChange, asset_change, order_changes
from tickloop.simulator.account.matching import Step
from tickloop.simulator.account.order import Order
from tickloop.simulator.account.state import Store
from tickloop.simulator.refusal import RefusedError, order_refusal


class Keeper:
    """One account. Nothing is lost when the process dies after a call has returned."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listeners: list[Listener] = []
        self._resting: dict[str, dict[str, Order]] = {}
        self.account = store.account()
        for order in store.open_orders():
            self._rest(order)

    @property
    def resting_markets(self) -> set[str]:
        """Markets whose trades may fill an order."""
        return {market for market, orders in self._resting.items() if orders}

    def resting(self, market: str) -> list[Order]:
        """Give the open orders of a market, the one accepted first at the front."""
        return list(self._resting.get(market, {}).values())

    def all_resting(self) -> list[Order]:
        return [order for orders in self._resting.values() for order in orders.values()]

    def find(self, uuid: str | None, identifier: str | None) -> Order:
        """Give an order, open or ended; `uuid` wins when both are given.

        Raises:
            RefusedError: 404 `order_not_found`, or 400 when neither is given.
        """
        if uuid is None and identifier is None:
            raise order_refusal("validation_error", "uuid or identifier is missing.")
        order = self._store.find(uuid=uuid, identifier=identifier)
        if order is None:
            raise not_found()
        return order

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every change from now on, in order, after it is on disk."""
        self._listeners.append(listener)

    def keep(self, steps: Sequence[Step], at_ms: int, new_uuid: str = "") -> list[OrderChange]:
        """Write what orders went through, then tell of it; give the same.

        Args:
            steps: in the order in which they happened; of a new order the first is its acceptance.
            new_uuid: of the order that is new.
        """
        before, account = self.account, steps[-1][1]
        changes = list(self._changes((order for order, _ in steps), at_ms, new_uuid))
        last = {order.uuid: order for order, _ in steps}
        self._store.save(last.values(), account)
        self.account = account
        for order in last.values():
            if order.is_open:
                self._rest(order)
            else:
                self._resting.get(order.market, {}).pop(order.uuid, None)
        for change in changes:
            self._tell(change)
        if (moved := asset_change(before, account, at_ms)) is not None:
            self._tell(moved)
        return changes

    def _changes(self, orders: Iterable[Order], at_ms: int, new_uuid: str) -> Iterable[OrderChange]:
        seen: dict[str, Order] = {}
        for order in orders:
            before = seen.get(order.uuid) or self._resting.get(order.market, {}).get(order.uuid)
            yield from order_changes(before, order, at_ms, is_new=order.uuid == new_uuid)
            seen[order.uuid] = order

    def _tell(self, change: OrderChange | AssetChange) -> None:
        for listener in self._listeners:
            listener(change)

    def _rest(self, order: Order) -> None:
        self._resting.setdefault(order.market, {})[order.uuid] = order


def not_found() -> RefusedError:
    return RefusedError(404, "order_not_found", "There is no such order.")
