"""The body of the collector: the feed into the journal, and beside it repair, the list of markets, and alerts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import structlog

from tickloop.bootstrap import COLLECTOR, App
from tickloop.ports import Disconnected, SessionLog
from tickloop.services.collect import Collected, collect
from tickloop.services.repair import Repairs
from tickloop.services.universe import ListChanged, MarketWatch
from tickloop.services.watchdog import Watchdog
from tickloop.settings import CollectSettings

_LOSSES_EVERY_S = 1.0  # real


async def run_collector(app: App, stop: asyncio.Event) -> None:
    """Collect until told to stop, or until the disk or the exchange refuses for good."""
    journal = app.journal()
    repairs = app.repairs(journal.has_synced)  # before anything is written: it asks how far the last process came
    watch, sessions = app.market_watch(), app.sessions()
    feed = app.feed(stream_types(app.settings.collect), app.markets)
    report = Report(app, watch, repairs, feed.losses)

    async def change(found: ListChanged) -> None:
        if found.since_ms is not None:
            repairs.expect(found.added, found.since_ms)
        feed.set_markets(found.markets)
        if found.removed:
            await sessions.disconnected(app.clock.now_ms(), "delisted", found.removed)

    repairs.start()
    try:
        state = await collect(
            feed,
            journal,
            sessions,
            report,
            stop,
            markets=lambda: watch.figures.markets,
            missed=lambda *gap: asyncio.to_thread(repairs.missed, *gap),
            beside=(watch.run(change), note_losses(feed.losses, sessions, lambda: watch.figures.markets)),
        )
    finally:
        repairs.close()
    structlog.get_logger(process=COLLECTOR).info("collected", **report.figures(state))


async def note_losses(
    losses: Callable[[], Sequence[Disconnected]], sessions: SessionLog, markets: Callable[[], Sequence[str]]
) -> None:
    """Record the end of a session while its connection is still away; never ends by itself.

    The feed tells of a loss when it is connected again; a process that is killed before must know since when.
    """
    noted: set[tuple[int, tuple[str, ...]]] = set()
    while True:
        found = {(gap.since_ms, gap.markets): gap for gap in losses() if gap.since_ms is not None}
        for since_ms, names in found.keys() - noted:
            await sessions.disconnected(since_ms, found[since_ms, names].reason, names or tuple(markets()))
        noted = set(found)
        await asyncio.sleep(_LOSSES_EVERY_S)


class Report:
    """Tells status and watchdog how collection stands; called about once a second.

    Args:
        lost: gives what the feed is missing at this moment.
    """

    def __init__(
        self, app: App, watch: MarketWatch, repairs: Repairs, lost: Callable[[], Sequence[Disconnected]]
    ) -> None:
        alerts = app.settings.alerts
        self._app = app
        self._watch = watch
        self._repairs = repairs
        self._watchdog = Watchdog(
            app.notifier, stream_down_s=alerts.stream_down_s, dead_per_minute=alerts.dead_per_minute
        )
        self._lost = lost

    def __call__(self, state: Collected) -> None:
        self._watch_over(state)
        self._app.board.write(COLLECTOR, self._state(state), self._words(state), **self.figures(state))

    def figures(self, state: Collected) -> dict[str, Any]:
        return {
            **dict(state.kinds),
            "waits": state.waits,
            **asdict(state.arrivals),
            "markets": len(self._watch.figures.markets),
            "delisted": self._watch.figures.delisted,
            "market_check_error": self._watch.figures.last_error,
            "repairs": asdict(self._repairs.figures),
            "disk": None if state.shortage is None else asdict(state.shortage),
        }

    def _state(self, state: Collected) -> str:
        if state.shortage is not None:
            return "blocked"
        return "starting" if state.connected_at_ms is None else "ready"

    def _words(self, state: Collected) -> str:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(state.kinds.items())) or "nothing yet"
        words = f"{kinds}; connected {state.connections} times"
        repairs = self._repairs.figures
        if repairs.pending:
            words += f"; {repairs.pending} gaps wait for repair"
        if state.shortage is None:
            return words
        free, needed = state.shortage.free_bytes, state.shortage.needed_bytes
        return f"the disk is full: {free:,} bytes are free, {needed:,} are needed; nothing is taken in; {words}"

    def _watch_over(self, state: Collected) -> None:
        now_s, clock = asyncio.get_running_loop().time(), self._app.clock
        stands = math.isinf(clock.real_seconds_until(clock.now_ms() + 1_000))
        lost = {market for gap in self._lost() for market in gap.markets or self._watch.figures.markets}
        self._watchdog.look_at_disk(state.shortage)
        self._watchdog.look_at_stream(
            now_s, state.kinds.total(), lost, may_be_silent=stands or state.shortage is not None
        )
        self._watchdog.look_at_dead(now_s, state.kinds["dead"])


def stream_types(settings: CollectSettings) -> tuple[str, ...]:
    """Give the message types that the collector subscribes to."""
    types = ["trade", "ticker"]
    if settings.with_orderbook:
        types.append("orderbook")
    if settings.with_candles:
        types.append("candle.1s")
    return tuple(types)
