"""Reads events out of OpenSearch as people and programs like them: in order, whole, in bounded memory.

    events = Events(open_server("http://127.0.0.1:9200"), "tickloop")
    for frame in events.batches("KRW-BTC", parse_window("2024-01-22T00..T06")):
        print(frame.height)

A reading sees the indices as they were at its start, pages through them by a key that is unique, and compares with the
server's own count: paging by a time alone silently loses events that share a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl

from tickloop.adapters.common.trade_rows import NO_ROWS, Rows, trade_frame_of
from tickloop.adapters.opensearch.connect import Server
from tickloop.adapters.opensearch.reading import PAGE, Page, Query, Unreadable, open_reading
from tickloop.adapters.opensearch.template import TRADE_SORT
from tickloop.adapters.opensearch.trade_pages import Answer, TradePages
from tickloop.domain.window import Window
from tickloop.errors import DataError
from tickloop.ports import RawCounts

_EVENT_SORT = ("@timestamp", "doc_id")
_TRADE = {"term": {"type": "trade"}}
_REST = {"term": {"source": "rest"}}

Bury = Callable[[Sequence[Unreadable]], None]


class Events:
    """The events of one prefix of indices.

    Args:
        page_size: documents held at a time, and those of one more millisecond.
    """

    def __init__(self, server: Server, prefix: str, page_size: int = PAGE) -> None:
        self._server = server
        self._prefix = prefix
        self._page_size = page_size
        self._trade_pages = TradePages(server)

    def batches(self, market: str, window: Window) -> Iterator[pl.DataFrame]:
        """Yield the trades of a market and window as TRADE frames; one after the other they are in trade order.

        Raises:
            DataError: a document is no trade, or (after the last batch) the server counts another number of them.
            StoreError: the server refuses; `StoreAwayError` when it is away: read again from the start.
        """
        for rows in self.trade_rows(market, window, _refuse):
            yield trade_frame_of(market, rows)

    def trade_rows(self, market: str, window: Window, bury: Bury) -> Iterator[Rows]:
        """Yield the trades of a market and window as rows, some thousand at a time, by event time.

        Those of one millisecond come together, in any order.

        Args:
            bury: takes the documents that are no trades; they are left out.

        Raises: as `batches`.
        """
        held = NO_ROWS
        for page in self._trades(market, window):
            if page.unreadable:
                bury(page.unreadable)
            if not len(page.items):
                continue
            held = np.concatenate([held, page.items])
            # Trades of the last millisecond may go on on the next page, and their order is not that of the pages.
            cut = int(np.searchsorted(held["ts_event"], held["ts_event"][-1]))
            if cut:
                yield held[:cut]
                held = held[cut:]
        if len(held):
            yield held

    def scan(self, kind: str, market: str, window: Window) -> Iterator[list[dict[str, Any]]]:
        """Yield the events of one type (`ticker`, `orderbook`, `candle.1s`, `trade`) as stored, by their own time.

        Raises: as `batches`.
        """
        query = _of_market(market, window, {"term": {"type": kind}})
        reading = open_reading(self._server, self._prefix, window, self._page_size)
        if reading is None:
            return
        for page in reading.pages(query, self._documents):
            yield page.items

    def counts(self, market: str, window: Window) -> RawCounts:
        """Count the events of a market whose own time lies in the window."""
        query = _of_market(market, window)
        groups = {
            "stream": {"bool": {"filter": [_TRADE], "must_not": [_REST]}},
            "rest": {"bool": {"filter": [_TRADE, _REST]}},
            "other": {"bool": {"must_not": [_TRADE]}},
        }
        body = {"size": 0, "query": query.body, "aggs": {"groups": {"filters": {"filters": groups}}}}
        reading = open_reading(self._server, self._prefix, window, self._page_size)
        if reading is None:
            return RawCounts(0, 0, 0, 0, 0)
        found = reading.search(body).aggregations["groups"]["buckets"]
        stream, rest, other = (int(found[name]["doc_count"]) for name in groups)
        return RawCounts(stream, rest, distinct=stream + rest, repeats=0, other_lines=other)

    def last_repair_arrival(self) -> int:
        """Give the highest `arrival` of all repairs; 0 when there are none."""
        # Not by an aggregation: its numbers are floats, and these have 19 digits.
        body = {"size": 1, "query": {"bool": {"filter": [_TRADE, _REST]}}, "sort": [{"arrival": {"order": "desc"}}]}
        reading = open_reading(self._server, self._prefix, None)
        if reading is None:
            return 0
        return max((int(hit.sort[0]) for hit in reading.search(body).hits.hits), default=0)

    def _trades(self, market: str, window: Window) -> Iterator[Page[Rows]]:
        bounds = {"range": {"trade_timestamp": {"gte": window.start_ms, "lt": window.end_ms}}}
        query = Query(
            [_TRADE, {"term": {"code": market}}, bounds],
            TRADE_SORT,
            f"trades of {market} in {window}",
            "trade_timestamp",
        )
        reading = open_reading(self._server, self._prefix, window, self._page_size)
        if reading is not None:
            yield from reading.pages(query, lambda text: self._trade_pages.read(text, market))

    def _documents(self, text: str) -> Page[list[dict[str, Any]]]:
        hits = self._server.decode(text, _DOCUMENTS).hits.hits
        return Page([hit.source for hit in hits], [], hits[-1].sort if hits else ())


def _of_market(market: str, window: Window, *more: dict[str, Any]) -> Query:
    bounds = {"gte": window.start_ms, "lt": window.end_ms, "format": "epoch_millis"}
    filters: list[dict[str, Any]] = [{"term": {"code": market}}, {"range": {"@timestamp": bounds}}, *more]
    return Query(filters, _EVENT_SORT, f"events of {market} in {window}", "@timestamp")


def _refuse(unreadable: Sequence[Unreadable]) -> None:
    one = unreadable[0]
    raise DataError(f"document {one.doc_id} of index {one.index} is no trade: {one.reason}; valid: delete it there")


_DOCUMENTS = msgspec.json.Decoder(Answer[dict[str, Any]])
