"""The exchange's REST side: public data, and one account."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from tickloop.domain.market import Candle, Side, Trade
from tickloop.domain.orders import OrderEvent
from tickloop.domain.window import Window


class MarketData(Protocol):
    """Public REST. Reads are retried inside, within the rate budget; `RetryableError` after the last try.

    Safe to use from several threads at once: the budget is shared, the connections are pooled.
    """

    def markets(self) -> list[str]:
        """Give the codes of all markets on offer."""

    def candles(self, market: str, window: Window) -> list[Candle]:
        """Give the one-minute candles that exist in the window, oldest first. Empty minutes are absent.

        Raises:
            UnknownMarketError: if the exchange does not know the market.
        """

    def trades(self, market: str, window: Window) -> list[Trade]:
        """Give the trades of the window that the exchange still has, in exchange order (oldest first).

        `arrival` and `ts_received_ns` are 0: the journal sets them. `source` is REST.
        """


@dataclass(frozen=True)
class OrderRequest:
    """A market order: a buy spends `krw`, a sell gives away `qty`; exactly one of them is set."""

    client_order_id: str
    market: str
    side: Side
    krw: Decimal | None = None
    qty: Decimal | None = None


@dataclass(frozen=True)
class VenueFill:
    price: Decimal
    qty: Decimal
    funds: Decimal
    ts_ms: int


@dataclass(frozen=True)
class VenueOrder:
    """The exchange's view of one order. `is_closed` when it can fill no more, whatever it executed."""

    client_order_id: str
    venue_order_id: str
    market: str
    side: Side
    is_closed: bool
    executed_qty: Decimal
    executed_funds: Decimal
    paid_fee: Decimal
    fills: tuple[VenueFill, ...] = ()


@dataclass(frozen=True)
class Balance:
    currency: str
    available: Decimal
    locked: Decimal


class Broker(Protocol):
    """Private side of an exchange, or of a paper account."""

    async def place(self, request: OrderRequest) -> VenueOrder:
        """Send one order, once.

        Raises:
            RejectedError: the exchange refused it; it does not exist.
            UnknownOutcomeError: the answer was lost; `find` the client_order_id before anything else.
        """

    async def find(self, client_order_id: str) -> VenueOrder | None:
        """Give the order, or None when the exchange has none under this id."""

    async def balances(self) -> list[Balance]: ...

    async def close(self) -> None: ...


class OrderLog(Protocol):
    """The bot's durable record of its orders."""

    def append(self, event: OrderEvent) -> None:
        """Write one event and return once it survives a power cut."""

    def read(self) -> list[OrderEvent]:
        """Give all events, oldest first; `DataError` names a line that is none."""

    def close(self) -> None: ...
