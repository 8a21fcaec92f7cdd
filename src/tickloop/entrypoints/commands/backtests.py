"""The command `backtest`: one strategy over one window of one or several markets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from tickloop.entrypoints.commands.options import AsJson, Home, print_json
from tickloop.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

    from tickloop.bootstrap import App
    from tickloop.domain.backtest_job import Job
    from tickloop.domain.backtest_result import BacktestResult
    from tickloop.domain.judgement import Judgement
    from tickloop.domain.purse_result import PurseResult
    from tickloop.domain.verdict import Path as TapePath

_ORDER_FILES = (".csv", ".parquet")
_PAGES = (".html", ".htm")

WINDOW_HELP = "Whole hours of UTC: 2024-01-20T00..2024-01-22T00."

Markets = Annotated[
    list[str] | None, typer.Option("--market", help="Market, for example KRW-BTC; several share one purse.")
]
WindowText = Annotated[str, typer.Option("--window", help=WINDOW_HELP)]
StrategyText = Annotated[str, typer.Option("--strategy", help="A name, or PATH.py:NAME of one of your own.")]
Preset = Annotated[str, typer.Option("--preset", help="Parameter set of the strategy.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE: one parameter; may come again.")]
ModeText = Annotated[str, typer.Option("--mode", help="bars, or ticks.")]
ModelName = Annotated[str | None, typer.Option("--model", help="A version such as ridge-2. Default: the champion.")]
FillModelName = Annotated[
    str | None, typer.Option("--fill-model", help="Ticks only: how orders fill. Default: spread.")
]
Latency = Annotated[
    int | None, typer.Option("--latency-ms", help="Ticks only: decision to fill. Default: the fill model's.")
]
Budget = Annotated[float | None, typer.Option("--budget", help="KRW at the start. Default: the home's.")]
AllowUnknown = Annotated[bool, typer.Option("--allow-unknown", help="Run over unsettled minutes, and say so.")]
OrdersFile = Annotated[Path | None, typer.Option("--orders", help="Write the orders to FILE.csv or FILE.parquet.")]

HtmlFile = Annotated[Path | None, typer.Option("--html", help="Write a page with charts to FILE.html.")]
ReplayedSession = Annotated[
    str | None, typer.Option("--replay", help="Decide a session of the bot again: its name or folder, or last.")
]


def register(app: typer.Typer) -> None:
    app.command()(backtest)


def backtest(
    market: Markets = None,
    window: Annotated[str | None, typer.Option("--window", help=WINDOW_HELP)] = None,
    strategy: StrategyText = "default",
    preset: Preset = "default",
    values: Settings = None,
    mode: ModeText = "bars",
    model: ModelName = None,
    fill_model: FillModelName = None,
    latency_ms: Latency = None,
    budget: Budget = None,
    allow_unknown: AllowUnknown = False,
    orders: OrdersFile = None,
    html: HtmlFile = None,
    replay: ReplayedSession = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Replay a window through a strategy: what it would have earned after fees, and whether that can be luck."""
    if replay is not None:
        from tickloop.entrypoints.commands.replay import replay as replay_session

        if market or window is not None:
            raise UsageError("--replay takes markets and time from the session; valid: without --market and --window")
        replay_session(replay, home, as_json=as_json)
        return
    from tickloop.bootstrap import open_app
    from tickloop.entrypoints.commands.backtest_text import backtest_lines
    from tickloop.entrypoints.commands.judgement_text import judgement_lines
    from tickloop.settings import load_settings

    if not market or window is None:
        raise UsageError("--market or --window is missing; valid: both, or --replay SESSION")
    jobs = jobs_of(market, window, strategy, preset, values, mode, model, fill_model, latency_ms, budget, allow_unknown)
    check_file(orders, _ORDER_FILES)
    check_file(html, _PAGES)
    with open_app(load_settings(home)) as app:
        result, judgement = _one(app, jobs[0], html) if len(jobs) == 1 else _purse(app, jobs, html)
    write_orders(orders, result.orders)
    summary, verdict, span = result.summary(), judgement.verdict.text, str(jobs[0].window)
    if as_json:
        print_json({"verdict": verdict, "window": span, **summary, "judgement": judgement.as_dict()})
        return
    for line in (*backtest_lines(summary, verdict, span), "", *judgement_lines(judgement.as_dict())):
        typer.echo(line)


