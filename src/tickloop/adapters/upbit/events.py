"""Upbit's public WebSocket messages, as typed values under their DEFAULT names. Unknown fields are allowed and ignored.

Source: Upbit developer centre, WebSocket reference: ticker, trade, orderbook, candle; errors and status.
"""

from __future__ import annotations

import decimal
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

INT64_MAX = 2**63 - 1
YEAR_9999_MS = 253_402_300_799_999

_CODE_PATTERN = r"^[A-Z0-9]{1,10}-[A-Z0-9]{1,20}\Z"  # `$` would let a line break pass
Code = Annotated[str, Meta(pattern=_CODE_PATTERN)]
Price = Annotated[float, Meta(gt=0)]
Amount = Annotated[float, Meta(ge=0)]
Millis = Annotated[int, Meta(ge=0, le=YEAR_9999_MS)]
Nanos = Annotated[int, Meta(ge=0, le=INT64_MAX)]
TradeId = Annotated[int, Meta(ge=0, le=INT64_MAX)]
CandleStart = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$")]
ChangeWord = Literal["RISE", "EVEN", "FALL"]
TakerSide = Literal["ASK", "BID"]

# A rounded or cut quantity would break the ledger's exact sums, so anything inexact raises.
_EXACT = decimal.Context(prec=40, traps=[decimal.Inexact, decimal.InvalidOperation, decimal.Overflow])
_quantize = _EXACT.quantize
_ZERO, _UNITS, _UNIT = Decimal(0), Decimal(10**8), Decimal("1e-8")
_MOST = Decimal(INT64_MAX) / _UNITS

_CODE = re.compile(_CODE_PATTERN)
_MOST_CODES = 4_096
_codes: set[str] = set()


def check_code(code: str) -> None:
    """Check the code of a market, a new one by its pattern, one that was right before by a look.

    The pattern takes longer than all other checks of a ticker. At most 4,096 codes are remembered, then none for a
    moment.

    Raises:
        ValueError: it is no code; the message ends with the field's path, as those of msgspec do.
    """
    if code in _codes:
        return
    if _CODE.search(code) is None:
        raise ValueError(f"Expected `str` matching regex {_CODE_PATTERN!r} - at `$.code`")
    if len(_codes) >= _MOST_CODES:
        _codes.clear()
    _codes.add(code)


def check_volume(volume: Decimal) -> None:
    """Check that a quantity is a whole number of 1e-8, above 0 and within int64.

    Raises:
        ValueError: not finite, not positive, over int64, or with more than 8 decimals; the message names the value.
    """
    # Decimals all through, and no call that is not needed: every trade comes by here.
    try:
        if _ZERO < volume <= _MOST:
            _quantize(volume, _UNIT)
            return
    except decimal.Inexact as exc:
        raise ValueError(f"quantity {volume} has more than 8 decimals") from exc
    except decimal.InvalidOperation:
        pass  # what is no number cannot be compared
    raise ValueError(f"quantity {volume} is not a number above 0 and below {_MOST:.0f}")


def qty_e8_of(volume: Decimal) -> int:
    """Give a quantity in whole units of 1e-8.

    Raises:
        ValueError: as `check_volume`.
    """
    check_volume(volume)
    return _units(volume)


def _units(volume: Decimal) -> int:
    return int(_EXACT.multiply(volume, _UNITS))


class TradeEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="trade"):
    """One trade. `ask_bid` is the side of the taker; `trade_volume` is exact, as in the JSON text."""

    code: str
    trade_price: Price
    trade_volume: Decimal
    ask_bid: TakerSide
    change: ChangeWord
    trade_timestamp: Millis
    sequential_id: TradeId
    timestamp: Millis | None = None
    stream_type: str | None = None

    def __post_init__(self) -> None:
        if self.code not in _codes:
            check_code(self.code)
        try:
            check_volume(self.trade_volume)
        except ValueError as exc:
            raise ValueError(f"{exc} - at `$.trade_volume`") from exc

    @property
    def qty_e8(self) -> int:
        return _units(self.trade_volume)  # checked when it was made


class TickerEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="ticker"):
    """The rolling summary of one market; no trade."""

    code: str
    timestamp: Millis
    trade_timestamp: Millis
    trade_price: Price
    change: ChangeWord
    prev_closing_price: Price | None = None
    signed_change_rate: float | None = None
    acc_trade_price_24h: Amount | None = None
    acc_trade_volume_24h: Amount | None = None
    market_state: str | None = None  # PREVIEW, ACTIVE or DELISTED
    stream_type: str | None = None

    def __post_init__(self) -> None:
        if self.code not in _codes:
            check_code(self.code)


class OrderbookUnit(msgspec.Struct, frozen=True):
    ask_price: Amount  # 0 where a thin book has no level
    bid_price: Amount
    ask_size: Amount
    bid_size: Amount


class OrderbookEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="orderbook"):
    """The whole book as far as it is sent, best first; never a change to an earlier one."""

    code: str
    timestamp: Millis
    total_ask_size: Amount
    total_bid_size: Amount
    orderbook_units: tuple[OrderbookUnit, ...]
    level: float = 0
    stream_type: str | None = None

    def __post_init__(self) -> None:
        if self.code not in _codes:
            check_code(self.code)


class CandleEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """The candle that is open, or the newest that exists: sent again at each change, the last one of a start counts.

    It is closed when a later start arrives or the clock passes its end; no message says so.
    """

    code: Code
    candle_date_time_utc: CandleStart
    opening_price: Price
    high_price: Price
    low_price: Price
    trade_price: Price
    candle_acc_trade_volume: Amount
    candle_acc_trade_price: Amount
    timestamp: Millis
    candle_date_time_kst: CandleStart | None = None
    stream_type: str | None = None

    @property
    def type(self) -> str:
        """Give the message type, such as `candle.1m`."""
        return str(self.__struct_config__.tag)

    @property
    def start(self) -> datetime:
        """Give the beginning of the interval; the exchange writes it without a zone."""
        return datetime.fromisoformat(self.candle_date_time_utc).replace(tzinfo=UTC)

    def __post_init__(self) -> None:
        datetime.fromisoformat(self.candle_date_time_utc)  # a pattern lets the 31st of February pass


# Nine names and not one with a field: msgspec tells a union's members apart by their tags.
class Candle1s(CandleEvent, frozen=True, kw_only=True, tag="candle.1s"): ...


class Candle1m(CandleEvent, frozen=True, kw_only=True, tag="candle.1m"): ...


class Candle3m(CandleEvent, frozen=True, kw_only=True, tag="candle.3m"): ...


class Candle5m(CandleEvent, frozen=True, kw_only=True, tag="candle.5m"): ...


class Candle10m(CandleEvent, frozen=True, kw_only=True, tag="candle.10m"): ...


class Candle15m(CandleEvent, frozen=True, kw_only=True, tag="candle.15m"): ...


class Candle30m(CandleEvent, frozen=True, kw_only=True, tag="candle.30m"): ...


class Candle60m(CandleEvent, frozen=True, kw_only=True, tag="candle.60m"): ...


class Candle240m(CandleEvent, frozen=True, kw_only=True, tag="candle.240m"): ...


AnyCandle = Candle1s | Candle1m | Candle3m | Candle5m | Candle10m | Candle15m | Candle30m | Candle60m | Candle240m

CANDLES: dict[type[CandleEvent], str] = {cls: str(cls.__struct_config__.tag) for cls in get_args(AnyCandle)}
"""Class of a candle message -> its type, such as `candle.1m`."""


class StatusEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to a text PING."""

    status: str


class ExchangeErrorEvent(msgspec.Struct, frozen=True):
    """The exchange refused a request on the socket."""

    name: str
    message: str = ""


MarketEvent = TradeEvent | TickerEvent | OrderbookEvent | CandleEvent
"""What the journal keeps."""
