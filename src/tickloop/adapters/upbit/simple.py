"""The other three formats of the stream, spelled out as DEFAULT: short keys (SIMPLE), and arrays of one (the LISTs).

Pure: bytes in, bytes out. Values keep their bytes, so no price or quantity passes through a float.

Source: Upbit developer centre, WebSocket reference: format, and the field tables of each type. Unknown keys stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tickloop.errors import CorruptLineError

# What msgspec raises for bytes that are not the value asked for.
BAD_JSON = (msgspec.MsgspecError, UnicodeError, RecursionError)

_COMMON = {"ty": "type", "cd": "code", "mk": "code", "tms": "timestamp", "st": "stream_type"}  # mk: until about 2022

_TRADE = {
    "tp": "trade_price", "tv": "trade_volume", "ab": "ask_bid", "pcp": "prev_closing_price", "c": "change",
    "cp": "change_price", "td": "trade_date", "ttm": "trade_time", "ttms": "trade_timestamp", "sid": "sequential_id",
    "bap": "best_ask_price", "bas": "best_ask_size", "bbp": "best_bid_price", "bbs": "best_bid_size",
}  # fmt: skip
_TICKER = {
    "op": "opening_price", "hp": "high_price", "lp": "low_price", "tp": "trade_price", "pcp": "prev_closing_price",
    "c": "change", "cp": "change_price", "scp": "signed_change_price", "cr": "change_rate",
    "scr": "signed_change_rate", "tv": "trade_volume", "atv": "acc_trade_volume", "atv24h": "acc_trade_volume_24h",
    "atp": "acc_trade_price", "atp24h": "acc_trade_price_24h", "tdt": "trade_date", "ttm": "trade_time",
    "ttms": "trade_timestamp", "ab": "ask_bid", "aav": "acc_ask_volume", "abv": "acc_bid_volume",
    "h52wp": "highest_52_week_price", "h52wdt": "highest_52_week_date", "l52wp": "lowest_52_week_price",
    "l52wdt": "lowest_52_week_date", "ms": "market_state", "its": "is_trading_suspended", "dd": "delisting_date",
    "mw": "market_warning", "ts": "trade_status", "msfi": "market_state_for_ios",
}  # fmt: skip
_ORDERBOOK = {"tas": "total_ask_size", "tbs": "total_bid_size", "obu": "orderbook_units", "lv": "level"}
_CANDLE = {
    "cdttmu": "candle_date_time_utc", "cdttmk": "candle_date_time_kst", "op": "opening_price", "hp": "high_price",
    "lp": "low_price", "tp": "trade_price", "catv": "candle_acc_trade_volume", "catp": "candle_acc_trade_price",
}  # fmt: skip
_MY_ORDER = {
    "uid": "uuid", "ab": "ask_bid", "ot": "order_type", "s": "state", "tuid": "trade_uuid", "p": "price",
    "ap": "avg_price", "v": "volume", "rv": "remaining_volume", "ev": "executed_volume", "tc": "trades_count",
    "rsf": "reserved_fee", "rmf": "remaining_fee", "pf": "paid_fee", "l": "locked", "ef": "executed_funds",
    "tif": "time_in_force", "tf": "trade_fee", "im": "is_maker", "id": "identifier", "smpt": "smp_type",
    "pv": "prevented_volume", "pl": "prevented_locked", "ttms": "trade_timestamp", "otms": "order_timestamp",
}  # fmt: skip
_MY_ASSET = {"astuid": "asset_uuid", "ast": "assets", "asttms": "asset_timestamp"}

_LONG_OF = {
    "trade": _COMMON | _TRADE,
    "ticker": _COMMON | _TICKER,
    "orderbook": _COMMON | _ORDERBOOK,
    "candle": _COMMON | _CANDLE,
    "myOrder": _COMMON | _MY_ORDER,
    "myAsset": _COMMON | _MY_ASSET,
}
"""Type up to its dot -> short key -> long key."""

_INNER: Mapping[str, Mapping[str, str]] = {
    "orderbook_units": {"ap": "ask_price", "bp": "bid_price", "as": "ask_size", "bs": "bid_size"},
    "assets": {"cu": "currency", "b": "balance", "l": "locked"},
}
"""Long key of an array of objects -> short key inside -> long key."""

_Raw = dict[str, msgspec.Raw]
_OBJECT = msgspec.json.Decoder(_Raw)
_OBJECTS = msgspec.json.Decoder(list[_Raw])
_ONE = msgspec.json.Decoder(tuple[msgspec.Raw])
_TYPE = msgspec.json.Decoder(str)


def spell_out(raw: bytes) -> bytes:
    """Give a message in DEFAULT format, whatever format it is in; one that is in DEFAULT already is given as it is.

    Raises:
        CorruptLineError: the message is no object, nor an array of exactly one.
    """
    try:
        whole = raw if raw.lstrip()[:1] != b"[" else bytes(_ONE.decode(raw)[0])
        fields = _OBJECT.decode(whole)
        if "ty" not in fields:
            return whole
        long_of = _LONG_OF.get(_TYPE.decode(fields["ty"]).partition(".")[0], _COMMON)
        return msgspec.json.encode(_renamed(fields, long_of))
    except BAD_JSON as exc:
        raise CorruptLineError(f"message {raw[:120]!r} is not one JSON object, alone or in an array: {exc}") from exc


def default_form(raw: bytes) -> bytes:
    """Give a message that `parse_frame` has read in DEFAULT format: what a journal's line is made of.

    The usual beginning of a DEFAULT message is told at a glance.
    """
    return raw if raw.startswith(b'{"type":') else spell_out(raw)


def _renamed(fields: _Raw, long_of: Mapping[str, str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in fields.items():
        long = long_of.get(name, name)
        if long in out:
            raise CorruptLineError(f"message field {long}: given twice, as {name} too; valid: once")
        inner = _INNER.get(long)
        out[long] = value if inner is None else _renamed_all(value, inner)
    return out


def _renamed_all(array: msgspec.Raw, long_of: Mapping[str, str]) -> Any:
    if bytes(array).lstrip()[:1] != b"[":
        return array
    return [_renamed(item, long_of) for item in _OBJECTS.decode(array)]
