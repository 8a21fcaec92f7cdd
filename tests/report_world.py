"""A seeded back-test and the page about it."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import polars as pl

from tickloop.domain.backtest_inputs import Inputs, minutes_of, result_for
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.strategy import PRESETS, OrderParams, Strategy, default
from tickloop.domain.tape import BarTape, ForecastSeries, Tape
from tickloop.entrypoints.report.page import Subject

START_MS = 1_705_881_600_000  # 2024-01-22T00:00Z
CASH = 50_000.0
VERDICT = ("loss", "This result loses money.")
SPREAD = FILL_MODELS["spread"]


def bar_inputs(minutes: int = 600, edge: float = 0.001) -> Inputs:
    """Bars of a random walk, and forecasts that know nothing; with an edge of 0 nothing is bought."""
    rng = np.random.default_rng(5)
    ts_ms = START_MS + 60_000 * np.arange(minutes)
    close = 58e6 + 1_000.0 * np.cumsum(rng.integers(-30, 31, minutes))
    opens = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opens, close) + 1_000.0 * rng.integers(0, 30, minutes)
    series = ForecastSeries(ts_ms, opens * np.exp(rng.normal(0.0, edge, minutes)), ts_ms)
    return Inputs("KRW-BTC", BarTape("KRW-BTC", ts_ms, opens, high, close), None, series, "ridge-2", "bars")


def tick_inputs(path: str = "recorded") -> Inputs:
    """The same walk as trades, ten a minute."""
    bars = bar_inputs()
    ts_ms = START_MS + 6_000 * np.arange(len(bars.bars.ts_ms) * 10)
    tape = Tape("KRW-BTC", ts_ms, np.repeat(bars.bars.close, 10))
    return replace(bars, tape=tape, bars=minutes_of(tape), path=path)


def candles_of(inputs: Inputs) -> pl.DataFrame:
    bars = inputs.bars
    columns = {"ts_open": bars.ts_ms, "open": bars.open, "high": bars.high, "close": bars.close}
    low = pl.min_horizontal("open", "close").alias("low")
    return pl.DataFrame(columns).with_columns(pl.col("ts_open").cast(pl.Datetime("ms", "UTC")), low)


def subject_of(
    inputs: Inputs, strategy: Strategy = default, params: OrderParams = PRESETS["default"], name: str = ""
) -> Subject:
    result = result_for(inputs, strategy, params, SPREAD, CASH, name)
    return Subject(result, inputs, candles_of(inputs), VERDICT)


class Seen(HTMLParser):
    """What a reader of a page sees: its words, and the tags that are open at each."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._hidden = 0
        self.feed(page)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.words.append(" ".join(data.split()))
