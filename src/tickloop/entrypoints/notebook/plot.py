"""The picture of a run: price with buys and sells, and equity beside buying and holding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tickloop.domain.backtest_bars import run_buy_and_hold
from tickloop.domain.backtest_inputs import Inputs
from tickloop.domain.backtest_result import BacktestResult, result_of
from tickloop.errors import MissingExtraError

if TYPE_CHECKING:
    import plotly.graph_objects as go

MAX_POINTS = 5_000
"""Points of a line: more are thinned to this many, since no screen shows them."""

_BUY, _SELL, _LINE, _OTHER = "#2a9d5c", "#d1495b", "#3b6fb6", "#9a9a9a"


def figure(inputs: Inputs, result: BacktestResult, title: str) -> go.Figure:
    """Draw a run; without equity where that is withheld.

    Raises:
        MissingExtraError: without plotly.
    """
    try:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots
    except ImportError as exc:
        raise MissingExtraError("Result.plot() draws with plotly, which", "notebook") from exc
    is_shown = not result.is_withheld
    drawn = make_subplots(rows=1 + is_shown, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    bars = inputs.bars
    price = _line(go, bars.ts_ms, bars.close, inputs.market, _LINE)
    drawn.add_trace(price, row=1, col=1)
    for side, symbol, color in (("BUY", "triangle-up", _BUY), ("SELL", "triangle-down", _SELL)):
        drawn.add_trace(_marks(go, result.orders, side, symbol, color), row=1, col=1)
    drawn.update_yaxes(title_text="KRW", row=1, col=1)
    if is_shown:
        drawn.add_trace(_line(go, bars.ts_ms, result.equity["equity"].to_numpy(), "equity", _LINE), row=2, col=1)
        drawn.add_trace(_line(go, bars.ts_ms, _held(inputs, result), "buy and hold", _OTHER), row=2, col=1)
        drawn.update_yaxes(title_text="equity, KRW after fees", row=2, col=1)
    drawn.update_layout(title_text=title, title_font_size=13, legend={"orientation": "h"}, hovermode="x unified")
    return drawn


def _line(go: Any, ts_ms: NDArray[np.int64], values: NDArray[np.float64], name: str, color: str) -> Any:
    at = np.unique(np.linspace(0, len(ts_ms) - 1, min(len(ts_ms), MAX_POINTS)).astype(np.int64))
    return go.Scatter(x=_times(ts_ms[at]), y=values[at], name=name, mode="lines", line={"color": color, "width": 1})


def _marks(go: Any, orders: pl.DataFrame, side: str, symbol: str, color: str) -> Any:
    """Mark every fill: none is thinned away."""
    filled = orders.filter((pl.col("outcome") == "filled") & (pl.col("side") == side))
    times = filled["filled_at"].dt.epoch("ms").to_numpy()
    mark = {"symbol": symbol, "color": color, "size": 9}
    return go.Scatter(x=_times(times), y=filled["fill_price"].to_numpy(), name=side, mode="markers", marker=mark)


def _held(inputs: Inputs, result: BacktestResult) -> NDArray[np.float64]:
    """Give the equity of buying with everything at the start and holding, minute by minute."""
    setup = result.setup
    book = run_buy_and_hold(inputs.bars, setup.params, setup.budget)
    return result_of(book, setup, inputs.minutes).equity["equity"].to_numpy()


def _times(ts_ms: NDArray[np.int64]) -> NDArray[np.datetime64]:
    return ts_ms.astype("datetime64[ms]")
