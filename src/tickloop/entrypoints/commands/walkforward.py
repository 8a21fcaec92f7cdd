"""The command `walkforward`: re-optimise on a span of time, trade the span that follows, and so on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, cast

import typer

from tickloop.entrypoints.commands.backtests import (
    AllowUnknown,
    Budget,
    FillModelName,
    HtmlFile,
    Latency,
    ModelName,
    ModeText,
    Preset,
    Settings,
    StrategyText,
    WindowText,
    check_file,
    jobs_of,
    write_orders,
)
from tickloop.entrypoints.commands.options import AsJson, Home, Market, print_json

_EQUITY_FILES = (".csv", ".parquet")

LINE_EVERY_S = 10.0
"""Real seconds between two lines of progress."""

Train = Annotated[str, typer.Option("--train", help="Length of what is optimised on: 14d, or 36h.")]
Test = Annotated[str, typer.Option("--test", help="Length of what is traded then: 2d, or 12h.")]
Step = Annotated[str | None, typer.Option("--step", help="From one test part to the next. Default: --test.")]
Embargo = Annotated[str, typer.Option("--embargo", help="Left out between the two parts.")]
Anchored = Annotated[bool, typer.Option("--anchored", help="Let every train part begin where the window does.")]
Grid = Annotated[
    list[str] | None,
    typer.Option("--grid", help="NAME=LOW:HIGH:STEP, NAME=A,B, NAME=LOW:HIGH or NAME; may come again. Default: all."),
]
MethodName = Annotated[str, typer.Option("--method", help="grid, or random.")]
Trials = Annotated[
    int, typer.Option("--trials", help="Settings on each train part; a grid of ranges has at most so many.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")]
Objective = Annotated[str, typer.Option("--objective", help="What is optimised: profit_krw, sharpe, ...")]
Shuffles = Annotated[
    int | None,
    typer.Option("--permutations", help="Runs with its forecasts or signals shuffled. Default: up to 199."),
]
EquityFile = Annotated[Path | None, typer.Option("--equity", help="Write the joined equity to FILE.csv or .parquet.")]


def register(app: typer.Typer) -> None:
    app.command()(walkforward)


def walkforward(
    market: Market,
    window: WindowText,
    train: Train,
    test: Test,
    step: Step = None,
    embargo: Embargo = "0h",
    anchored: Anchored = False,
    strategy: StrategyText = "default",
    grid: Grid = None,
    method: MethodName = "grid",
    trials: Trials = 200,
    seed: Seed = 0,
    objective: Objective = "profit_krw",
    permutations: Shuffles = None,
    preset: Preset = "default",
    values: Settings = None,
    mode: ModeText = "bars",
    model: ModelName = None,
    fill_model: FillModelName = None,
    latency_ms: Latency = None,
    budget: Budget = None,
    allow_unknown: AllowUnknown = False,
    equity: EquityFile = None,
    html: HtmlFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Optimise on each train part, trade the test part that follows, and judge what all test parts made."""
    from tickloop.bootstrap import open_app
    from tickloop.domain.folds import Plan, length_ms
    from tickloop.domain.search import Method, Search
    from tickloop.domain.trials import objectives_of
    from tickloop.entrypoints.commands.walkforward_text import walkforward_lines
    from tickloop.entrypoints.report.walkforward import walkforward_page
    from tickloop.entrypoints.report.write import check_page
    from tickloop.services.walkforward import run_walkforward
    from tickloop.settings import load_settings

    plan = Plan(
        train_ms=length_ms(train, "--train"),
        test_ms=length_ms(test, "--test"),
        step_ms=None if step is None else length_ms(step, "--step"),
        embargo_ms=length_ms(embargo, "--embargo"),
        is_anchored=anchored,
    )
    (job,) = jobs_of(
        [market], window, strategy, preset, values, mode, model, fill_model, latency_ms, budget, allow_unknown
    )
    search = Search(job, tuple(grid or ()), cast("Method", method), trials, seed, objectives_of(objective))
    check_file(equity, _EQUITY_FILES)
    check_page(html)
    with open_app(load_settings(home)) as app:
        found = run_walkforward(app, search, plan, permutations=permutations, report=progress(as_json))
    write_orders(equity, found.equity())
    if html is not None:
        html.write_text(walkforward_page(found), encoding="utf-8")
    if as_json:
        print_json(found.as_dict())
        return
    for line in walkforward_lines(found.as_dict()):
        typer.echo(line)


def progress(is_quiet: bool, now: Callable[[], float] = time.monotonic) -> Callable[[int, int], None]:
    """Give what writes a line on stderr now and then: folds done, and how long the others will take."""
    from tickloop.entrypoints.commands.progress import time_text

    start = now()
    next_at = start + (LINE_EVERY_S if not sys.stderr.isatty() else LINE_EVERY_S / 5)

    def report(done: int, total: int) -> None:
        nonlocal next_at
        if is_quiet or done == total or now() < next_at:
            return
        next_at = now() + LINE_EVERY_S
        left_s = (now() - start) / done * (total - done) if done else None
        typer.echo(f"{done:,} of {total:,} folds, {time_text(left_s)}", err=True)

    return report
