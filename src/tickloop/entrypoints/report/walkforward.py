"""The page about a walk-forward: what its test parts made together, fold by fold, and what that is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tickloop.domain.walkforward_result import WalkForward
from tickloop.domain.window import MINUTE_MS
from tickloop.entrypoints.report import series, svg
from tickloop.entrypoints.report.html import coloured, figure, krw, number, pairs, percent, section, table, text
from tickloop.entrypoints.report.judged import judgement_section
from tickloop.entrypoints.report.page import chart, document

_SHOWN = 12
"""Bars that have room for their amounts."""


def walkforward_page(walked: WalkForward) -> str:
    """Give the whole page."""
    found = walked.as_dict()
    title = f"{found['strategy']} on {found['market']}, walked forward"
    body = "".join(
        (
            _head(found, walked.judgement.verdict.kind.value, title),
            section("Result", pairs(_figures(found))),
            section("Equity", _equity(walked)),
            section("Folds", _profits(found), _folds(found)),
            judgement_section(found["judgement"]),
        )
    )
    return document(title, body)


def _head(found: Mapping[str, Any], kind: str, title: str) -> str:
    parts = (
        f"train {found['train']} ({found['scheme']}), embargo {found['embargo']}, test {found['test']}, a fold every"
        f" {found['step']}; tested {found['tested']} (UTC)"
    )
    tried = (
        f"{found['settings']:,} settings a fold by {found['method']}, for {', '.join(found['objectives'])};"
        f" {found['trials_so_far']:,} were tried on this market and time so far, and this is attempt"
        f" {found['attempts']:,} to walk over it"
    )
    notes = "".join(f"<li>{text(note)}.</li>" for note in (tried, *found["notes"]))
    return (
        f'<p class="verdict {text(kind)}" id="verdict">{text(found["verdict"])}</p><h1>{text(title)}</h1>'
        f'<p class="soft">{text(parts)}</p><ul class="notes">{notes}</ul>'
    )


def _figures(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    out, inside = found["out_of_sample"], found["in_sample_profit_krw"]
    yield "Out of sample", coloured(out["profit_krw"], krw(out["profit_krw"], signed=True)), "KRW after fees"
    yield "In sample", coloured(inside, krw(inside, signed=True)), "of the chosen settings, all train parts"
    efficiency = found["efficiency"]
    why = "profit a day, out of sample over in sample" if efficiency is not None else "the choices lost in sample too"
    yield "Efficiency", percent(efficiency, 1), why
    held = out["buy_and_hold_krw"]
    yield "Buy and hold", coloured(held, krw(held, signed=True)), "over the same time"
    yield "Folds that won", f"{found['profitable_folds']:,} of {len(found['folds']):,}", ""
    yield "Round trips", number(out["trades"]), f"fees {krw(out['fees_krw'])}, turnover {krw(out['turnover_krw'])}"
    yield "Largest drawdown", krw(out["max_drawdown_krw"]), ""
    yield "Exposure", percent(out["exposure"], 1), "of minutes with lots"


def _equity(walked: WalkForward) -> str:
    track, equity = walked.track, walked.equity()
    width = series.width_for((walked.span.end_ms - walked.span.start_ms) // MINUTE_MS)
    data = {"equity": series.equity_rows(equity, width), "held": []}
    label = f"Equity of the test parts, joined: from {krw(track.budget)} to {krw(float(track.equity[-1]))} KRW"
    falls = np.maximum.accumulate(np.maximum(track.equity, track.budget)) - track.equity
    return chart("equity", data, label, f"{label}; deepest fall {krw(float(falls.max()))} KRW.", "tall")


def _profits(found: Mapping[str, Any]) -> str:
    profits = [_out(fold, "profit_krw") or 0.0 for fold in found["folds"]]
    names = [str(fold["number"]) for fold in found["folds"]]
    shown = [krw(profit, signed=True) for profit in profits] if len(profits) <= _SHOWN else [""] * len(profits)
    return figure(svg.bars(profits, names, shown), "Profit of each test part")


def _folds(found: Mapping[str, Any]) -> str:
    names = list(found["folds"][0]["setting"])
    head = ("Fold", "Train", "Test", *names, "In sample", "Out of sample", "Trades", "Fees", "Open at the end")
    rows = (
        [
            str(fold["number"]),
            text(fold["train"]),
            text(fold["test"]),
            *(f"{fold['setting'][name]:g}" for name in names),
            _signed(fold["in_sample"]["profit_krw"]),
            _signed(_out(fold, "profit_krw")),
            number(_out(fold, "trades")),
            krw(_out(fold, "fees_krw")),
            number(_out(fold, "open_lots")),
        ]
        for fold in found["folds"]
    )
    return table(head, rows, "What each train part chose, and what it made then; KRW after fees, times of UTC.")


def _out(fold: Mapping[str, Any], name: str) -> Any:
    """Give a figure of a test part; None where it had no price."""
    return None if fold["out_of_sample"] is None else fold["out_of_sample"][name]


def _signed(value: float | None) -> str:
    return coloured(value, krw(value, signed=True))
