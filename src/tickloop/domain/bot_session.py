"""What a bot's session holds beside the frames of its feed: the facts that its decisions rest on, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from tickloop.domain.forecast import Forecast
from tickloop.domain.market import Candle
from tickloop.domain.orders import OrderEvent
from tickloop.domain.purse import PurseState

FORMAT = 1
"""Of the facts; a session of another one is not replayed."""


@dataclass(frozen=True)
class Started:
    """The bot begins to read its feed. The first fact of every session.

    Attributes:
        params: the strategy's parameters by name.
        order_krw: KRW of one buy.
        orders_per_minute: the most orders in one market minute.
        sequence: orders of all sessions before.
        halted: market -> why it stands still from the start.
    """

    bot: str
    markets: tuple[str, ...]
    at_ms: int
    preset: str
    params: Mapping[str, int | float]
    order_krw: Decimal
    forecast_delay_ms: int
    orders_per_minute: int
    purse: PurseState
    sequence: int
    halted: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True)
class Seeded:
    """The start-up bars of a market."""

    market: str
    candles: tuple[Candle, ...]


@dataclass(frozen=True)
class StreamLost:
    """The feed was away; `since_ms` is None for its first connection."""

    since_ms: int | None
    until_ms: int


@dataclass(frozen=True)
class MinutesAsked:
    """Before the forecast of `minute_ms` the candles of these minutes had to be asked for."""

    market: str
    minute_ms: int
    missing: tuple[int, ...]


@dataclass(frozen=True)
class MinutesFilled:
    """The candles that were asked for have come; with a `reason` they have not."""

    market: str
    minutes: tuple[int, ...]
    candles: tuple[Candle, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Forecasted:
    """The forecast of a minute, usable from here on; None when the minute has none, with the reason where one was told.

    Attributes:
        bars: checksum of the closed bars that it was made from.
    """

    market: str
    minute_ms: int
    forecast: Forecast | None
    reason: str = ""
    bars: int = 0


@dataclass(frozen=True)
class Aged:
    """From this frame on trades were too old to order on, or no longer."""

    is_stale: bool


@dataclass(frozen=True)
class OrderNoted:
    """An order entered a state, and the order log has it."""

    event: OrderEvent


@dataclass(frozen=True)
class Ended:
    """The bot was asked to stop and has stopped. A session without it broke off."""

    at_ms: int


Fact = Started | Seeded | StreamLost | MinutesAsked | MinutesFilled | Forecasted | Aged | OrderNoted | Ended

FACTS: Mapping[str, type[Fact]] = {
    "started": Started,
    "seeded": Seeded,
    "lost": StreamLost,
    "asked": MinutesAsked,
    "filled": MinutesFilled,
    "forecast": Forecasted,
    "aged": Aged,
    "order": OrderNoted,
    "ended": Ended,
}
"""Name in the session log -> fact."""


@dataclass(frozen=True, order=True)
class Position:
    """After which frame of a session something happened: the line of a segment, counted from 1.

    Before the first frame the segment is empty and the line 0.
    """

    segment: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"line {self.line} of {self.segment}" if self.segment else "the start"
