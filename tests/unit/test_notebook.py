"""`tickloop.backtest`: the same run as the command's, its frames, figures, picture and refusals."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest

import tickloop
from tickloop.domain.backtest_inputs import Inputs, result_for
from tickloop.domain.backtest_result import WITHHELD
from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.strategies.shipped import SHIPPED
from tickloop.domain.strategy import BUY, Params, Strategy
from tickloop.domain.strategy_params import params_for
from tickloop.domain.tape import BarTape, ForecastSeries
from tickloop.errors import DataError, MissingExtraError, NotEnoughDataError, StrategyError, UsageError

START = 1_705_881_600_000  # 2024-01-22T00:00Z
MINUTE = 60_000
COUNT = 240
TS = START + MINUTE * np.arange(COUNT)


def _walk() -> np.ndarray:
    steps = np.random.default_rng(5).normal(0.0, 2e-3, COUNT)
    return np.round(50e6 * np.exp(np.cumsum(steps)) / 1000) * 1000


CLOSE = _walk()
OPEN = np.concatenate([CLOSE[:1], CLOSE[:-1]])
HIGH = np.maximum(OPEN, CLOSE)
BARS = pl.DataFrame({"ts_open": TS, "open": OPEN, "high": HIGH, "close": CLOSE})
TRADES = pl.DataFrame({"ts_event": np.repeat(TS, 4) + np.tile([2_000, 20_000, 40_000, 50_000], COUNT),
                       "price": np.repeat(CLOSE, 4)})  # fmt: skip
FORECASTS = (TS, CLOSE * 1.003)
CROSS = {"fast": 3, "slow": 9}
PAGE = (Path(__file__).parents[2] / "docs" / "backtest.md").read_text(encoding="utf-8")
NONE = ForecastSeries(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))


def _cross(data: Any = BARS, **more: Any) -> tickloop.Result:
    return tickloop.backtest(data, "sma_cross", params=CROSS, **more)


def test_run_is_the_one_that_the_rest_of_the_program_makes_of_the_same_arrays() -> None:
    """To the last figure; there is no second implementation."""
    strategy = SHIPPED["sma_cross"]
    inputs = Inputs("KRW-BTC", BarTape("KRW-BTC", TS, OPEN, HIGH, CLOSE), None, NONE, None, "bars")
    params = params_for(strategy, "KRW-BTC", START, values=CROSS)
    expected = result_for(inputs, strategy, params, FILL_MODELS["spread"], 50_000.0)

    run = _cross()

    assert run.metrics == expected.summary()
    assert run.orders.equals(expected.orders)
    assert run.trades.equals(expected.trips)
    assert run.equity.equals(expected.equity)
    assert run.metrics["trades"] > 5
    assert str(run.window) == "2024-01-22T00..2024-01-22T04"


def test_trades_are_recognised_and_filled_by_the_model_asked_for() -> None:
    """Ticks: with the forecasts usable a second after the start of their minute."""
    run = tickloop.backtest(TRADES, forecasts=FORECASTS, params={"min_edge": 0.002}, latency_ms=1_000)

    assert (run.metrics["mode"], run.metrics["latency_ms"]) == ("ticks", 1_000)
    assert run.metrics["params"]["min_edge"] == 0.002
    first = run.orders.row(0, named=True)
    assert first["decision_price"] == CLOSE[0]
    assert first["forecast"] == pytest.approx(CLOSE[0] * 1.003)
    assert first["decided_at"].timestamp() * 1000 == START + 2_000
    assert first["filled_at"].timestamp() * 1000 == START + 20_000
    assert run.metrics["forecasts"] == COUNT


def test_bars_of_a_made_path_are_judged_and_its_ticks_are_withheld() -> None:
    """Nothing that reads like a profit is in figures, frames, text or picture."""
    run = tickloop.backtest(TRADES, forecasts=FORECASTS, path="invented")

    assert run.metrics["trades"] > 0
    assert {name: run.metrics[name] for name in WITHHELD} == dict.fromkeys(WITHHELD)
    assert "invented" in run.metrics["caveat"]
    assert run.trades["profit_krw"].null_count() == run.trades.height
    assert run.equity["equity"].null_count() == run.equity.height
    assert run.verdict.startswith("This result says nothing of profit")
    text = repr(run)
    assert text.splitlines()[0] == run.verdict
    assert sum(line.split("  ")[-1].strip().startswith("not shown") for line in text.splitlines()) == 8
    assert [trace.name for trace in run.plot().data] == ["KRW-BTC", "BUY", "SELL"]


class _Page(HTMLParser):
    """Collects text by tag."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[tuple[str, str]] = []
        self._tag = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._tag = tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._tag, data))


