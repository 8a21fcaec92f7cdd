"""What `tickloop.backtest` gives: frames, figures and the verdict of one run."""

from __future__ import annotations

from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import polars as pl

from tickloop.domain.backtest_inputs import Inputs
from tickloop.domain.backtest_result import BacktestResult
from tickloop.domain.judgement import Judgement
from tickloop.domain.window import Window
from tickloop.entrypoints.commands.backtest_text import backtest_lines, figures, made_with, notes
from tickloop.services.backtest_run import Chosen
from tickloop.services.honesty import judged

if TYPE_CHECKING:
    import plotly.graph_objects as go


class Result:
    """One run over one market; figures of a made tape are withheld: null in the frames, None in `metrics`.

    Attributes:
        inputs: what was replayed.
        window: the whole minutes of it.
        result: the run as the rest of the program knows it, nothing withheld.
    """

    def __init__(self, inputs: Inputs, chosen: Chosen, window: Window, result: BacktestResult) -> None:
        self.inputs = inputs
        self.window = window
        self.result = result
        self._chosen = chosen

    @property
    def orders(self) -> pl.DataFrame:
        """Give one row per order, in order of decision; columns as in `BacktestResult.orders`."""
        return self.result.orders

    @property
    def trades(self) -> pl.DataFrame:
        """Give one row per round trip, a lot bought and sold; columns as in `BacktestResult.trips`."""
        return self._shown(self.result.trips, "profit_krw")

    @property
    def equity(self) -> pl.DataFrame:
        """Give one row per minute with a price, at its end; columns as in `BacktestResult.equity`."""
        return self._shown(self.result.equity, "cash", "lots_value", "equity")

    @property
    def metrics(self) -> dict[str, Any]:
        """Give the figures by name, as the command prints them with --json."""
        return self.result.summary()

    @cached_property
    def judgement(self) -> Judgement:
        """Judge the result as that of a single trial: bootstrap, shuffled forecasts, other fees and latencies."""
        return judged(self.inputs, *self._chosen, self.result)

    @property
    def verdict(self) -> str:
        """Say in one sentence whether the result can be told from luck."""
        return self.judgement.verdict.text

    def plot(self) -> go.Figure:
        """Draw price with buys and sells, and the equity beside buying and holding.

        Raises:
            MissingExtraError: without plotly.
        """
        from tickloop.entrypoints.notebook.plot import figure

        return figure(self.inputs, self.result, self.verdict)

    def __repr__(self) -> str:
        return "\n".join(backtest_lines(self.metrics, self.verdict, str(self.window)))

    def _repr_html_(self) -> str:
        metrics = self.metrics
        head = "".join(f"<div>{escape(line)}</div>" for line in made_with(metrics, str(self.window)))
        tables = "".join(_table(title, rows) for title, rows in figures(metrics).items())
        known = "".join(f"<li>{escape(note)}</li>" for note in notes(metrics))
        return f"<p><strong>{escape(self.verdict)}</strong></p>{head}{tables}" + (f"<ul>{known}</ul>" if known else "")

    def _shown(self, frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
        if not self.result.is_withheld:
            return frame
        return frame.with_columns(pl.lit(None, pl.Float64()).alias(name) for name in columns)


def _table(title: str, rows: dict[str, str]) -> str:
    cells = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape(label)}</th>'
        f'<td style="text-align:left">{escape(text)}</td></tr>'
        for label, text in rows.items()
    )
    return f'<table><caption style="text-align:left">{escape(title)}</caption><tbody>{cells}</tbody></table>'
