"""How an order of the account meets the book: locks, fills, fees and ends. Pure; money is exact.

Prices come from a recording, so nobody else reacts: a fill takes the made book at the moment of acceptance, and a
resting order is filled whole, at its own price, by the first later trade strictly beyond that price. A trade at the
price itself fills nothing: who stood before us in the queue is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from tickloop.domain.rules import floor_qty
from tickloop.simulator.account import EXACT, QUOTE, ZERO, Account, base_of, times
from tickloop.simulator.book import Level
from tickloop.simulator.order import BID, Fill, Order, State
from tickloop.simulator.placing import Ticket
from tickloop.simulator.refusal import order_refusal

NewId = Callable[[], str]

Step = tuple[Order, Account]
"""An order and the account as they are after one change."""


def accept(ticket: Ticket, account: Account, fee_rate: Decimal, at_ms: int, uuid: str) -> tuple[Order, Account]:
    """Lock what the order may need.

    A buy locks price x volume x (1 + fee) or amount x (1 + fee), a sell its volume.

    Raises:
        RefusedError: `insufficient_funds_bid` or `_ask` when less than that is available.
    """
    size = (ticket.price if ticket.volume is None else ticket.volume) or ZERO
    fee = ZERO
    locked = size
    if ticket.side == BID:
        total = size if ticket.volume is None else times(ticket.price or ZERO, ticket.volume)
        fee = times(total, fee_rate)
        locked = EXACT.add(total, fee)
    order = Order(
        uuid=uuid,
        market=ticket.market,
        side=ticket.side,
        ord_type=ticket.ord_type,
        price=ticket.price,
        volume=ticket.volume,
        time_in_force=ticket.time_in_force,
        identifier=ticket.identifier,
        smp_type=ticket.smp_type,
        created_ms=at_ms,
        fee_rate=fee_rate,
        remaining=size,
        reserved_fee=fee,
        remaining_fee=fee,
        locked=locked,
    )
    if account.holding(order.lock_currency).available < locked:
        raise order_refusal(
            f"insufficient_funds_{ticket.side}", f"Less {order.lock_currency} than needed is available."
        )
    return order, account.moved(order.lock_currency, available=-locked, locked=locked)


def match(order: Order, account: Account, levels: Sequence[Level], at_ms: int, new_id: NewId) -> list[Step]:
    """Let a new order take the book; give every state it goes through, the accepted one first.

    A market buy ends `cancel` with what 8 decimals could not spend, `done` only if it divides exactly; a market sell
    ends `done`; of a limit order the rest stays, unless its time in force says otherwise.

    Args:
        levels: the opposite side, best first.
    """
    usable = [level for level in levels if _reaches(order, level.price)]
    if order.ord_type == "best":
        usable = usable[:1]
    steps: list[Step] = [(order, account)]
    if order.time_in_force == "post_only" and usable:
        return [*steps, end(order, account, "cancel", at_ms)]
    if order.time_in_force == "fok" and not _is_filled_by(order, usable):
        return [*steps, end(order, account, "cancel", at_ms)]
    for level in usable:
        volume = min(level.qty, _wanted(order, level.price))
        if volume <= 0:
            break
        order, account = fill(order, account, level.price, volume, at_ms, new_id(), is_taker=True)
        steps.append((order, account))
    if not order.remaining:
        steps.append(end(order, account, "done", at_ms))
    elif order.ord_type != "limit" or order.time_in_force in ("ioc", "fok"):
        steps.append(end(order, account, "cancel", at_ms))
    return steps


def is_passed_by(order: Order, price: Decimal, at_ms: int) -> bool:
    """Tell whether a trade printed strictly beyond the price of a resting order, after it was accepted."""
    if order.price is None or at_ms <= order.created_ms:
        return False
    return price < order.price if order.side == BID else price > order.price


def fill_resting(order: Order, account: Account, at_ms: int, uuid: str) -> list[Step]:
    """Fill all that is left of a resting limit order at its own price; give its states from before on."""
    filled = fill(order, account, order.price or ZERO, order.remaining, at_ms, uuid, is_taker=False)
    return [(order, account), filled, end(*filled, "done", at_ms)]


def end(order: Order, account: Account, state: State, at_ms: int) -> tuple[Order, Account]:
    """End an order and give its lock back to the account; the order object goes on showing what was left."""
    ended = msgspec.structs.replace(order, state=state, closed_ms=at_ms)
    return ended, account.moved(order.lock_currency, available=order.locked, locked=-order.locked)


def fill(
    order: Order, account: Account, price: Decimal, volume: Decimal, at_ms: int, uuid: str, *, is_taker: bool
) -> tuple[Order, Account]:
    """Execute a part of an order, fee included: on top of the funds of a buy, out of the funds of a sell."""
    is_buyer_taker = is_taker == (order.side == BID)
    funds = times(price, volume)
    fee = times(funds, order.fee_rate)
    base = base_of(order.market)
    released, released_fee = volume, ZERO
    if order.side == BID:
        # A limit buy had locked this part at its own price: what a better one saves is free again.
        reserved = funds if order.volume is None else times(order.price or ZERO, volume)
        released_fee = times(reserved, order.fee_rate)
        released = EXACT.add(reserved, released_fee)
        saved = EXACT.subtract(released, EXACT.add(funds, fee))
        account = account.moved(QUOTE, available=saved, locked=-released).bought(base, volume, funds)
    else:
        account = account.moved(base, locked=-volume).moved(QUOTE, available=EXACT.subtract(funds, fee))
    filled = msgspec.structs.replace(
        order,
        remaining=EXACT.subtract(order.remaining, funds if order.spends_krw else volume),
        remaining_fee=EXACT.subtract(order.remaining_fee, released_fee),
        locked=EXACT.subtract(order.locked, released),
        paid_fee=EXACT.add(order.paid_fee, fee),
        fills=(*order.fills, Fill(uuid, price, volume, at_ms, "up" if is_buyer_taker else "down")),
    )
    return filled, account


def _reaches(order: Order, price: Decimal) -> bool:
    if order.ord_type != "limit" or order.price is None:
        return True
    return price <= order.price if order.side == BID else price >= order.price


def _wanted(order: Order, price: Decimal) -> Decimal:
    return floor_qty(EXACT.divide(order.remaining, price)) if order.spends_krw else order.remaining


def _is_filled_by(order: Order, levels: Sequence[Level]) -> bool:
    left = order.remaining
    for level in levels:
        left = EXACT.subtract(left, times(level.price, level.qty) if order.spends_krw else level.qty)
    return left <= 0