def test_shown_in_a_notebook_the_verdict_is_first_and_names_are_escaped() -> None:
    """A strategy of a file may be called anything."""
    hostile = replace(SHIPPED["sma_cross"], name="<script>alert(1)</script>")

    run = tickloop.backtest(BARS, hostile, params=CROSS)
    page = _Page()
    page.feed(run._repr_html_())

    assert page.texts[0] == ("strong", run.verdict)
    assert "<script>" not in run._repr_html_()
    labels, shown = ([text for tag, text in page.texts if tag == cell] for cell in ("th", "td"))
    rows = dict(zip(labels, shown, strict=True))
    assert rows["after fees"].startswith(f"{run.metrics['profit_krw']:+,.2f} ")
    assert rows["win rate"].startswith(f"{100 * run.metrics['win_rate']:.1f} %  (mean profit of a round trip ")


def test_text_has_the_verdict_first_and_every_figure_once() -> None:
    """What a reader must see together stands together."""
    run = _cross()
    lines = repr(run).splitlines()

    assert lines[0] == run.verdict
    starts = [line.strip().split("  ")[0] for line in lines]
    for label in ("after fees", "against buy and hold", "against doing nothing", "closed lots", "open lots",
                  "with unsellable at 0", "orders", "round trips", "win rate", "profit factor", "fees", "turnover",
                  "largest drawdown", "exposure"):  # fmt: skip
        assert starts.count(label) == 1, label


def test_picture_marks_every_fill_and_draws_equity_beside_holding() -> None:
    """Marks are as many as fills; the lines end at the figures."""
    run = _cross()
    drawn = run.plot()
    traces = {trace.name: trace for trace in drawn.data}

    assert isinstance(drawn, go.Figure)
    assert (len(traces["BUY"].x), len(traces["SELL"].x)) == (run.metrics["buys"], run.metrics["sells"])
    assert traces["equity"].y[-1] == pytest.approx(50_000.0 + run.metrics["profit_krw"], abs=1e-3)
    assert traces["buy and hold"].y[-1] == pytest.approx(50_000.0 + run.metrics["buy_and_hold_krw"], abs=1e-3)
    assert len(traces["KRW-BTC"].x) == COUNT


