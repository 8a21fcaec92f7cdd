"""What a WebSocket client asks for: the request array of the exchange's protocol, read without a socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, cast, get_args

import msgspec

from tickloop.simulator.prices.periods import MINUTE_UNITS, SECONDS, every_minutes
from tickloop.simulator.protocol.formats import Format

CANDLES = {"candle.1s": SECONDS, **{f"candle.{unit}m": every_minutes(unit) for unit in MINUTE_UNITS}}
"""Types of candle streams and their periods."""

TYPES = ("trade", "ticker", "orderbook", *CANDLES)
PRIVATE_TYPES = ("myOrder", "myAsset")
ALL = ""
"""The code of a private stream of all markets."""

DEPTHS = (1, 5, 15, 30)


class StreamError(Exception):
    """An error object of the WebSocket protocol; the socket stays open after it (not documented: our choice)."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.body = {"error": {"name": name, "message": message}}


@dataclass(frozen=True)
class Want:
    """One stream of one market.

    Attributes:
        depth: levels of an order book message.
        level: KRW that its prices are put together to; 0 as they are.
    """

    type: str
    code: str
    depth: int = 30
    level: Decimal = Decimal(0)
    has_snapshot: bool = True
    has_realtime: bool = True


@dataclass(frozen=True)
class StreamRequest:
    """A whole request: it replaces what the connection had asked for before.

    Attributes:
        wants: empty when it only lists the subscriptions.
        listing: type objects as sent, for LIST_SUBSCRIPTIONS.
    """

    ticket: str
    form: Format
    wants: tuple[Want, ...]
    listing: tuple[Mapping[str, Any], ...]
    is_list: bool = False


def parse_request(text: str | bytes, *, is_private: bool = False) -> StreamRequest:
    """Read one client message of the public or the private socket.

    Raises:
        StreamError: with the exchange's name for what is wrong.
    """
    parts = _parts(text)
    ticket = next((part["ticket"] for part in parts if "ticket" in part), None)
    if not isinstance(ticket, str) or not ticket:
        raise StreamError("NO_TICKET", "The request has no ticket.")
    form = next((part["format"] for part in parts if "format" in part), "DEFAULT")
    if form not in get_args(Format):
        raise StreamError("INVALID_PARAM", f"format {form!r} is not one of {', '.join(get_args(Format))}.")
    if any(part.get("method") == "LIST_SUBSCRIPTIONS" for part in parts):
        return StreamRequest(ticket, cast("Format", form), (), (), is_list=True)
    typed = [part for part in parts if "type" in part]
    if not typed:
        raise StreamError("NO_TYPE", "The request has no type.")
    wants = tuple(want for part in typed for want in (_private_wants(part) if is_private else _wants(part)))
    return StreamRequest(ticket, cast("Format", form), wants, tuple(_listed(part) for part in typed))


def listing_object(ticket: str, listing: Sequence[Mapping[str, Any]], form: Format) -> Any:
    """Give the answer to LIST_SUBSCRIPTIONS."""
    if form.startswith("SIMPLE"):
        short = {"type": "ty", "codes": "cds", "level": "lv"}
        result = [{short[name]: value for name, value in part.items()} for part in listing]
        answer: dict[str, Any] = {"mthd": "LIST_SUBSCRIPTIONS", "rslt": result, "tckt": ticket}
    else:
        answer = {"method": "LIST_SUBSCRIPTIONS", "result": list(listing), "ticket": ticket}
    return [answer] if form.endswith("LIST") else answer


def _parts(text: str | bytes) -> list[dict[str, Any]]:
    try:
        return msgspec.json.decode(text, type=list[dict[str, Any]])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise StreamError("WRONG_FORMAT", "The request is not a JSON array of objects.") from exc


def _wants(part: Mapping[str, Any]) -> list[Want]:
    kind = part["type"]
    if kind not in TYPES:
        raise StreamError("INVALID_PARAM", f"type {kind!r} is not one of {', '.join(TYPES)}.")
    codes = _codes(part)
    only_snapshot = _flag(part, "is_only_snapshot", "isOnlySnapshot")
    only_realtime = _flag(part, "is_only_realtime", "isOnlyRealtime")
    level = _level(part) if kind == "orderbook" else Decimal(0)
    wants = []
    for text in codes:
        code, depth = _code_and_depth(text) if kind == "orderbook" else (text, DEPTHS[-1])
        wants.append(Want(kind, code, depth, level, not only_realtime, not only_snapshot))
    return wants


def _private_wants(part: Mapping[str, Any]) -> list[Want]:
    """Read a type object of the private socket; its streams tell of changes alone and have no snapshot."""
    kind, codes = part["type"], part.get("codes")
    if kind not in PRIVATE_TYPES:
        raise StreamError("INVALID_PARAM", f"type {kind!r} is not one of {', '.join(PRIVATE_TYPES)}.")
    if kind == "myAsset" and "codes" in part:
        raise StreamError("WRONG_FORMAT", "myAsset has no codes.")
    if not codes:
        return [Want(kind, ALL, has_snapshot=False)]
    return [Want(kind, code, has_snapshot=False) for code in _codes(part)]


def _level(part: Mapping[str, Any]) -> Decimal:
    try:
        level = Decimal(str(part.get("level", 0)))
    except InvalidOperation:
        level = Decimal("NaN")
    if not level.is_finite():
        raise StreamError("INVALID_PARAM", f"level {part['level']!r} is not a number.")
    return level


def _codes(part: Mapping[str, Any]) -> list[str]:
    codes = part.get("codes")
    if not codes:
        raise StreamError("NO_CODES", "The type has no codes.")
    if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
        raise StreamError("WRONG_FORMAT", "codes is not an array of strings.")
    return codes


def _code_and_depth(text: str) -> tuple[str, int]:
    code, _, suffix = text.partition(".")
    if not suffix:
        return code, DEPTHS[-1]
    if suffix not in {str(depth) for depth in DEPTHS}:
        raise StreamError("INVALID_PARAM", f"{text} asks for none of {', '.join(map(str, DEPTHS))} levels.")
    return code, int(suffix)


def _flag(part: Mapping[str, Any], *names: str) -> bool:
    return any(part.get(name) is True for name in names)


def _listed(part: Mapping[str, Any]) -> dict[str, Any]:
    listed = {name: part[name] for name in ("type", "codes") if name in part}
    return {**listed, "level": part.get("level", 0)} if part["type"] == "orderbook" else listed
