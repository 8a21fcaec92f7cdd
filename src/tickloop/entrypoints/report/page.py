"""A back-test as one HTML file: it opens anywhere, asks nobody for anything, and says its worth first."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tickloop import __version__
from tickloop.domain.backtest_bars import run_buy_and_hold
from tickloop.domain.backtest_costs import costs_of
from tickloop.domain.backtest_inputs import Inputs
from tickloop.domain.backtest_result import BacktestResult, result_of
from tickloop.entrypoints.report import series, svg
from tickloop.entrypoints.report.html import (
    NONE,
    coloured,
    figure,
    krw,
    kst,
    number,
    pairs,
    percent,
    price,
    section,
    table,
    text,
)

MAX_ORDERS = 500
"""Rows of the table of orders; a longer list is cut, and says so."""

_STATIC = Path(__file__).parent / "static"
_LIBRARY = Path(__file__).parents[1] / "dashboard" / "static" / "lightweight-charts.standalone.production.js"


@dataclass(frozen=True)
class Subject:
    """What a page is about.

    Attributes:
        candles: one-minute bars (ts_open, open, high, low, close) over the same time; may be empty in tick mode.
        verdict: kind and sentence, as `domain.verdict` gives them.
        more: sections that others have drawn, as markup: how it was judged, a search, folds.
    """

    result: BacktestResult
    inputs: Inputs
    candles: pl.DataFrame
    verdict: tuple[str, str]
    more: tuple[str, ...] = ()

    @property
    def is_told(self) -> bool:
        """Tell whether a profit may be shown: none is on a tape whose path inside the minute was made up."""
        return self.inputs.path != "invented"


def backtest_page(subject: Subject) -> str:
    """Give the whole page."""
    setup = subject.result.setup
    title = f"{setup.strategy} on {setup.market}"
    summary = subject.result.summary()
    body = "".join(
        (
            _head(subject, title),
            section("Result", pairs(_figures(subject, summary))),
            section("Trades on the chart", *_candles(subject)),
            section("Equity", *_equity(subject)),
            section("Round trips", *_trips(subject)),
            section("Where the profit went", *_costs(subject)),
            *subject.more,
            section("Setup", pairs(_setup(summary))),
            section("Orders", _orders(subject)),
        )
    )
    return document(title, body)


def document(title: str, body: str) -> str:
    """Put a body into a page that may run our two scripts, and load nothing."""
    scripts = (_script(_LIBRARY), _script(_STATIC / "report.js"))
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {' '.join(map(_hash, scripts))}"
    css = (_STATIC / "report.css").read_text(encoding="utf-8")
    made = f"Made by tickloop {__version__}. Times are Korea's (UTC+9); money is KRW."
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{text(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{css}</style></head><body>{body}"
        f'<footer class="soft"><p>{text(made)}</p><p>Charts: Lightweight Charts, Copyright 2026 TradingView, Inc., '
        "Apache License 2.0.</p></footer>"
        f"{''.join(f'<script>{script}</script>' for script in scripts)}</body></html>"
    )


def chart(draw: str, data: Mapping[str, Any], label: str, note: str, height: str) -> str:
    """Give a place that the page's script draws in, and its data."""
    name = f"data-{draw}"
    content = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    place = f'<div class="chart {height}" data-draw="{draw}" data-source="{name}"></div>'
    return figure(place, label, note) + f'<script type="application/json" id="{name}">{content}</script>'


@cache
def _script(path: Path) -> str:
    return path.read_text(encoding="utf-8").replace("</script", "<\\/script")


