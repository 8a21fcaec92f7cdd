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
"""Documents of a window that are read by their types. Loading the compiled code takes as long as it saves on these."""

T = TypeVar("T")


class TradePages:
    """Reads the pages of one market and window, one after the other.

    Args:
        typed_documents: as many are read by their types first.
    """

    def __init__(self, server: Server, market: str, typed_documents: int = TYPED_DOCUMENTS) -> None:
        self._server = server
        self._market = market
        self._typed_documents = typed_documents
        self._seen = 0

    def read(self, text: str) -> Page[Rows]:
        page = None
        if self._seen >= self._typed_documents:
            page = self._compiled(text)
        if page is None:
            page = self._typed(text)
        self._seen += page.documents
        return page

    def _compiled(self, text: str) -> Page[Rows] | None:
        # Here, since it takes 0.2 s and 50 MB to load, and most hours are short.
        from tickloop.adapters.opensearch.page_kernel import read_page

        found = read_page(text, self._market)
        return None if found is None else Page(found[0], [], found[1])

    def _typed(self, text: str) -> Page[Rows]:
        """Read a page at once, or, when a document is no trade, each for itself."""
        try:
            hits = _TRADES.decode(text).hits.hits
        except BAD_JSON:
            return self._one_by_one(text)
        return Page(_rows_of([hit.source for hit in hits]), [], hits[-1].sort if hits else ())

    def _one_by_one(self, text: str) -> Page[Rows]:
        hits = self._server.decode(text, _RAW).hits.hits
        trades, unreadable = list[TradeLine](), list[Unreadable]()
        for hit in hits:
            line = bytes(hit.source)
            try:
                trades.append(read_trade(line, self._market))
            except CorruptLineError as exc:
                unreadable.append(Unreadable(hit.index, hit.doc_id, str(exc), line))
        return Page(_rows_of(trades), unreadable, hits[-1].sort if hits else ())


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
