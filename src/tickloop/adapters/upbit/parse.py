"""Bytes of one WebSocket message in, one typed event out. Pure: no socket, no clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import msgspec

from tickloop.adapters.upbit.events import (
    AnyCandle,
    ExchangeErrorEvent,
    MarketEvent,
    OrderbookEvent,
    StatusEvent,
    TickerEvent,
    TradeEvent,
)
from tickloop.adapters.upbit.private_events import PrivateEvent
from tickloop.adapters.upbit.simple import BAD_JSON as BAD_JSON
from tickloop.adapters.upbit.simple import spell_out
from tickloop.domain.market import Change, Side, Source, Trade
from tickloop.errors import CorruptLineError

SIDE_OF = {"BID": Side.BUY, "ASK": Side.SELL}
"""Upbit names the taker's side: BID means that a buyer hit an ask."""

E = TypeVar("E")

_CHANGE_OF = {change.value: change for change in Change}
_SHOWN = 120  # characters of a bad message that an error quotes

_PATH = re.compile(r"at `\$\.([^`]+)`")


# Unknown fields are refused here alone: a broken trade must not pass for a status because it has such a field.
class _Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    error: ExchangeErrorEvent


# msgspec builds the union from the classes with tags; to the reader each of these is a MarketEvent.
_EVENTS = cast(
    "msgspec.json.Decoder[MarketEvent]", msgspec.json.Decoder(TradeEvent | TickerEvent | OrderbookEvent | AnyCandle)
)
_PRIVATE_EVENTS = cast("msgspec.json.Decoder[PrivateEvent]", msgspec.json.Decoder(PrivateEvent))
_NO_EVENT = msgspec.json.Decoder(_Refusal)
_STATUS = msgspec.json.Decoder(StatusEvent)


def parse_frame(raw: bytes | str) -> MarketEvent | StatusEvent | ExchangeErrorEvent:
    """Read one message of the public stream, in any of its formats; DEFAULT is read at once, the others take longer.

    Raises:
        CorruptLineError: naming the field, its value and what would be valid.
    """
    try:
        return _EVENTS.decode(raw)
    except BAD_JSON as exc:
        return _parse_other(raw, _EVENTS, exc)


def parse_usual(messages: Sequence[bytes]) -> list[MarketEvent] | None:
    """Read messages of the public stream as long as all are data in DEFAULT format, which nearly all of them are.

    None when one is not: `parse_frame` tells each for itself.
    """
    try:
        return list(map(_EVENTS.decode, messages))
    except BAD_JSON:
        return None


def parse_private_frame(raw: bytes | str) -> PrivateEvent | StatusEvent | ExchangeErrorEvent:
    """Read one message of the private stream, in any of its formats.

    Raises:
        CorruptLineError: naming the field, its value and what would be valid.
    """
    try:
        return _PRIVATE_EVENTS.decode(raw)
    except BAD_JSON as exc:
        return _parse_other(raw, _PRIVATE_EVENTS, exc)


def trade_of(event: TradeEvent, ts_received_ns: int, arrival: int, source: Source = Source.STREAM) -> Trade:
    """Translate a trade message into the domain's trade."""
    return Trade(
        market=event.code,
        trade_id=event.sequential_id,
        ts_event_ms=event.trade_timestamp,
        ts_received_ns=ts_received_ns,
        arrival=arrival,
        price=event.trade_price,
        qty_e8=event.qty_e8,
        side=SIDE_OF[event.ask_bid],
        change=_CHANGE_OF[event.change],
        source=source,
    )


def explain(raw: bytes, exc: Exception) -> CorruptLineError:
    """Make the error that names field, value and valid form out of a failed decoding."""
    match = _PATH.search(str(exc))
    if match is None:
        return CorruptLineError(f"message {_quote(raw)} is not one of Upbit's: {exc}")
    path = match.group(1)
    wanted = str(exc).split(" - at ")[0]
    return CorruptLineError(f"message field {path} = {_value_at(raw, path)}: {wanted}")


def _parse_other(
    raw: bytes | str, events: msgspec.json.Decoder[E], exc: Exception
) -> E | StatusEvent | ExchangeErrorEvent:
    """Read what is no event in DEFAULT format: a status or an error, or a message in another format."""
    data = raw.encode(errors="surrogatepass") if isinstance(raw, str) else raw
    try:
        spelt = spell_out(data)
    except CorruptLineError as problem:
        if isinstance(problem.__cause__, BAD_JSON):
            raise explain(data, exc) from exc
        raise
    if spelt is not data:
        try:
            return events.decode(spelt)
        except BAD_JSON as other:
            exc = other
    for decoder in (_NO_EVENT, _STATUS):
        try:
            answer = decoder.decode(spelt)
        except BAD_JSON:
            continue
        return answer.error if isinstance(answer, _Refusal) else answer
    raise explain(spelt, exc) from exc


def _value_at(raw: bytes, path: str) -> str:
    """Quote the value of a field such as `orderbook_units[...].ask_price` as far as the path can be followed."""
    try:
        value: Any = msgspec.json.decode(raw)
        for name in path.split("."):
            value = value[name.split("[")[0]]
    except (*BAD_JSON, KeyError, TypeError):
        return _quote(raw)
    return repr(value)[:_SHOWN]


def _quote(raw: bytes) -> str:
    text = repr(raw[:_SHOWN])[1:]
    return text + "..." if len(raw) > _SHOWN else text
