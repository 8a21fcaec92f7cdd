"""What a walk-forward has found, as plain values for a page or a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tickloop.domain.folds import Plan, length_text
from tickloop.domain.judgement import Judgement
from tickloop.domain.search import Search
from tickloop.domain.track import Track
from tickloop.domain.trials import Trial
from tickloop.domain.walkforward import FoldRun, efficiency_of, stitched_trial
from tickloop.domain.window import Window

AT_THE_ENDS = (
    "lots that are open when a test part ends are valued at its last price after the fee of selling, and the next part"
    " starts with that money"
)


@dataclass(frozen=True)
class WalkForward:
    """What a walk-forward has found.

    Attributes:
        name: under which its trials are kept.
        search: with the job as the home completes it.
        strategy: what a result calls it.
        track: of all test parts, joined.
        settings: how many were tried on each train part.
        attempts: walk-forwards over times that share some with this one, this one included: the judgement's trials.
        trials_so_far: settings that were ever tried on this market and overlapping windows, these included.
    """

    name: str
    search: Search
    strategy: str
    plan: Plan
    runs: tuple[FoldRun, ...]
    track: Track
    judgement: Judgement
    settings: int
    attempts: int
    trials_so_far: int

    @property
    def span(self) -> Window:
        """From the start of the first test part to the end of the last."""
        return tested(self.runs)

    def as_dict(self) -> dict[str, Any]:
        """Give JSON-ready values; money is KRW after fees."""
        job, plan, trial = self.search.job, self.plan, self._trial()
        inside = sum(run.best.figures.profit_krw for run in self.runs)
        return {
            "verdict": self.judgement.verdict.text,
            "walkforward": self.name,
            "market": job.market,
            "strategy": self.strategy,
            "model_version": job.version,
            "mode": job.mode,
            "window": str(job.window),
            "tested": str(self.span),
            "scheme": "anchored" if plan.is_anchored else "rolling",
            "train": length_text(plan.train_ms),
            "test": length_text(plan.test_ms),
            "step": length_text(plan.every_ms),
            "embargo": length_text(plan.embargo_ms),
            "method": self.search.method,
            "seed": self.search.seed,
            "objectives": list(self.search.objectives),
            "settings": self.settings,
            "runs_in_train_parts": self.settings * len(self.runs),
            "attempts": self.attempts,
            "trials_so_far": self.trials_so_far,
            "budget_krw": self.track.budget,
            "out_of_sample": _rounded(trial.figures._asdict()) | {"buy_and_hold_krw": self.track.buy_and_hold_krw},
            "in_sample_profit_krw": round(inside, 4),
            "efficiency": efficiency_of(self.runs),
            "profitable_folds": sum(run.profit_krw > 0.0 for run in self.runs),
            "folds": [_fold(run) for run in self.runs],
            "equity": self._equity(),
            "notes": [AT_THE_ENDS],
            "judgement": self.judgement.as_dict(),
        }

    def equity(self) -> pl.DataFrame:
        """Give the equity of the test parts, joined: one row per minute with a price: ts (its start), equity, fold."""
        starts = [run.fold.test.start_ms for run in self.runs]
        fold = np.searchsorted(starts, self.track.ts_ms, side="right") - 1
        frame = pl.DataFrame({"ts": self.track.ts_ms, "equity": self.track.equity, "fold": fold})
        return frame.with_columns(pl.from_epoch("ts", "ms").dt.replace_time_zone("UTC"))

    def _trial(self) -> Trial:
        return stitched_trial(self.track, self.runs, self.span)

    def _equity(self) -> list[tuple[int, float]]:
        """Give the equity at the end of each part of the time that was traded: (ms, KRW)."""
        span, profits = self.span, self._trial().profits
        ends = span.start_ms + np.arange(1, len(profits) + 1) * (span.end_ms - span.start_ms) // len(profits)
        return list(zip(ends.tolist(), np.round(self.track.budget + np.cumsum(profits), 4).tolist(), strict=True))


def tested(runs: Sequence[FoldRun]) -> Window:
    """Give the span from the first test part to the end of the last."""
    return Window(runs[0].fold.test.start_ms, runs[-1].fold.test.end_ms)


def _fold(run: FoldRun) -> dict[str, Any]:
    shown = ("profit_krw", "trades", "orders", "fees_krw", "turnover_krw", "max_drawdown_krw", "exposure", "open_lots")
    result = None if run.result is None else run.result.summary()
    return {
        "number": run.fold.number,
        "train": str(run.fold.train),
        "test": str(run.fold.test),
        "setting": run.best.setting,
        "in_sample": _rounded(run.best.figures._asdict()),
        "out_of_sample": None if result is None else {name: result[name] for name in shown},
        "cash_krw": round(run.cash, 4),
    }


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) + 0 for name, value in figures.items()}
