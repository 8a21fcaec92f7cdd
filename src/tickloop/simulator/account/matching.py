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
from tickloop.simulator.account.balances import EXACT, QUOTE, ZERO, Account, base_of, times
from tickloop.simulator.account.order import BID, Fill, Order, State
from tickloop.simulator.account.placing import Ticket
from tickloop.simulator.prices.book import Level
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


def match(
    order: Order,
    account: Account,
    levels: Sequence[Level],
    at_ms: int,
    new_id: NewId,
    own: Sequence[Order] = (),
    smp_default: str = "none",
) -> list[Step]:
    """Let a new order take the book; give every state that it and what it met went through, the accepted one first.

    A market buy ends `cancel` with what 8 decimals could not spend, `done` only if it divides exactly; a market sell
    ends `done`; of a limit order the rest stays, unless its time in force says otherwise. Where an order of the same
    account stands at least as well as the book, the mode of the taker decides (`smp_type`, else the default).

    Args:
        levels: the opposite side, best first.
        own: resting orders of the account on the opposite side.
    """
    steps: list[Step] = [(order, account)]
    mode = order.smp_type or smp_default
    queue = _best_first(order, levels, own)
    if order.time_in_force == "post_only" and queue:
        return [*steps, end(order, account, "cancel", at_ms)]
    if order.time_in_force == "fok" and not _is_filled_by(order, queue, mode):
        return [*steps, end(order, account, "cancel", at_ms)]
    for found in queue:
        if not order.is_open or not order.remaining:
            break
        if isinstance(found, Order):
            steps += meet(order, found, account, mode, at_ms, new_id)
        elif (volume := min(found.qty, _wanted(order, found.price))) > 0:
            steps.append(fill(order, account, found.price, volume, at_ms, new_id(), is_taker=True))
        order, account = _last_of(order.uuid, steps), steps[-1][1]
    if order.is_open and not order.remaining:
        steps.append(end(order, account, "done", at_ms))
    elif order.is_open and (order.ord_type != "limit" or order.time_in_force in ("ioc", "fok")):
        steps.append(end(order, account, "cancel", at_ms))
    return steps


def meet(taker: Order, maker: Order, account: Account, mode: str, at_ms: int, new_id: NewId) -> list[Step]:
    """Let two orders of one account meet at the maker's price.

    Source: Upbit developer centre, self-match prevention: `reduce` takes the smaller size off both, the other two
    cancel one of them; without prevention both fill.
    """
    price = maker.price or ZERO
    volume = min(maker.remaining, _wanted(taker, price))
    if volume <= 0:
        return []
    if mode == "cancel_maker":
        return [end(*prevent(maker, account, maker.remaining, at_price=price), "cancel", at_ms)]
    if mode == "cancel_taker":
        return [end(*prevent(taker, account, _wanted(taker, price), at_price=price), "cancel", at_ms)]
    if mode == "reduce":
        first = _cancelled_when_empty(*prevent(maker, account, volume, at_price=price), at_ms)
        return [first, _cancelled_when_empty(*prevent(taker, first[1], volume, at_price=price), at_ms)]
    sold = fill(maker, account, price, volume, at_ms, new_id(), is_taker=False)
    done = [] if sold[0].remaining else [end(*sold, "done", at_ms)]
    account = (done or [sold])[-1][1]
    return [sold, *done, fill(taker, account, price, volume, at_ms, new_id(), is_taker=True)]


def prevent(order: Order, account: Account, volume: Decimal, at_price: Decimal) -> Step:
    """Take a part off an order without executing it; its lock goes back to the account."""
    released, released_fee = volume, ZERO
    if order.side == BID:
        reserved = times(at_price if order.volume is None else order.price or ZERO, volume)
        released_fee = times(reserved, order.fee_rate)
        released = EXACT.add(reserved, released_fee)
    smaller = msgspec.structs.replace(
        order,
        remaining=EXACT.subtract(order.remaining, times(at_price, volume) if order.spends_krw else volume),
        remaining_fee=EXACT.subtract(order.remaining_fee, released_fee),
        locked=EXACT.subtract(order.locked, released),
        prevented_volume=EXACT.add(order.prevented_volume, volume),
        prevented_locked=EXACT.add(order.prevented_locked, released),
    )
    return smaller, account.moved(order.lock_currency, available=released, locked=-released)


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


def _best_first(order: Order, levels: Sequence[Level], own: Sequence[Order]) -> list[Level | Order]:
    """Put levels and own orders that an order reaches into the order in which it meets them.

    At one price the others stood first. A `best` order reaches the best price alone.
    """
    sign = 1 if order.side == BID else -1
    keyed: list[tuple[Decimal, int, int, Level | Order]] = [
        *((sign * level.price, 0, place, level) for place, level in enumerate(levels)),
        *((sign * (one.price or ZERO), 1, place, one) for place, one in enumerate(own)),
    ]
    keyed = sorted((one for one in keyed if _reaches(order, sign * one[0])), key=lambda one: one[:3])
    if order.ord_type == "best":
        keyed = [one for one in keyed if one[0] == keyed[0][0]]
    return [found for _, _, _, found in keyed]


def _last_of(uuid: str, steps: Sequence[Step]) -> Order:
    return next(order for order, _ in reversed(steps) if order.uuid == uuid)


def _cancelled_when_empty(order: Order, account: Account, at_ms: int) -> Step:
    return (order, account) if order.remaining else end(order, account, "cancel", at_ms)


def _reaches(order: Order, price: Decimal) -> bool:
    if order.ord_type != "limit" or order.price is None:
        return True
    return price <= order.price if order.side == BID else price >= order.price


def _wanted(order: Order, price: Decimal) -> Decimal:
    return floor_qty(EXACT.divide(order.remaining, price)) if order.spends_krw else order.remaining


def _is_filled_by(order: Order, queue: Sequence[Level | Order], mode: str) -> bool:
    """Tell whether an order would be executed whole; meeting an own order that cuts or ends it is not execution."""
    left = order.remaining
    for found in queue:
        if left <= 0:
            break
        if isinstance(found, Order):
            if mode == "cancel_maker":
                continue
            if mode != "none":
                return False
        price, volume = (found.price or ZERO, found.remaining) if isinstance(found, Order) else found
        left = EXACT.subtract(left, times(price, volume) if order.spends_krw else volume)
    return left <= 0
