"""The index template: which fields our indices know, and how they are kept. All but `put_template` is pure.

A field that is not known stays in the document, is not indexed, and is counted as drift: what Upbit adds must not
refuse a day's trades. The same holds for a known field that comes with another kind of value, but for those in `_KEY`,
without which a document cannot be found again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec

from tickloop.adapters.opensearch.connect import Server
from tickloop.adapters.opensearch.errors import Place
from tickloop.adapters.opensearch.names import pattern_of
from tickloop.errors import StoreError

VERSION = 2
"""Grows when fields or settings change; indices that exist keep what they were made with."""

TRADE_SORT = ("code", "trade_timestamp", "sequential_id")
"""Fields that order trades, the last one unique within the first two.

The market comes first: its hour then lies together. By time first, 200 trades of a quiet market lay among those of all
others, and the server unpacked 200 blocks to give them, 10 to 30 ms.
"""

_PRIORITY = 200  # above the patterns that other programs put over everything

_WORDS = (
    "ask_bid", "candle_date_time_kst", "candle_date_time_utc", "change", "code", "delisting_date", "doc_id",
    "highest_52_week_date", "lowest_52_week_date", "market_state", "market_state_for_ios", "market_warning", "source",
    "stream_type", "trade_date", "trade_status", "trade_time", "type",
)  # fmt: skip
_NUMBERS = (
    "acc_ask_volume", "acc_bid_volume", "acc_trade_price", "acc_trade_price_24h", "acc_trade_volume",
    "acc_trade_volume_24h", "best_ask_price", "best_ask_size", "best_bid_price", "best_bid_size",
    "candle_acc_trade_price", "candle_acc_trade_volume", "change_price", "change_rate", "high_price",
    "highest_52_week_price", "level", "low_price", "lowest_52_week_price", "opening_price", "prev_closing_price",
    "signed_change_price", "signed_change_rate", "total_ask_size", "total_bid_size", "trade_price", "trade_volume",
)  # fmt: skip
_INTEGERS = ("arrival", "sequential_id", "timestamp", "trade_timestamp", "ts_received")

_KEY = frozenset({"@timestamp", "arrival", "code", "doc_id", "sequential_id", "timestamp", "trade_timestamp", "type"})
_SEARCHED = _KEY | {"ask_bid", "change", "source", "stream_type", "trade_price", "trade_volume"}

_LONGEST_WORD = 256  # more of a text is kept, but not indexed
_SORTED_ONLY = frozenset({"doc_id"})  # the server finds a document by `_id`, which is the same

KIND_OF: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(_WORDS, (str,)),
    **dict.fromkeys(_NUMBERS, (float, int)),
    **dict.fromkeys(_INTEGERS, (int,)),
    "@timestamp": (str,),
    "is_trading_suspended": (bool,),
    "orderbook_units": (list,),
}
"""Known field -> types that its JSON value may have; null may stand for any."""

_NULL = type(None)


def drift_of(fields: Mapping[str, Any]) -> Sequence[str]:
    """Give the names of a document's fields that are not known, or hold another kind of value than they should."""
    return _drift(tuple(fields), tuple(map(type, fields.values())))


@lru_cache(maxsize=1024)  # all but a few lines are of some dozen shapes
def _drift(names: tuple[str, ...], types: tuple[type, ...]) -> Sequence[str]:
    return [
        name
        for name, its_type in zip(names, types, strict=True)
        if (kinds := KIND_OF.get(name)) is None or (its_type not in kinds and its_type is not _NULL)
    ]


def template(prefix: str, shards: int = 1, replicas: int = 0, pruned_before_ms: int = 0) -> dict[str, Any]:
    """Give the body of the index template for the indices of a prefix.

    Args:
        pruned_before_ms: end of the last day that was deleted; see `note_pruned`.
    """
    settings = {
        "number_of_shards": shards,
        "number_of_replicas": replicas,
        "refresh_interval": "30s",
        "codec": "best_compression",
        "sort.field": list(TRADE_SORT),
        "sort.order": ["asc"] * len(TRADE_SORT),
        "mapping.ignore_malformed": True,
    }
    return {
        "index_patterns": [pattern_of(prefix)],
        "priority": _PRIORITY,
        "version": VERSION,
        "_meta": {"tickloop": {"version": VERSION, "pruned_before_ms": pruned_before_ms}},
        "template": {
            "settings": {"index": settings},
            "mappings": {
                "dynamic": False,
                "_meta": {"tickloop": {"version": VERSION}},
                "properties": _properties(),
            },
        },
    }


