"""Janitor: what may be removed because it stands elsewhere, and is old enough that nobody asks for it again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from tickloop.domain.schedule import DONE
from tickloop.domain.tables import TRADE
from tickloop.domain.window import DAY_MS, Window
from tickloop.ports import Clock, Contents, Prunable, SegmentKeeper, Warehouse
from tickloop.services.run_ledger import runs_over

KEEP_MS = DAY_MS
"""A segment is kept for this long after the end of its hour, whatever became of it."""

KEEP_RAW_MS = 8 * DAY_MS
"""The same where the journal is the raw store itself: the exchange gives trades for seven days, so a repair may come
that late, and makes extract read the whole hour anew."""

_STEPS = ("extract", "load")


class CleaningPorts(Protocol):
    @property
    def markets(self) -> tuple[str, ...]: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def warehouse(self) -> Warehouse: ...


@dataclass(frozen=True)
class Kept:
    """A segment that is old enough to go and stays, and why."""

    name: str
    size: int
    reason: str


@dataclass(frozen=True)
class Cleaned:
    """What one round did, or with `dry_run` would do.

    Attributes:
        removed: names of segments.
        removed_bytes: their size.
        kept: segments that are old enough, and why they stay.
        young: segments that are not old enough to be looked at.
        pruned: names of what the other stores deleted.
    """

    removed: tuple[str, ...]
    removed_bytes: int
    kept: tuple[Kept, ...]
    young: int
    pruned: tuple[str, ...]


def janitor(
    ports: CleaningPorts,
    keeper: SegmentKeeper,
    prunables: Sequence[Prunable] = (),
    *,
    keep_ms: int = KEEP_MS,
    needs_delivery: bool = False,
    dry_run: bool = False,
) -> Cleaned:
    """Remove the segments of the journal that are not needed any more, and let other stores forget their old days.

    A segment goes when its hour has been over for `keep_ms`, its writer has begun a newer one, a shipper, where one is
    used, is at its end, and every trade in it stands in the warehouse, its hour extracted and loaded. Run twice it
    removes nothing more.

    Args:
        needs_delivery: keep all as long as no shipper has ever run.
        dry_run: delete nothing and only say what would go; the prunables are left out.

    Raises:
        StoreError: a prunable refused; the segments were removed before.
    """
    now_ms = ports.clock.now_ms()
    segments = keeper.segments()
    old = [one for one in segments if not one.is_newest and one.end_ms + keep_ms <= now_ms]
    books = _Books(ports)
    removed = []
    kept: list[Kept] = []
    for segment in old:
        contents = keeper.contents(segment.name)
        reason = next(_reasons(books, keeper, segment.name, contents, needs_delivery=needs_delivery), None)
        if reason is not None:
            kept.append(Kept(segment.name, segment.size, reason))
            continue
        if not dry_run:
            keeper.remove(segment.name, {hour for _, hour in contents.trades})
        removed.append(segment)
    pruned = [] if dry_run else [name for one in prunables for name in one.prune(now_ms)]
    return Cleaned(
        removed=tuple(one.name for one in removed),
        removed_bytes=sum(one.size for one in removed),
        kept=tuple(kept),
        young=len(segments) - len(old),
        pruned=tuple(pruned),
    )


def _reasons(
    books: _Books, keeper: SegmentKeeper, name: str, contents: Contents, *, needs_delivery: bool
) -> Iterator[str]:
    """Yield why a segment must stay."""
    is_delivered = keeper.is_delivered(name)
    if is_delivered is False:
        yield "it is not delivered to its end"
    if is_delivered is None and needs_delivery:
        yield "nothing delivers the journal: start tickloop ship, or fluentd"
    if contents.dead and not is_delivered:
        yield f"{contents.dead} of its lines cannot be read"
    for (market, hour), trades in contents.trades.items():
        if market in books.markets or not is_delivered:  # of others the delivery is all there need be
            yield from books.missing(market, hour, trades)


class _Books:
    """What the warehouse holds; the newest hour of each market stays in memory, since segments share hours."""

    def __init__(self, ports: CleaningPorts) -> None:
        self.markets = ports.markets
        self._warehouse = ports.warehouse
        self._last: dict[str, tuple[Window, str, set[int]]] = {}

    def missing(self, market: str, hour: Window, trades: Collection[int]) -> Iterator[str]:
        """Yield what of an hour is not there."""
        last = self._last.get(market)
        if last is None or last[0] != hour:
            last = self._last[market] = (hour, self._open_step(market, hour), self._ids(market, hour))
        _, step, known = last
        if step:
            yield f"{step} of {market} {hour} is not done"
        lost = len(set(trades) - known)
        if lost:
            yield f"{lost} of its trades of {market} {hour} are not in the warehouse"

    def _ids(self, market: str, hour: Window) -> set[int]:
        return set(self._warehouse.read(TRADE, market, hour)["trade_id"])

    def _open_step(self, market: str, hour: Window) -> str:
        """Name the first step that has no run of this hour, or whose newest is not done; empty when all are."""
        runs = runs_over(self._warehouse, market, hour).sort("sequence")
        for step in _STEPS:
            states = runs.filter(pl.col("step") == step)["state"]
            if states.is_empty() or states[-1] != DONE:
                return step
        return ""
