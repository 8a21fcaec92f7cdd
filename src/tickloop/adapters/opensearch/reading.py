"""One reading of some indices as they are at one point in time: counted, and paged through by a unique key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
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
    """

    filters: Sequence[Mapping[str, Any]]
    sort: Sequence[str]
    what: str

    @property
    def body(self) -> dict[str, Any]:
        return {"bool": {"filter": list(self.filters)}}


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
    """A point in time of some indices; see `open_reading`."""

    server: Server
    page_size: int
    _pit: str = field(repr=False)

    def pages(self, query: Query, read: ReadPage[T]) -> Iterator[Page[T]]:
        """Yield all documents in the order of the query's sort; while one page is worked on, the next is on its way.

        Raises:
            DataError: at the end, when they were not as many as the server counts.
            StoreAwayError: the server went away on the way; read again from the start.
        """
        expected, seen = self.count(query), 0
        with ThreadPoolExecutor(1, "opensearch-page") as ahead:
            coming: Future[str] | None = ahead.submit(self._page, query, None)
            while coming is not None:
                text = coming.result()
                # By its end alone where there must be more: the server works on the next page while we read this one.
                last = _last_of(text) if seen + self.page_size < expected else None
                coming = None if last is None else ahead.submit(self._page, query, last)
                page = read(text)
                seen += page.documents
                if coming is None and page.documents >= self.page_size:
                    coming = ahead.submit(self._page, query, page.last)
                if page.documents:
                    yield page
        check_count(expected, seen, query.what, str(self.server.place))

    def count(self, query: Query) -> int:
        answer = self.search({"size": 0, "track_total_hits": True, "query": query.body})
        return answer.hits.total.value

    def search(self, body: Mapping[str, Any]) -> Summary:
        """Give totals, sort values and aggregations of a search on this point in time."""
        found: Summary = self.server.decode(self._ask(body), _SUMMARY)
        return found

    def _page(self, query: Query, after: Sequence[Any] | None) -> str:
        body: dict[str, Any] = {
            "size": self.page_size,
            "track_total_hits": False,
            "query": query.body,
            "sort": [{name: {"order": "asc"}} for name in query.sort],
        }
        if after is not None:
            body["search_after"] = after
        return self._ask(body)

    def _ask(self, body: Mapping[str, Any]) -> str:
        pit = {"id": self._pit, "keep_alive": _KEEP_ALIVE}
        # Else a shard that is just moving is left out, and the answer looks whole.
        return self.server.ask("POST", "/_search", {**body, "pit": pit}, allow_partial_search_results="false")


@contextmanager
def open_reading(server: Server, prefix: str, window: Window | None, page_size: int = PAGE) -> Iterator[Reading | None]:
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
        yield None
        return
    names = ",".join(days)
    refresh(server, names)
    answer = server.ask(
        "POST",
        f"/{names}/_search/point_in_time",
        keep_alive=_KEEP_ALIVE,
        allow_partial_pit_creation="false",
    )
    pit: str = server.decode(answer, _PIT).pit_id
    try:
        yield Reading(server, page_size, pit)
    finally:
        _forget(server, pit)


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