def put_template(server: Server, prefix: str, shards: int = 1, replicas: int = 0) -> bool:
    """Put the template where there is none or an older one; tell whether it was put.

    One of the same version is left as it is; of an older one, shards and replicas stay: they may have been set by hand.

    Raises:
        StoreError: a newer Tickloop has put one.
    """
    there = _look(server, prefix)
    if there is not None and there.version >= VERSION:
        check_version(server.place, prefix, there.version)
        return False
    pruned_ms = 0
    if there is not None and there.version:
        pruned_ms, kept = there.meta.tickloop.pruned_before_ms, there.template.settings.index
        shards, replicas = int(kept.number_of_shards or shards), int(kept.number_of_replicas or replicas)
    server.ask("PUT", _path(prefix), template(prefix, shards, replicas, pruned_ms))
    return True


def note_pruned(server: Server, prefix: str, before_ms: int) -> None:
    """Keep on the server itself that days before this moment are deleted, so that no reader takes them for empty."""
    put_template(server, prefix)
    text = server.ask("GET", _path(prefix))
    body: dict[str, Any] = msgspec.json.decode(text)["index_templates"][0]["index_template"]
    about = body.setdefault("_meta", {}).setdefault("tickloop", {})
    if before_ms > about.get("pruned_before_ms", 0):
        about["pruned_before_ms"] = before_ms
        server.ask("PUT", _path(prefix), body)


def pruned_before_ms(server: Server, prefix: str) -> int:
    """Give the end of the last day that was deleted, epoch ms; 0 when none was."""
    there = _look(server, prefix)
    return 0 if there is None else there.meta.tickloop.pruned_before_ms


def check_template(server: Server, prefix: str) -> None:
    """Pass a server that has our template; `StoreError` says what to do about a missing, older or newer one."""
    there = _look(server, prefix)
    check_version(server.place, prefix, None if there is None else there.version)


def check_version(place: Place, prefix: str, version: int | None) -> None:
    remedy = "remedy: `tickloop ship --once` puts it"
    if version is None:
        raise StoreError(f"{place} has no index template {prefix!r} (opensearch.index_prefix); {remedy}")
    if version < VERSION:
        raise StoreError(f"{place} has version {version} of index template {prefix!r}; valid: {VERSION}; {remedy}")
    if version > VERSION:
        raise StoreError(
            f"{place} has version {version} of index template {prefix!r}, of a newer Tickloop; this one knows version "
            f"{VERSION}: install that, or set another opensearch.index_prefix"
        )


def _look(server: Server, prefix: str) -> _Template | None:
    """Give what matters of the server's template; None when there is none, version 0 when it is not ours."""
    text = server.look("GET", _path(prefix))
    if text is None:
        return None
    templates = server.decode(text, _TEMPLATES).index_templates
    return templates[0].index_template if templates else None


def _path(prefix: str) -> str:
    return f"/_index_template/{quote(prefix)}"


def _properties() -> dict[str, dict[str, Any]]:
    fields: dict[str, dict[str, Any]] = {
        "@timestamp": {"type": "date", "format": "strict_date_optional_time"},
        "is_trading_suspended": {"type": "boolean"},
        "orderbook_units": {"type": "object", "enabled": False},
        **{name: {"type": "keyword"} for name in _WORDS},
        **{name: {"type": "double"} for name in _NUMBERS},
        **{name: {"type": "long"} for name in _INTEGERS},
    }
    for name, field in fields.items():
        if field["type"] != "object" and (name not in _SEARCHED or name in _SORTED_ONLY):
            field["index"] = False
        if field["type"] == "keyword" and name not in _KEY:
            field["ignore_above"] = _LONGEST_WORD
        if field["type"] in ("date", "long") and name in _KEY:
            field["ignore_malformed"] = False
    return dict(sorted(fields.items()))


class _Ours(msgspec.Struct):
    pruned_before_ms: int = 0


class _Meta(msgspec.Struct):
    tickloop: _Ours = msgspec.field(default_factory=_Ours)


class _Kept(msgspec.Struct):
    number_of_shards: str = ""
    number_of_replicas: str = ""


class _Settings(msgspec.Struct):
    index: _Kept = msgspec.field(default_factory=_Kept)


class _Body(msgspec.Struct):
    settings: _Settings = msgspec.field(default_factory=_Settings)


class _Template(msgspec.Struct):
    version: int = 0
    template: _Body = msgspec.field(default_factory=_Body)
    meta: _Meta = msgspec.field(name="_meta", default_factory=_Meta)


class _Named(msgspec.Struct):
    index_template: _Template


class _Templates(msgspec.Struct):
    index_templates: list[_Named]


_TEMPLATES = msgspec.json.Decoder(_Templates)
