"""The body of the shipper: the journal to the event sink of the settings, and its status."""

from __future__ import annotations

from dataclasses import asdict
from threading import Event
from typing import Any

import structlog

from tickloop.bootstrap import App
from tickloop.services.ship import Shipped, ship

SHIPPER = "shipper"


def run_shipper(app: App, stop: Event, *, once: bool = False) -> Shipped:
    """Deliver until told to stop, or with `once` until all that is there is delivered.

    Raises:
        HomeBusyError: another shipper runs on this home.
        StoreError, DiskFullError: with `once`, what keeps the lines from being delivered.
    """

    def report(state: Shipped) -> None:
        app.board.write(SHIPPER, "blocked" if state.trouble else "ready", words_of(state), **figures_of(state))

    with app.line_source() as source:
        sink = app.event_sink()
        try:
            state = ship(source, sink, app.refused_lines(), report, stop, once=once)
        finally:
            sink.close()
    structlog.get_logger(process=SHIPPER).info("shipped", **figures_of(state))
    return state


def figures_of(state: Shipped) -> dict[str, Any]:
    """Give the counts of a delivery, for programs."""
    return {**asdict(state), "drift": dict(state.drift)}


def words_of(state: Shipped) -> str:
    """Say how delivery stands, for a person."""
    words = f"{state.delivered:,} lines delivered, {state.known:,} known, {state.behind_bytes:,} bytes behind"
    if state.refused:
        words += f"; {state.refused:,} refused"
    if state.drift:
        words += f"; fields not indexed: {', '.join(sorted(state.drift))}"
    if not state.trouble:
        return words
    return f"{'waiting' if state.is_away else 'nothing is delivered'}: {state.trouble}; {words}"
