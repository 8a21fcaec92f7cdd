"""Upbit's private WebSocket messages, as typed values under their DEFAULT names. Money is exact, as in the JSON text.

Source: Upbit developer centre, WebSocket reference: myOrder, myAsset; the page on self-match prevention.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tickloop.adapters.upbit.events import Code, Millis, TakerSide

_MOST_DIGITS = 40
"""Digits on either side of the point: far beyond any amount, and short enough to compute with."""

Currency = Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,20}$")]
OrderState = Literal["wait", "watch", "trade", "done", "cancel", "prevented"]


def check_amount(name: str, value: Decimal | None) -> None:
    """Refuse what is no amount of money.

    Raises:
        ValueError: not finite, below 0, or longer than any amount.
    """
    if value is None:
        return
    is_written_out = value.is_finite() and abs(value.adjusted()) < _MOST_DIGITS and len(str(value)) < 2 * _MOST_DIGITS
    if not is_written_out or value < 0:
        raise ValueError(f"{name} = {str(value)[:60]} is not an amount: finite, 0 or more, below 1e{_MOST_DIGITS}")


class MyOrderEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="myOrder"):
    """A change of one of our orders; `ask_bid` is our own side, ASK sells.

    In state `trade`, `price` and `volume` are those of the fill, and `trade_fee`, `is_maker` and `trade_uuid` are set;
    in every other state they are the order's, and those three are None. `prevented` says that self-match prevention
    has cut the order.
    """

    code: Code
    uuid: str
    ask_bid: TakerSide
    order_type: Literal["limit", "price", "market", "best"]
    state: OrderState
    timestamp: Millis
    trade_uuid: str | None = None
    price: Decimal | None = None
    avg_price: Decimal | None = None
    volume: Decimal | None = None
    remaining_volume: Decimal | None = None
    executed_volume: Decimal | None = None
    trades_count: Annotated[int, Meta(ge=0)] | None = None
    reserved_fee: Decimal | None = None
    remaining_fee: Decimal | None = None
    paid_fee: Decimal | None = None
    locked: Decimal | None = None
    executed_funds: Decimal | None = None
    time_in_force: str | None = None
    trade_fee: Decimal | None = None
    is_maker: bool | None = None
    identifier: str | None = None
    smp_type: str | None = None
    prevented_volume: Decimal | None = None
    prevented_locked: Decimal | None = None
    trade_timestamp: Millis | None = None
    order_timestamp: Millis | None = None
    stream_type: str | None = None

    def __post_init__(self) -> None:
        for name in _AMOUNTS:
            check_amount(name, getattr(self, name))


_AMOUNTS = (
    "price", "avg_price", "volume", "remaining_volume", "executed_volume", "reserved_fee", "remaining_fee",
    "paid_fee", "locked", "executed_funds", "trade_fee", "prevented_volume", "prevented_locked",
)  # fmt: skip


class Asset(msgspec.Struct, frozen=True):
    """What the account has of one currency: `balance` is free, `locked` stands in open orders."""

    currency: Currency
    balance: Decimal
    locked: Decimal

    def __post_init__(self) -> None:
        check_amount("balance", self.balance)
        check_amount("locked", self.locked)


class MyAssetEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="myAsset"):
    """A change of the account; currencies that are not named have not changed."""

    asset_uuid: str
    assets: tuple[Asset, ...]
    asset_timestamp: Millis
    timestamp: Millis
    stream_type: str | None = None


PrivateEvent = MyOrderEvent | MyAssetEvent
