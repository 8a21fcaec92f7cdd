"""One reading of some indices as they are at one point in time: counted, and paged through by a unique key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from tickloop.adapters.opensearch.connect import Server
from tickloop.adapters.opensearch.indices import check_kept, open_indices, refresh
from tickloop.adapters.opensearch.names import indices_within
from tickloop.domain.window import Window
from tickloop.errors import DataError, StoreAwayError

PAGE = 10_000
"""Documents of one answer, as many as the server gives by default (`max_result_window`)."""

_SORT, _END = '"sort":', "}]}}"  # of a document, and of an answer after the last one's

FEW = 1_000
"""Documents that come by one search: more than the hour of most markets has, and cheap where there are more."""

_KEEP_ALIVE = "5m"  # from one page to the next: so long may a batch be worked on


class Sized(Protocol):
    def __len__(self) -> int: ...


T = TypeVar("T", bound=Sized)


@dataclass(frozen=True)
class Query:
    """What to read.

    Attributes:
        filters: clauses that all must hold.
        sort: fields, all of them single-valued, whose values together are unique: pages are cut between two of them.
        what: for messages.
        rising: field of the sort that never falls from one document to the next, so that later pages can begin there.
    """

    filters: Sequence[Mapping[str, Any]]
    sort: Sequence[str]
    what: str
    rising: str

    @property
    def body(self) -> dict[str, Any]:
        return {"bool": {"filter": list(self.filters)}}

    def page(self, size: int, after: Sequence[Any] | None) -> dict[str, Any]:
        """Give the search for the page after these sort values; the first one counts what there is."""
        body: dict[str, Any] = {
            "size": size,
            "track_total_hits": after is None,
            "query": self.body,
            "sort": [{name: {"order": "asc"}} for name in self.sort],
        }
        if after is not None:
            first = after[self.sort.index(self.rising)]
            body["search_after"] = after
            # Else the server walks through all that came before, page after page.
            # Sort values of times are epoch milliseconds, whatever form the field itself is written in.
            form = {"format": "epoch_millis"} if self.rising == "@timestamp" else {}
            body["query"]["bool"]["filter"].append({"range": {self.rising: {"gte": first, **form}}})
        return body


@dataclass(frozen=True)
class Page(Generic[T]):
    """What one answer holds.

    Attributes:
        items: what could be read.
        unreadable: documents that could not.
        last: sort values of the last document.
    """

    items: T
    unreadable: list[Unreadable]
    last: Sequence[Any]

    @property
    def documents(self) -> int:
        return len(self.items) + len(self.unreadable)


@dataclass(frozen=True)
class Unreadable:
    """A document that is not what it should be."""

    index: str
    doc_id: str
    reason: str
    content: bytes


ReadPage = Callable[[str], Page[T]]
"""Makes a page of the text of an answer; raises msgspec's errors for what is no answer."""


