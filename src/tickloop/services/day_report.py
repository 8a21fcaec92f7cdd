"""What a range of the data and its newest models look like, as plain values, for a scheduler's daily report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from tickloop.domain.ledger_report import report_ledger
from tickloop.domain.schedule import FAILED
from tickloop.domain.tables import LEDGER
from tickloop.domain.window import Window
from tickloop.services.findings import findings
from tickloop.services.run_ledger import HISTORY, runs_over
from tickloop.services.steps import StepPorts


@dataclass(frozen=True)
class MarketDay:
    """One market over a window.

    Attributes:
        minutes: minutes by state, with the reason behind a slash where there is one.
        unknown: minutes that are not settled.
        failed: step and window of each run that stands as failed.
        champion: name of its champion, None when there is none.
        decision: why the champion is what it is, in the words of the newest decision.
        findings: what trading its forecasts would have brought in the newest back-test.
    """

    market: str
    window: str
    minutes: Mapping[str, int]
    unknown: int
    failed: tuple[str, ...]
    champion: str | None
    decision: str
    findings: str


def day_report(ports: StepPorts, market: str, window: Window) -> MarketDay:
    """Sum up one market's completeness, failures and models over a window; nothing is changed."""
    ledger = report_ledger(market, window, ports.warehouse.read(LEDGER, market, window), ports.clock.now_ms())
    runs = runs_over(ports.warehouse, market, window).filter(pl.col("step") != HISTORY)
    failed = runs.filter(pl.col("state") == FAILED).sort("window_start", "step")
    spans = zip(failed["step"], failed["window_start"].to_physical(), failed["window_end"].to_physical(), strict=True)
    champion = ports.registry.champion(market)
    decisions = list(ports.registry.decisions(market))
    return MarketDay(
        market=market,
        window=str(window),
        minutes={state if reason is None else f"{state}/{reason}": n for (state, reason), n in ledger.counts.items()},
        unknown=ledger.unknown,
        failed=tuple(f"{step} {Window(start, end)}" for step, start, end in spans),
        champion=None if champion is None else champion.name,
        decision=decisions[-1].reason if decisions else "",
        findings=findings(ports.warehouse, ports.registry, market),
    )