def _one(app: App, job: Job, html: Path | None) -> tuple[BacktestResult, Judgement]:
    from tickloop.services.backtest_run import run_whole
    from tickloop.services.honesty import judged

    run = run_whole(app, job)
    judgement = judged(run.inputs, *run.chosen, run.result, trials=_trials(app, [job]))
    if html is not None:
        from tickloop.entrypoints.report.write import write_page

        with _written(html):
            write_page(html, app, job.window, run.inputs, run.result, judgement)
    return run.result, judgement


def _purse(app: App, jobs: Sequence[Job], html: Path | None) -> tuple[PurseResult, Judgement]:
    from tickloop.domain.judgement import judge
    from tickloop.domain.track import track_of
    from tickloop.services.backtest_purse import run_purse
    from tickloop.services.backtest_stream import stream_purse

    if html is not None:
        raise UsageError(f"--html {html} draws one market, and {len(jobs)} are given; valid: one --market")
    result = stream_purse(app, jobs) if jobs[0].mode == "ticks" else run_purse(app, jobs)
    path: TapePath = "invented" if result.total.is_withheld else "bars" if jobs[0].mode == "bars" else "recorded"
    return result, judge(track_of(result.total, path), trials=_trials(app, jobs))


def _trials(app: App, jobs: Sequence[Job]) -> int:
    """Count the settings that searches tried on this market and time, and this one: a choice among them is not free."""
    from tickloop.services.trials import trials_so_far

    return 1 + max(trials_so_far(app, job.market, job.window) for job in jobs)


def jobs_of(
    markets: Sequence[str],
    window: str,
    strategy: str = "default",
    preset: str = "default",
    values: Sequence[str] | None = None,
    mode: str = "bars",
    model: str | None = None,
    fill_model: str | None = None,
    latency_ms: int | None = None,
    budget: float | None = None,
    allow_unknown: bool = False,
) -> list[Job]:
    """Read the options of a back-test as one job a market.

    Raises:
        UsageError: naming the option and what would be valid.
    """
    from tickloop.domain.backtest_job import Job
    from tickloop.domain.window import parse_window

    if twice := sorted({market for market in markets if markets.count(market) > 1}):
        raise UsageError(f"--market {', '.join(twice)} is given twice; valid: each market once")
    if mode == "bars" and fill_model is not None:
        raise UsageError(f"--fill-model {fill_model} has no meaning in bar mode; valid: --mode ticks, or none")
    return [
        Job(
            market,
            parse_window(window),
            strategy=strategy,
            preset=preset,
            values=values_of(values or ()),
            mode=cast("Literal['bars', 'ticks']", mode),
            version=model,
            fill_model=fill_model or "spread",
            latency_ms=latency_ms,
            budget=budget,
            allow_unknown=allow_unknown,
        )
        for market in markets
    ]


def values_of(texts: Sequence[str]) -> dict[str, Any]:
    """Read NAME=VALUE; the value stays text until the strategy's own parameters say what it must be.

    Raises:
        UsageError: for another form, or a name that comes twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (sign and name and value):
            raise UsageError(f"--set {text!r} cannot be read; valid: NAME=VALUE, for example order_krw=7000")
        if name in values:
            raise UsageError(f"--set {name} is given twice, {values[name]} and {value}; valid: once")
        values[name] = value
    return values


def check_file(path: Path | None, endings: Sequence[str]) -> None:
    """Refuse a file that could not be written, before anything is computed.

    Raises:
        UsageError: for another ending, or a folder that is not there.
    """
    if path is None:
        return
    if path.suffix not in endings:
        raise UsageError(f"file {path} has another ending; valid: {', '.join(endings)}")
    if not path.parent.is_dir() or path.is_dir():
        raise UsageError(f"file {path} cannot be written: its folder is not there, or it is one; valid: a new file")


def write_orders(path: Path | None, orders: pl.DataFrame) -> None:
    """Write the orders by the ending of the file; no path writes nothing."""
    if path is None:
        return
    with _written(path):
        if path.suffix == ".csv":
            orders.write_csv(path)
        else:
            orders.write_parquet(path)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise UsageError(f"file {path} cannot be written: {exc.strerror or exc}") from exc
