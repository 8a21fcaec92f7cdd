"""Pages of trades as rows: usual ones by compiled code where an hour is long, all others by their types."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec
import numpy as np

from tickloop.adapters.common.stored_line import TradeLine, read_trade
from tickloop.adapters.common.trade_rows import ROW, Rows, row_of
from tickloop.adapters.opensearch.connect import Server
from tickloop.adapters.opensearch.reading import Page, Unreadable
from tickloop.adapters.upbit.parse import BAD_JSON
from tickloop.errors import CorruptLineError

TYPED_DOCUMENTS = 40_000
"""Documents that are read by their types before the compiled code is loaded: that takes half a second once."""

T = TypeVar("T")


class TradePages:
    """Reads pages, one after the other or from several threads.

    Args:
        typed_documents: as many are read by their types first.
    """

    def __init__(self, server: Server, typed_documents: int = TYPED_DOCUMENTS) -> None:
        self._server = server
        self._typed_left = typed_documents

    def read(self, text: str, market: str) -> Page[Rows]:
        page = None if self._typed_left > 0 else _compiled(text, market)
        if page is None:
            page = self._typed(text, market)
            self._typed_left -= page.documents
        return page

    def _typed(self, text: str, market: str) -> Page[Rows]:
        """Read a page at once, or, when a document is no trade, each for itself."""
        try:
            hits = _TRADES.decode(text).hits.hits
        except BAD_JSON:
            return self._one_by_one(text, market)
        return Page(_rows_of([hit.source for hit in hits]), [], hits[-1].sort if hits else ())

    def _one_by_one(self, text: str, market: str) -> Page[Rows]:
        hits = self._server.decode(text, _RAW).hits.hits
        trades, unreadable = list[TradeLine](), list[Unreadable]()
        for hit in hits:
            line = bytes(hit.source)
            try:
                trades.append(read_trade(line, market))
            except CorruptLineError as exc:
                unreadable.append(Unreadable(hit.index, hit.doc_id, str(exc), line))
        return Page(_rows_of(trades), unreadable, hits[-1].sort if hits else ())


def _compiled(text: str, market: str) -> Page[Rows] | None:
    # Here, since most processes read too little to load it: half a second and 130 MB.
    from tickloop.adapters.opensearch.page_kernel import read_page

    found = read_page(text, market)
    return None if found is None else Page(found[0], [], found[1])


def _rows_of(trades: list[TradeLine]) -> Rows:
    return np.array([row_of(trade) for trade in trades], ROW)


class _Hit(msgspec.Struct, Generic[T]):
    source: T = msgspec.field(name="_source")
    sort: tuple[Any, ...]
    index: str = msgspec.field(name="_index")
    doc_id: str = msgspec.field(name="_id")


class _Found(msgspec.Struct, Generic[T]):
    hits: list[_Hit[T]]


class Answer(msgspec.Struct, Generic[T]):
    """A page of documents."""

    hits: _Found[T]


_TRADES = msgspec.json.Decoder(Answer[TradeLine])
_RAW = msgspec.json.Decoder(Answer[msgspec.Raw])