@dataclass(frozen=True)
class Reading:
    """Some indices, with all that was acknowledged; see `open_reading`."""

    server: Server
    page_size: int
    names: str

    def pages(self, query: Query, read: ReadPage[T]) -> Iterator[Page[T]]:
        """Yield all documents in the order of the query's sort, as they are at one point in time.

        Few come by one search. Of more a page is worked on while the next is on its way.

        Raises:
            DataError: at the end, when they were not as many as the server counts.
            StoreAwayError: the server went away on the way; read again from the start.
        """
        few = min(FEW, self.page_size)
        text = self._ask(f"/{self.names}/_search", query.page(few, None))
        if self._total(text) > few:
            with self._point_in_time() as pit:
                yield from self._paged(query, read, pit)
            return
        page = read(text)
        check_count(self._total(text), page.documents, query.what, str(self.server.place))
        if page.documents:
            yield page

    def search(self, body: Mapping[str, Any]) -> Summary:
        """Give totals, sort values and aggregations of one search."""
        return self._summary(self._ask(f"/{self.names}/_search", body))

    def _paged(self, query: Query, read: ReadPage[T], pit: Mapping[str, Any]) -> Iterator[Page[T]]:
        def ask(after: Sequence[Any] | None) -> str:
            return self._ask("/_search", {**query.page(self.page_size, after), "pit": pit})

        text = ask(None)
        expected, seen = self._total(text), 0
        with ThreadPoolExecutor(1, "opensearch-page") as ahead:
            while True:
                # By its end alone where there must be more: the server works on the next page while we read this one.
                last = _last_of(text) if seen + self.page_size < expected else None
                coming: Future[str] | None = None if last is None else ahead.submit(ask, last)
                page = read(text)
                seen += page.documents
                if coming is None and page.documents >= self.page_size:
                    coming = ahead.submit(ask, page.last)
                if page.documents:
                    yield page
                if coming is None:
                    break
                text = coming.result()
        check_count(expected, seen, query.what, str(self.server.place))

    @contextmanager
    def _point_in_time(self) -> Iterator[Mapping[str, Any]]:
        answer = self.server.ask(
            "POST",
            f"/{self.names}/_search/point_in_time",
            keep_alive=_KEEP_ALIVE,
            allow_partial_pit_creation="false",
        )
        pit: str = self.server.decode(answer, _PIT).pit_id
        try:
            yield {"id": pit, "keep_alive": _KEEP_ALIVE}
        finally:
            _forget(self.server, pit)

    def _ask(self, path: str, body: Mapping[str, Any]) -> str:
        # Else a shard that is just moving is left out, and the answer looks whole.
        return self.server.ask("POST", path, body, allow_partial_search_results="false")

    def _total(self, text: str) -> int:
        return self._summary(text).hits.total.value

    def _summary(self, text: str) -> Summary:
        found: Summary = self.server.decode(text, _SUMMARY)
        return found


def open_reading(server: Server, prefix: str, window: Window | None, page_size: int = PAGE) -> Reading | None:
    """Give the indices that can hold events of a window, with all that was acknowledged; None when there are none.

    Args:
        window: None for all that there is.

    Raises:
        StoreError: one of them is closed, or not to be read; `StoreAwayError` when the server is away.
    """
    days = open_indices(server, prefix)
    if window is not None:
        days = list(indices_within(prefix, window, days))
        check_kept(server, prefix, window, days)
    if not days:
        return None
    names = ",".join(days)
    refresh(server, names)
    return Reading(server, page_size, names)


def check_count(expected: int, seen: int, what: str, place: str) -> None:
    """Pass a reading that gave as many documents as were counted; `DataError` when some are missing or doubled."""
    if expected != seen:
        raise DataError(f"{place} counts {expected} {what} and gave {seen}; nothing of this reading may be used")


def _last_of(text: str) -> Sequence[Any] | None:
    """Give the sort values that an answer ends with, without reading the rest; None when it does not end as usual."""
    start = text.rfind(_SORT)
    if start < 0 or not text.endswith(_END):
        return None
    try:
        return _VALUES.decode(text[start + len(_SORT) : -len(_END)])
    except msgspec.MsgspecError:
        return None


def _forget(server: Server, pit: str) -> None:
    """Let go of a point in time; one that cannot be reached ends by itself after some minutes."""
    try:
        server.look("DELETE", "/_search/point_in_time", {"pit_id": [pit]})
    except StoreAwayError:
        return


class _Total(msgspec.Struct):
    value: int = 0


class _Sorted(msgspec.Struct):
    sort: tuple[Any, ...] = ()


class _Hits(msgspec.Struct):
    total: _Total = msgspec.field(default_factory=_Total)
    hits: list[_Sorted] = []


class Summary(msgspec.Struct):
    """An answer without its documents."""

    hits: _Hits
    aggregations: dict[str, Any] = msgspec.field(default_factory=dict)


class _Pit(msgspec.Struct):
    pit_id: str


_SUMMARY = msgspec.json.Decoder(Summary)
_PIT = msgspec.json.Decoder(_Pit)
_VALUES = msgspec.json.Decoder(list[Any])
