"""An order as the exchange takes it: every kind that it offers, checked before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from tickloop.domain.market import Side
from tickloop.errors import UsageError

OrderType = Literal["limit", "price", "market", "best"]
TimeInForce = Literal["ioc", "fok", "post_only"]
SmpType = Literal["reduce", "cancel_maker", "cancel_taker", "none"]

MOST_IDENTIFIER = 64

_SHAPES: dict[tuple[OrderType, Side], tuple[bool, bool]] = {
    # (price is given, volume is given); any other combination is refused.
    ("limit", Side.BUY): (True, True),
    ("limit", Side.SELL): (True, True),
    ("price", Side.BUY): (True, False),
    ("market", Side.SELL): (False, True),
    ("best", Side.BUY): (True, False),
    ("best", Side.SELL): (False, True),
}
_TIMES: dict[OrderType, tuple[TimeInForce | None, ...]] = {
    "limit": (None, "ioc", "fok", "post_only"),
    "price": (None,),
    "market": (None,),
    "best": ("ioc", "fok"),
}
_REPLACED_PRICES: dict[OrderType, tuple[bool, ...]] = {
    "limit": (True,),
    "price": (True,),
    "market": (False,),
    "best": (True, False),  # the side, which stays, decides; it is not known here
}


@dataclass(frozen=True)
class NewOrder:
    """One order; `UsageError` names what does not go together and what would.

    Attributes:
        price: KRW per unit of a limit order; KRW to spend of a market or best buy.
        volume: base units; None where an amount of KRW is spent.
        identifier: our own id, unique for ever, also when the order is refused.

    Source: Upbit developer centre, create order.
    """

    market: str
    side: Side
    ord_type: OrderType
    price: Decimal | None = None
    volume: Decimal | None = None
    time_in_force: TimeInForce | None = None
    identifier: str | None = None
    smp_type: SmpType | None = None

    def __post_init__(self) -> None:
        shape = _SHAPES.get((self.ord_type, self.side))
        what = f"{self.ord_type} {self.side.value} order of {self.market}"
        if shape is None:
            kinds = ", ".join(kind for kind, side in _SHAPES if side is self.side)
            raise UsageError(f"{what}: there is none; valid for a {self.side.value}: {kinds}")
        if shape != (self.price is not None, self.volume is not None):
            needed = " and ".join(name for name, is_needed in zip(("price", "volume"), shape, strict=True) if is_needed)
            raise UsageError(f"{what}: price = {self.price}, volume = {self.volume}; valid: {needed} and nothing else")
        _check_common(what, self)

    def pairs(self) -> list[tuple[str, str]]:
        """Give the body in the order in which it is signed; absent values are left out."""
        fields = {
            "market": self.market,
            "side": "bid" if self.side is Side.BUY else "ask",
            "ord_type": self.ord_type,
            "price": None if self.price is None else plain(self.price),
            "volume": None if self.volume is None else plain(self.volume),
            "identifier": self.identifier,
            "time_in_force": self.time_in_force,
            "smp_type": self.smp_type,
        }
        return [(name, value) for name, value in fields.items() if value is not None]


@dataclass(frozen=True)
class Replacement:
    """What takes the place of an order that is cancelled; market and side stay.

    Attributes:
        volume: None takes what remains of the old one, or nothing where an amount of KRW is spent.

    Source: Upbit developer centre, cancel and new.
    """

    ord_type: OrderType
    price: Decimal | None = None
    volume: Decimal | None = None
    identifier: str | None = None
    time_in_force: TimeInForce | None = None
    smp_type: SmpType | None = None

    def __post_init__(self) -> None:
        what = f"replacement by a {self.ord_type} order"
        valid = _REPLACED_PRICES.get(self.ord_type)
        if valid is None:
            raise UsageError(f"{what}: there is none; valid: {', '.join(_REPLACED_PRICES)}")
        if (self.price is not None) not in valid:
            raise UsageError(f"{what}: price = {self.price}; valid: {'a price' if True in valid else 'none'}")
        if self._spends_krw and self.volume is not None:
            raise UsageError(f"{what}: volume = {self.volume} with an amount of KRW to spend; valid: none")
        _check_common(what, self)

    @property
    def _spends_krw(self) -> bool:
        return self.ord_type == "price" or (self.ord_type == "best" and self.price is not None)

    def pairs(self) -> list[tuple[str, str]]:
        """Give the `new_` fields of a cancel_and_new body."""
        volume = "remain_only" if self.volume is None and not self._spends_krw else self.volume
        fields = {
            "new_ord_type": self.ord_type,
            "new_price": None if self.price is None else plain(self.price),
            "new_volume": plain(volume) if isinstance(volume, Decimal) else volume,
            "new_identifier": self.identifier,
            "new_time_in_force": self.time_in_force,
            "new_smp_type": self.smp_type,
        }
        return [(name, value) for name, value in fields.items() if value is not None]


def _check_common(what: str, order: NewOrder | Replacement) -> None:
    for name, amount in (("price", order.price), ("volume", order.volume)):
        if amount is not None and not (amount.is_finite() and amount > 0):
            raise UsageError(f"{what}: {name} = {amount}; valid: a finite decimal above 0")
    if order.time_in_force not in _TIMES[order.ord_type]:
        valid = ", ".join(str(one) for one in _TIMES[order.ord_type])
        raise UsageError(f"{what}: time_in_force = {order.time_in_force}; valid: {valid}")
    if order.identifier is not None and not 0 < len(order.identifier) <= MOST_IDENTIFIER:
        raise UsageError(f"{what}: identifier of {len(order.identifier)} characters; valid: 1 to {MOST_IDENTIFIER}")
    if order.time_in_force == "post_only" and order.smp_type is not None:
        raise UsageError(f"{what}: smp_type = {order.smp_type} with post_only; valid: none")


def plain(amount: Decimal) -> str:
    """Write a decimal without an exponent."""
    return f"{amount:f}"
