"""What an order request must be: its fields, the exchange's combinations of them, and the rules of the market."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, cast, get_args

from tickloop.domain.rules import floor_qty, max_total, min_total, tick_size
from tickloop.simulator.account.balances import EXACT, ZERO, plain, plus, times
from tickloop.simulator.account.order import ASK, BID, Order, OrderSide, OrderType
from tickloop.simulator.prices.book import Level
from tickloop.simulator.refusal import RefusedError, order_refusal

MAX_IDENTIFIER = 64
REMAIN_ONLY = "remain_only"
SMP_TYPES = frozenset({"reduce", "cancel_maker", "cancel_taker", "none"})

_SHAPES: dict[tuple[str, str], tuple[bool, bool]] = {
    # (ord_type, side): (price is given, volume is given); any other combination is refused.
    ("limit", BID): (True, True),
    ("limit", ASK): (True, True),
    ("price", BID): (True, False),
    ("market", ASK): (False, True),
    ("best", BID): (True, False),
    ("best", ASK): (False, True),
}
_TIMES_IN_FORCE: dict[str, frozenset[str | None]] = {
    "limit": frozenset({None, "ioc", "fok", "post_only"}),
    "price": frozenset({None}),
    "market": frozenset({None}),
    "best": frozenset({"ioc", "fok"}),
}


@dataclass(frozen=True)
class Ticket:
    """An order request whose form is right; `price` is KRW to spend where there is no volume in a buy."""

    market: str
    side: OrderSide
    ord_type: OrderType
    price: Decimal | None
    volume: Decimal | None
    time_in_force: str | None
    identifier: str | None
    smp_type: str | None


def parse_ticket(fields: Mapping[str, Any]) -> Ticket:
    """Read the JSON body of `POST /v1/orders`.

    Raises:
        RefusedError: 400 with the exchange's name; names that the documentation leaves open are our choice.
    """
    side = cast("OrderSide", _one_of(fields, "side", get_args(OrderSide)))
    ord_type = cast("OrderType", _one_of(fields, "ord_type", get_args(OrderType)))
    price, volume = _amount(fields, "price", side), _amount(fields, "volume", side)
    if _SHAPES.get((ord_type, side)) != (price is not None, volume is not None):
        raise order_refusal(f"create_{side}_error", f"This {ord_type} order has the wrong of price and volume.")
    time_in_force = _text(fields, "time_in_force")
    if time_in_force not in _TIMES_IN_FORCE[ord_type]:
        raise order_refusal("invalid_time_in_force", f"time_in_force {time_in_force} does not go with {ord_type}.")
    smp_type = _text(fields, "smp_type")
    if smp_type is not None and smp_type not in SMP_TYPES:
        raise order_refusal("invalid_parameter", f"smp_type {smp_type} is not one of {', '.join(sorted(SMP_TYPES))}.")
    if smp_type is not None and time_in_force == "post_only":
        raise order_refusal("invalid_post_only", "A post_only order takes no smp_type.")
    return Ticket(
        _required(fields, "market"), side, ord_type, price, volume, time_in_force, identifier_of(fields), smp_type
    )


def replacement(fields: Mapping[str, Any], order: Order) -> dict[str, Any]:
    """Give the fields of the order that `cancel_and_new` asks for, as `POST /v1/orders` would have them.

    `new_volume` may be `remain_only`; until the old order has ended, what remains of it stands for it.
    """
    wanted = {name.removeprefix("new_"): value for name, value in fields.items() if name.startswith("new_")}
    if wanted.get("volume") == REMAIN_ONLY:
        wanted["volume"] = plain(order.remaining)
    return {**wanted, "market": order.market, "side": order.side}


def identifier_of(fields: Mapping[str, Any]) -> str | None:
    """Give the client's own id, or None when the request has none."""
    identifier = _text(fields, "identifier")
    if identifier is not None and not 0 < len(identifier) <= MAX_IDENTIFIER:
        raise order_refusal("invalid_parameter", f"An identifier has 1 to {MAX_IDENTIFIER} characters.")
    return identifier


def check_rules(ticket: Ticket, last_price: Decimal, levels: Sequence[Level], at_ms: int) -> None:
    """Hold a ticket against price unit, least and greatest total, and the depth of the book.

    Args:
        last_price: values a market sell.
        levels: the side of the book that a market order would take, best first.

    Raises:
        RefusedError: 400 with the exchange's name.
    """
    if ticket.ord_type == "limit" and ticket.price is not None:
        tick = tick_size(ticket.market, ticket.price, at_ms)
        if EXACT.remainder(ticket.price, tick):
            raise order_refusal(f"invalid_price_{ticket.side}", f"The price is no multiple of {plain(tick)}.")
    total = total_of(ticket, last_price)
    if total < (least := min_total(ticket.market, at_ms)):
        raise order_refusal(f"under_min_total_{ticket.side}", f"The total {plain(total)} is below {plain(least)} KRW.")
    if total > (greatest := max_total(ticket.market, at_ms)):
        name = "over_krw_funds_bid" if ticket.side == BID else "volume_too_large"
        raise order_refusal(name, f"The total {plain(total)} is above {plain(greatest)} KRW.")
    if ticket.ord_type != "limit" and _depth(ticket, levels) < _size(ticket):
        raise order_refusal("volume_too_large", f"The order is larger than the {len(levels)} levels of the book.")


def total_of(ticket: Ticket, last_price: Decimal) -> Decimal:
    """Give price x volume in KRW, before fees."""
    if ticket.volume is None:
        return ticket.price or ZERO
    return times(last_price if ticket.price is None else ticket.price, ticket.volume)


def _size(ticket: Ticket) -> Decimal:
    return (ticket.price if ticket.volume is None else ticket.volume) or ZERO


def _depth(ticket: Ticket, levels: Sequence[Level]) -> Decimal:
    return plus(*(times(level.price, level.qty) if ticket.volume is None else level.qty for level in levels))


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise order_refusal("validation_error", f"{name} is not a string.")
    return value


def _required(fields: Mapping[str, Any], name: str) -> str:
    value = _text(fields, name)
    if not value:
        raise order_refusal("validation_error", f"{name} is missing.")
    return value


def _one_of(fields: Mapping[str, Any], name: str, valid: Sequence[str]) -> str:
    value = _required(fields, name)
    if value not in valid:
        raise order_refusal("invalid_parameter", f"{name} {value} is not one of {', '.join(valid)}.")
    return value


def _amount(fields: Mapping[str, Any], name: str, side: OrderSide) -> Decimal | None:
    """Read a decimal string, exponents included (`1e-05`, as one client sends); more than 8 decimals are cut off."""
    value = fields.get(name)
    if value is None:
        return None
    try:
        amount = floor_qty(Decimal(str(value)))
    except InvalidOperation as exc:
        raise _bad_amount(name, side, value) from exc
    if not (amount.is_finite() and amount > 0):
        raise _bad_amount(name, side, value)
    return amount


def _bad_amount(name: str, side: OrderSide, value: object) -> RefusedError:
    return order_refusal(f"invalid_{name}_{side}", f"{name} {str(value)[:40]!r} is not a decimal number above 0.")
