"""What `tickloop doctor` tries of OpenSearch."""

from __future__ import annotations

import uuid

import msgspec

from tickloop.adapters.opensearch.connect import Server
from tickloop.adapters.opensearch.indices import open_indices
from tickloop.adapters.opensearch.names import pattern_of
from tickloop.adapters.opensearch.template import VERSION, check_template
from tickloop.errors import StoreError


def check_opensearch(server: Server, prefix: str) -> str:
    """Write, read back and delete a document in an index of its own, then look at our template and indices.

    Raises:
        StoreError: naming the setting at fault and the remedy; `StoreAwayError` when the server is away.
    """
    index, content = f"{prefix}-doctor-{uuid.uuid4().hex}", uuid.uuid4().hex
    try:
        server.ask("PUT", f"/{index}/_doc/1", {"content": content}, refresh="true")
        found = server.decode(server.ask("GET", f"/{index}/_search"), _FOUND)
        if [hit.source.content for hit in found.hits.hits] != [content]:
            raise StoreError(f"{server.place} gives back another document than was stored; look at the server's log")
    finally:
        server.look("DELETE", f"/{index}")
    check_template(server, prefix)
    strangers = indices_without_template(server, prefix)
    if strangers:
        raise StoreError(
            f"{server.place}: index {strangers[0]} was made without our template, so its trades cannot be read; "
            "remedy: delete it and deliver the journal of its day again, or reindex it into a new one of the same name"
        )
    days = len(open_indices(server, prefix))
    return f"{server.place}: wrote, read and deleted a document; template {prefix} {VERSION}, {days} daily indices"


def indices_without_template(server: Server, prefix: str) -> list[str]:
    """Give the daily indices whose fields are not those of our template."""
    text = server.look("GET", f"/{pattern_of(prefix)}/_mapping")
    made: dict[str, _Made] = {} if text is None else server.decode(text, _MADE)
    return sorted(name for name, one in made.items() if not one.mappings.meta.tickloop.version)


class _Content(msgspec.Struct):
    content: str = ""


class _Hit(msgspec.Struct):
    source: _Content = msgspec.field(name="_source")


class _Hits(msgspec.Struct):
    hits: list[_Hit]


class _Found(msgspec.Struct):
    hits: _Hits


class _Ours(msgspec.Struct):
    version: int = 0


class _Meta(msgspec.Struct):
    tickloop: _Ours = msgspec.field(default_factory=_Ours)


class _Mapping(msgspec.Struct):
    meta: _Meta = msgspec.field(name="_meta", default_factory=_Meta)


class _Made(msgspec.Struct):
    mappings: _Mapping


_FOUND = msgspec.json.Decoder(_Found)
_MADE = msgspec.json.Decoder(dict[str, _Made])
