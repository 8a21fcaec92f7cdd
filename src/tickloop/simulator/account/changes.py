"""What happens to the account, in order, for those who must tell its owner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tickloop.simulator.account.balances import Account, Holding
from tickloop.simulator.account.order import Fill, Order

ChangeKind = Literal["wait", "trade", "done", "cancel", "prevented"]


@dataclass(frozen=True)
class OrderChange:
    """One step of an order.

    Attributes:
        order: as it is after the step.
        fill: of a `trade`.
        is_maker: of a `trade`: the order stood in the book.
    """

    kind: ChangeKind
    order: Order
    at_ms: int
    fill: Fill | None = None
    is_maker: bool = False


@dataclass(frozen=True)
class AssetChange:
    """Balances that a step changed, as they are after it."""

    holdings: Mapping[str, Holding]
    at_ms: int


Listener = Callable[[OrderChange | AssetChange], None]


def order_changes(before: Order | None, after: Order, at_ms: int, *, is_new: bool) -> Iterator[OrderChange]:
    """Yield what happened to an order in one step: wait, or a trade, or a part prevented, and then its end.

    The order of the exchange's own messages is not documented; this one is our choice.

    Args:
        before: None of an order that was accepted just now.
        after: with at most one fill more.
        is_new: the order was accepted in the same breath, so its fills are a taker's.
    """
    if before is None:
        yield OrderChange("wait", after, at_ms)
        return
    if len(after.fills) > len(before.fills):
        yield OrderChange("trade", after, at_ms, after.fills[-1], is_maker=not is_new)
    if after.prevented_volume != before.prevented_volume:
        yield OrderChange("prevented", after, at_ms)
    if before.is_open and not after.is_open:
        yield OrderChange("done" if after.state == "done" else "cancel", after, at_ms)


def asset_change(before: Account, after: Account, at_ms: int) -> AssetChange | None:
    """Give the balances that differ, or None when none does."""
    currencies = [*before.holdings, *(one for one in after.holdings if one not in before.holdings)]
    changed = {one: after.holding(one) for one in currencies if before.holding(one) != after.holding(one)}
    return AssetChange(changed, at_ms) if changed else None
