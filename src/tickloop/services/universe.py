"""Which markets are collected: looked up while the collector runs, so that listings and delistings need no restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeVar

import structlog

from tickloop.domain.universe import noted
from tickloop.errors import TickloopError
from tickloop.ports import Clock, MarketData, MarketLog

KRW = "KRW-"

MOST_REMEMBERED = 100
"""Delisted markets that the figures name, the newest last."""

LEAST_REAL_S = 1.0
"""Between two looks, however fast market time runs."""

_WAIT_S = 0.5  # the market clock may start, stop or change speed meanwhile

Universe = Literal["markets", "krw"]

_T = TypeVar("_T")


@dataclass
class MarketFigures:
    """What is collected.

    Attributes:
        markets: in the order of the settings, then by name.
        listed: markets that came on offer since the start.
        delisted: markets that are no longer on offer, the newest last.
        last_error: why the newest look failed, or could not be recorded; empty when neither did.
    """

    markets: tuple[str, ...]
    listed: int = 0
    delisted: list[str] = field(default_factory=list)
    last_error: str = ""


@dataclass(frozen=True)
class ListChanged:
    """What a look changed.

    Attributes:
        markets: those to collect from now on.
        since_ms: market time of the look before, at which `added` were not there; None for the first look.
    """

    markets: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    since_ms: int | None


def choose(universe: Universe, own: Sequence[str], on_offer: Sequence[str]) -> tuple[str, ...]:
    """Give the markets to collect: our own as far as they are on offer, and for `krw` every other one in KRW."""
    offered = set(on_offer)
    chosen = [market for market in dict.fromkeys(own) if market in offered]
    if universe == "krw":
        chosen += sorted(market for market in offered.difference(chosen) if market.startswith(KRW))
    return tuple(chosen)


class MarketWatch:
    """Looks up the markets on offer every `check_s` of market time, but not within `least_real_s` of real time.

    A look that fails, or that finds none of the markets, keeps the list. A market is dropped when it is missing twice
    in a row: one answer that is not whole must not stop a stream.

    Args:
        log: where it is recorded what is collected, for the processes that settle the hours.
    """

    def __init__(
        self,
        market_data: MarketData,
        clock: Clock,
        *,
        own: Sequence[str],
        universe: Universe,
        check_s: float,
        log: MarketLog | None = None,
        least_real_s: float = LEAST_REAL_S,
    ) -> None:
        self._market_data = market_data
        self._clock = clock
        self._own = tuple(own)
        self._universe: Universe = universe
        self._check_ms = int(check_s * 1_000)
        self._least_real_s = least_real_s
        self._market_log = log
        self._missing: set[str] = set()
        self._looked_ms: int | None = None
        # Not the loop's own threads: the end of the loop waits for those, and an exchange that is away takes its time.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="markets")
        self._log = structlog.get_logger(service="universe")
        self.figures = MarketFigures(self._own)

    async def run(self, on_change: Callable[[ListChanged], Awaitable[None]]) -> None:
        """Look at once and then again and again, and tell of each change; never ends by itself.

        Cancelled, it ends at once: a look under way is left alone in its thread.
        """
        try:
            while True:
                chosen = await self._look()
                change = self._compare(chosen) if chosen else None
                if change is not None:
                    await on_change(change)
                if chosen and self._market_log is not None:
                    await self._in_thread(partial(self._note, self._market_log))
                await self._pause()
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _compare(self, chosen: tuple[str, ...]) -> ListChanged | None:
        known = self.figures.markets
        added = tuple(market for market in chosen if market not in known)
        absent = {market for market in known if market not in chosen}
        removed = tuple(market for market in known if market in absent & self._missing)
        self._missing = absent
        since_ms, self._looked_ms = self._looked_ms, self._clock.now_ms()
        if not added and not removed:
            return None
        self.figures.markets = (*(market for market in known if market not in removed), *added)
        self.figures.listed += len(added) if since_ms is not None else 0
        self.figures.delisted = [*self.figures.delisted, *removed][-MOST_REMEMBERED:]
        self._log.info("markets changed", added=len(added), delisted=removed, markets=len(self.figures.markets))
        return ListChanged(self.figures.markets, added, removed, since_ms)

    async def _look(self) -> tuple[str, ...]:
        try:
            on_offer = await self._in_thread(self._market_data.markets)
        except TickloopError as exc:
            self.figures.last_error = str(exc)
            return ()
        chosen = choose(self._universe, self._own, on_offer)
        self.figures.last_error = "" if chosen else f"none of {', '.join(self._own)} is among {len(on_offer)} on offer"
        return chosen

    def _note(self, log: MarketLog) -> None:
        """Record what is collected if that changed; where it cannot be, the next look tries again."""
        try:
            before = log.load()
            spans = noted(before, self.figures.markets, self._clock.now_ms())
            if spans != before:
                log.save(spans)
        except TickloopError as exc:
            self.figures.last_error = str(exc)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _pause(self) -> None:
        """Wait for the next look by market time, and some real time at least."""
        until_ms = self._clock.now_ms() + self._check_ms
        await asyncio.sleep(self._least_real_s)
        while (left_s := self._clock.real_seconds_until(until_ms)) > 0:
            await asyncio.sleep(min(left_s, _WAIT_S))