def _hash(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _head(subject: Subject, title: str) -> str:
    kind, sentence = subject.verdict
    equity, setup = subject.result.equity["ts"], subject.result.setup
    how = "minute by minute, from bars" if setup.mode == "bars" else "trade by trade"
    span = f"{kst(equity[0])[:16]} to {kst(equity[-1])[:16]}, {len(equity):,} minutes with a price, {how}"
    notes = "".join(f"<li>{text(note)}</li>" for note in _notes(subject))
    return (
        f'<p class="verdict {text(kind)}" id="verdict">{text(sentence)}</p><h1>{text(title)}</h1>'
        f'<p class="soft">{text(span)}</p>' + (f'<ul class="notes">{notes}</ul>' if notes else "")
    )


def _notes(subject: Subject) -> Iterator[str]:
    result = subject.result
    if not subject.is_told:
        yield (
            "The trades of this window were made from candles: what prices did inside a minute is invented. "
            "No profit is shown; run it in bar mode to see one."
        )
    if subject.inputs.mode == "bars":
        yield "The path inside a minute is not known here; what a bar cannot tell is taken against us."
    if subject.inputs.unknown_minutes:
        yield f"{subject.inputs.unknown_minutes:,} minutes of the window are not settled and were let through as asked."
    if not result.rules_confirmed:
        yield "Some price units of this span are not confirmed by a source."
    if without := result.summary()["fills_without_depth"]:
        yield f"Fills without a recorded order book, one tick against us instead: {without:,}."
    if result.setup.caveat:
        yield f"Fills ({result.setup.fill_model}): {result.setup.caveat}."


def _figures(subject: Subject, summary: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    trades = f"{summary['trades']:,}"
    if subject.is_told:
        yield from _profits(summary)
        won = f"mean {krw(summary['mean_profit_per_trade_krw'], signed=True)} KRW each"
        yield "Round trips", trades, won if summary["trades"] else "none was closed"
        yield "Win rate", percent(summary["win_rate"], 1), f"profit factor {number(summary['profit_factor'], 2)}"
        fall = f"{percent(summary['max_drawdown'])} of the peak"
        yield "Maximum draw-down", f"{krw(summary['max_drawdown_krw'])} KRW", fall
    else:
        yield "Round trips", trades, "of invented prices"
    waiting = f"{summary['unsellable_lots']:,} too small to sell; {summary['waited_unsellable']:,} had to wait"
    yield "Open lots", f"{summary['open_lots']:,}", waiting
    no_fill = f"{summary['buys']:,} buys, {summary['sells']:,} sells, {summary['no_fill']:,} without a fill"
    yield "Orders", f"{summary['orders']:,}", no_fill
    yield "Turnover", f"{krw(summary['turnover_krw'])} KRW", f"fees {krw(summary['fees_krw'])} KRW"
    yield "Exposure", percent(summary["exposure"], 1), "minutes with a lot"


def _profits(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    profit, held = summary["profit_krw"], summary["buy_and_hold_krw"]
    per_minute = f"{summary['profit_per_minute_krw']:+.4f} a minute; doing nothing: 0"
    yield "Profit after fees", coloured(profit, f"{krw(profit, signed=True)} KRW"), per_minute
    yield "Buy and hold", coloured(held, f"{krw(held, signed=True)} KRW"), "all the budget, over the same minutes"
    closed = summary["realized_krw"]
    yield "Of closed lots", coloured(closed, f"{krw(closed, signed=True)} KRW"), "bought and sold again"
    small = f"of it {krw(summary['unsellable_krw'])} too small to sell"
    yield "Open at the end", f"{krw(summary['open_value_krw'])} KRW", f"at the last price after the fee; {small}"
    worst = summary["profit_pessimistic_krw"]
    yield "Profit, pessimistic", coloured(worst, f"{krw(worst, signed=True)} KRW"), "what cannot be sold at 0"


def _width(subject: Subject) -> int:
    return series.width_for(subject.result.equity.height)


def _candles(subject: Subject) -> Iterator[str]:
    candles = subject.candles
    if candles.is_empty() and subject.inputs.tape is not None:
        candles = series.candles_of_tape(subject.inputs.tape)
    if candles.is_empty():
        return
    width = series.width_for(candles.height)
    marks = series.mark_rows(subject.result.orders, width)
    fills = sum(row[2] for row in marks)
    data = {"candles": series.candle_rows(candles, width), "marks": marks}
    wide = "one minute" if width == 1 else f"{width:,} minutes"
    note = f"Candles of {wide}; {fills:,} fills, buys below and sells above."
    yield chart("candles", data, f"Candles of {subject.inputs.market} with {fills:,} fills", note, "tall")


def _equity(subject: Subject) -> Iterator[str]:
    if not subject.is_told:
        return
    result, inputs, width = subject.result, subject.inputs, _width(subject)
    book = run_buy_and_hold(inputs.bars, result.setup.params, result.setup.budget)
    held = result_of(book, result.setup, inputs.minutes).equity
    data = {"equity": series.equity_rows(result.equity, width), "held": series.equity_rows(held, width)}
    label = f"Equity from {krw(result.setup.budget)} to {krw(float(result.equity['equity'][-1]))} KRW"
    yield chart("equity", data, label, f"{label}; the thin line is buy and hold.", "tall")
    falls = series.drawdown_rows(result, width)
    worst = f"Draw-down from the highest equity so far, deepest {krw(min(row[1] for row in falls))} KRW"
    yield chart("drawdown", {"drawdown": falls}, worst, worst + ".", "short")


def _trips(subject: Subject) -> Iterator[str]:
    profits = subject.result.trips["profit_krw"].to_numpy()
    if not subject.is_told or not len(profits):
        return
    edges, counts = series.spread_of(profits)
    shown = [krw(edge, signed=True) for edge in edges]
    middle, low, high = (float(np.quantile(profits, share)) for share in (0.5, 0.05, 0.95))
    label = f"Profit of {len(profits):,} round trips after both fees"
    note = f"{label}: median {krw(middle, signed=True)} KRW, nine in ten between {krw(low, signed=True)} and "
    yield figure(svg.histogram(edges, counts, shown), label, f"{note}{krw(high, signed=True)}.")


def _costs(subject: Subject) -> Iterator[str]:
    if not subject.is_told or subject.result.orders.is_empty():
        return
    costs = costs_of(subject.result)
    values = (costs.moves, -costs.filling, -costs.fees, -costs.leaving, costs.profit)
    names = ("Price moves", "Filling", "Fees", "Fee of leaving", "Profit")
    label = ", ".join(f"{name} {krw(value, signed=True)} KRW" for name, value in zip(names, values, strict=True))
    note = (
        "Price moves: between the prices at which was decided. Filling: the ticks against us and the time until the "
        "fill. Fee of leaving: of what is still open."
    )
    yield figure(svg.bars(values, names, [krw(value, signed=True) for value in values]), label, note)


def _setup(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    yield "Budget", f"{krw(summary['budget_krw'])} KRW", ""
    yield "Forecasts of", text(summary["model_version"] or "no model"), ""
    latency = f"{summary['latency_ms']:,} ms from decision to fill" if summary["mode"] == "ticks" else ""
    yield "Fills", text(summary["fill_model"]), latency
    for name, value in summary["params"].items():
        yield name, text(f"{value:g}" if isinstance(value, float) else value), ""


def _orders(subject: Subject) -> str:
    orders = subject.result.orders
    if orders.is_empty():
        return "<p>No order was sent.</p>"
    head = ("Decided", "Side", "Price", "Forecast", "Outcome", "Filled", "Fill price", "Quantity", "KRW", "Fee")
    cut = f"the first {MAX_ORDERS:,} of {orders.height:,} orders" if orders.height > MAX_ORDERS else "every order"
    rows = (_order_cells(row) for row in orders.head(MAX_ORDERS).iter_rows(named=True))
    return table(head, rows, f"Times in Korea; {cut}.")


def _order_cells(row: Mapping[str, Any]) -> list[str]:
    is_filled = row["filled_at"] is not None
    side = f'<span class="{"won" if row["side"] == "BUY" else "lost"}">{text(row["side"])}</span>'
    filled = price(row["fill_price"]) if is_filled else NONE
    money = [f"{row['qty_e8'] / 1e8:.8f}", krw(row["funds"]), krw(row["fee"])] if is_filled else [NONE] * 3
    decided = [kst(row["decided_at"]), side, price(row["decision_price"]), number(row["forecast"], 2)]
    return [*decided, text(row["outcome"]), kst(row["filled_at"]), filled, *money]
