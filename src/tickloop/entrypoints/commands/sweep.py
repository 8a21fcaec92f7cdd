"""The command `sweep`: search the settings of a strategy over one window."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from tickloop.entrypoints.commands.backtests import (
    AllowUnknown,
    Budget,
    FillModelName,
    Latency,
    ModelName,
    ModeText,
    Preset,
    Settings,
    StrategyText,
    WindowText,
    jobs_of,
)
from tickloop.entrypoints.commands.options import AsJson, Home, Market, print_json
from tickloop.errors import UsageError

if TYPE_CHECKING:
    from tickloop.domain.search import Method
    from tickloop.services.sweep import Sweep

Grid = Annotated[
    list[str] | None,
    typer.Option(
        "--grid", help="NAME=LOW:HIGH:STEP, NAME=A,B,C or NAME=LOW:HIGH; may come again. Default: the strategy's own."
    ),
]
MethodName = Annotated[str, typer.Option("--method", help="grid, random, or tpe, which learns from what it tried.")]
Trials = Annotated[int, typer.Option("--trials", help="Settings to try; of a grid given as lists: all of it.")]
Seed = Annotated[int, typer.Option("--seed", help="Of what is drawn: the same seed gives the same search.")]
Objective = Annotated[
    str, typer.Option("--objective", help="profit_krw, sharpe, or some by comma: profit_krw,max_drawdown_krw.")
]
Name = Annotated[str | None, typer.Option("--name", help="Of the search, under which it goes on when run again.")]
Workers = Annotated[int | None, typer.Option("--workers", help="Processes. Default: as many as this one's cores.")]
Out = Annotated[Path | None, typer.Option("--out", help="Write trials.parquet, trials.csv and sweep.json to a folder.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page about the search and its best trial.")]


def register(app: typer.Typer) -> None:
    app.command()(sweep)


def sweep(
    market: Market,
    window: WindowText,
    strategy: StrategyText = "default",
    grid: Grid = None,
    method: MethodName = "grid",
    trials: Trials = 200,
    seed: Seed = 0,
    objective: Objective = "profit_krw",
    name: Name = None,
    workers: Workers = None,
    preset: Preset = "default",
    values: Settings = None,
    mode: ModeText = "bars",
    model: ModelName = None,
    fill_model: FillModelName = None,
    latency_ms: Latency = None,
    budget: Budget = None,
    allow_unknown: AllowUnknown = False,
    out: Out = None,
    html: Html = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Try many settings over one window, keep them all, and say whether the best can be told from luck."""
    from tickloop.bootstrap import open_app
    from tickloop.bootstrap.search import tpe_sampler
    from tickloop.domain.search import Search
    from tickloop.domain.trials import objectives_of
    from tickloop.entrypoints.commands.progress import trials_shown
    from tickloop.entrypoints.commands.sweep_text import sweep_lines
    from tickloop.entrypoints.report.write import check_page, write_page
    from tickloop.services.sweep_run import run_sweep
    from tickloop.settings import load_settings

    (job,) = jobs_of(
        [market], window, strategy, preset, values, mode, model, fill_model, latency_ms, budget, allow_unknown
    )
    search = Search(job, tuple(grid or ()), cast("Method", method), trials, seed, objectives_of(objective), name)
    _check_folder(out)
    check_page(html)
    with open_app(load_settings(home)) as app, trials_shown(is_quiet=as_json) as report:
        found = run_sweep(
            app, search, workers=_cores() if workers is None else workers, sampler_of=tpe_sampler, report=report
        )
        if html is not None:
            inputs = found.plan.runner.inputs
            write_page(html, app, job.window, inputs, found.result, found.judgement, found.as_dict())
    if out is not None:
        _write(out, found)
    if as_json:
        print_json(found.as_dict())
        return
    for line in sweep_lines(found):
        typer.echo(line)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_folder(out: Path | None) -> None:
    if out is not None and out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; valid: a folder, which may be new")


def _write(out: Path, found: Sweep) -> None:
    import polars as pl

    rows: list[dict[str, Any]] = [
        {"number": one.number, **one.setting, **one.figures._asdict()} for one in found.trials
    ]
    try:
        out.mkdir(parents=True, exist_ok=True)
        frame = pl.DataFrame(rows)
        frame.write_csv(out / "trials.csv")
        frame.write_parquet(out / "trials.parquet")
        (out / "sweep.json").write_text(json.dumps(found.as_dict(), indent=2) + "\n", encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"--out {out} cannot be written: {exc.strerror}; valid: a folder of yours") from exc