def test_picture_without_plotly_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what to type."""
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'tickloop\[notebook\]'"):
        _cross().plot()


def test_importing_the_package_loads_neither_arrays_nor_compiler() -> None:
    """`backtest` and `Result` are there all the same."""
    code = (
        "import sys, tickloop; assert not {'numpy', 'polars', 'numba'} & set(sys.modules); "
        "assert {'backtest', 'Result'} <= set(dir(tickloop)); "
        "assert tickloop.backtest.__name__ == 'backtest'; assert 'numba' in sys.modules"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="no attribute 'backtests'"):
        tickloop.backtests  # noqa: B018


def _raising(*state: Any) -> int:
    raise KeyError("no such level")


def _nonsense(*state: Any) -> int:
    return 7


def _greedy(*state: Any) -> int:
    return BUY


@pytest.mark.parametrize(
    ("decide", "message"),
    [
        (_raising, "strategy 'mine' raised KeyError: 'no such level'"),
        (_nonsense, r"answered none of NOTHING \(0\), SELL \(1\), BUY \(2\)"),
        (_greedy, "bought with less cash than order_krw|while one of the same side was in flight"),
    ],
)
@pytest.mark.parametrize("data", [BARS, TRADES], ids=["bars", "trades"])
def test_strategy_that_raises_or_answers_nonsense_is_an_error_and_no_figure(
    decide: Any, message: str, data: pl.DataFrame
) -> None:
    """In both modes."""
    mine = Strategy("mine", decide, None, {"default": Params()}, uses_forecasts=False)

    with pytest.raises(StrategyError, match=message):
        tickloop.backtest(data, mine)


@pytest.mark.parametrize(
    ("data", "strategy", "more", "error", "message"),
    [
        (BARS, "default", {}, UsageError, "'default' trades on forecasts and has none; .* buy_and_hold, do_nothing"),
        (BARS, "sma_cross", {"forecasts": FORECASTS}, UsageError, "does not look at forecasts"),
        (BARS, "default", {"forecasts": (TS - 86_400_000, CLOSE)}, NotEnoughDataError, "no forecast is of a minute"),
        (BARS, "default", {"forecasts": (TS, CLOSE * np.nan)}, DataError, "forecast 0 .* has price nan"),
        (BARS, "sma_crosses", {}, StrategyError, "'sma_crosses' is not known; valid: buy_and_hold"),
        (BARS, 7, {}, StrategyError, "7 is a int; valid: a tickloop.domain.strategy.Strategy"),
        (BARS, "sma_cross", {"params": {"fats": 3}}, UsageError, "no parameter 'fats' to set; nearest: fast; valid: "),
        (BARS, "sma_cross", {"params": {"fast": 0}}, UsageError, "fast 0 is out of range; valid: "),
        (BARS, "sma_cross", {"params": {"fast": 3.5}}, UsageError, "fast 3.5 is not a whole number"),
        (BARS, "sma_cross", {"params": {"order_krw": float("nan")}}, UsageError, "order_krw nan is out of range"),
        (BARS, "sma_cross", {"preset": "fast"}, UsageError, "preset 'fast' of sma_cross is not known; valid: default"),
        (
            BARS,
            "sma_cross",
            {"budget": 6_000},
            UsageError,
            "budget 6,000 KRW does not pay .* 6,003.00 or more",
        ),
        (BARS, "sma_cross", {"budget": float("nan")}, UsageError, "budget nan KRW is not valid"),
        (BARS, "sma_cross", {"budget": -1.0}, UsageError, "budget -1.0 KRW is not valid"),
        (BARS, "sma_cross", {"latency_ms": 300}, UsageError, "latency 300 ms has no meaning in bar mode"),
        (TRADES, "sma_cross", {"latency_ms": -1}, UsageError, "latency -1 ms is not valid; valid: 0 to 600000"),
        (TRADES, "sma_cross", {"latency_ms": 10**9}, UsageError, "latency 1000000000 ms is not valid"),
        (TRADES, "sma_cross", {"fill_model": "best"}, UsageError, "fill model 'best' is not known; valid: spread"),
        (
            TRADES,
            "sma_cross",
            {"fill_model": "book"},
            UsageError,
            "'book' needs recorded order books and there are none",
        ),
        (TRADES, "sma_cross", {"path": "made"}, UsageError, "path 'made' is not known; valid: recorded, invented"),
        (TRADES, "sma_cross", {"forecast_delay_ms": -1}, UsageError, "forecast_delay_ms -1 is not valid"),
        (BARS, "sma_cross", {"market": "BTC"}, UsageError, "market 'BTC' is not one of KRW"),
        (BARS, "sma_cross", {"market": "USDT-BTC"}, UsageError, "market 'USDT-BTC' is not one of KRW"),
        (BARS.reverse(), "sma_cross", {}, DataError, "bar 1 of KRW-BTC .* earlier than the one before"),
        (BARS.head(0), "sma_cross", {}, NotEnoughDataError, "KRW-BTC has no bar"),
    ],
)
def test_what_cannot_be_run_is_refused_in_words(
    data: Any, strategy: Any, more: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Each names the field, its value and what would be valid."""
    with pytest.raises(error, match=message):
        tickloop.backtest(data, strategy, **more)


def test_example_of_the_page_gives_what_the_page_says() -> None:
    """Figure by figure."""
    found = re.search(r"```python\n(>>> .*?)```", PAGE, re.DOTALL)
    assert found is not None
    example = doctest.DocTestParser().get_doctest(found[1], {}, "backtest.md", None, 0)

    outcome = doctest.DocTestRunner(verbose=False).run(example)

    assert (outcome.failed, outcome.attempted) == (0, len(example.examples))
    assert outcome.attempted > 8


def test_strategy_of_the_page_can_be_copied_into_a_file_and_run(tmp_path: Path) -> None:
    """Over bars that cross both of its prices."""
    found = re.search(r"```python\n(from typing.*?)```", PAGE, re.DOTALL)
    assert found is not None
    path = tmp_path / "mine.py"
    path.write_text(found[1], encoding="utf-8")
    saw = 50e6 + 100_000.0 * np.abs(np.arange(COUNT) % 40 - 20)

    run = tickloop.backtest((TS, saw, saw, saw), f"{path}:dip", params={"below": 50_100_000, "above": 51_500_000})

    assert run.metrics["trades"] == 6
    assert run.metrics["win_rate"] == 1.0
