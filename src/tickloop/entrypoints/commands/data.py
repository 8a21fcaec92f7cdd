"""Commands about data: back-fill, ledger, steps and their runs, status."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickloop.domain.window import HOUR_MS, Window, parse_range, parse_window, slots_in, to_datetime
from tickloop.entrypoints.commands.options import AsJson, Home, print_json
from tickloop.errors import CheckFailedError, UnknownMarketError, UsageError, WindowError

if TYPE_CHECKING:
    from tickloop.bootstrap import App
    from tickloop.domain.ledger_report import LedgerReport


def register(app: typer.Typer) -> None:
    for command in (backfill, ledger, run, steps, status):
        app.command()(command)


WindowText = Annotated[str, typer.Option("--window", help="Whole hours of UTC: 2024-01-02T03 or 2024-01-02T03..T05.")]
FromText = Annotated[
    str, typer.Option("--from", help="First hour, UTC: 2024-01-02, 2024-01-02T03 or 2024-01-02T03:00.")
]
ToText = Annotated[str, typer.Option("--to", help="End, not included. Default: the last hour that is over.")]
MarketText = Annotated[str | None, typer.Option("--market", help="One market; all of the settings when left out.")]
MarketTexts = Annotated[
    list[str] | None, typer.Option("--market", help="A market, may be given again; all of the settings when left out.")
]


def backfill(
    window: WindowText = "",
    start: FromText = "",
    end: ToText = "",
    market: MarketTexts = None,
    trades: Annotated[
        bool, typer.Option("--trades", help="Fetch the trades of the last seven days too, and settle their minutes.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Fetch bars of a range from the exchange's candles; hours that are there are left as they are."""
    from tickloop.bootstrap import open_app
    from tickloop.entrypoints.commands.progress import shown
    from tickloop.services.backfill import backfill as run_backfill
    from tickloop.settings import load_settings

    stop = _stop_on_signal()
    with open_app(load_settings(home)) as app:
        known = app.settings.markets
        markets = tuple(dict.fromkeys(name for one in market for name in _markets(one, known))) if market else known
        chosen = _asked_range(window, start, end, app.clock.now_ms())
        if chosen is None:
            raise UsageError("no range was given; valid: --window 2024-01-02T03..T05, or --from and --to")
        with shown(len(markets)) as report:
            result = run_backfill(
                app,
                _past(chosen, app.clock.now_ms()),
                report,
                markets=markets,
                parallel=app.settings.history.parallel,
                with_trades=trades,
                stop=stop,
            )
    if as_json:
        print_json(result)
    else:
        for name, counts in result.items():
            typer.echo(f"{name}: " + ", ".join(f"{what} {count:,}" for what, count in counts.items()))


def ledger(
    market: Annotated[
        str | None, typer.Option("--market", help="One market; all that are or were collected when left out.")
    ] = None,
    window: WindowText = "",
    start: FromText = "",
    end: ToText = "",
    minutes: Annotated[bool, typer.Option("--minutes", help="With --json: a row for every minute too.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show completeness per market, and each stretch that is not complete; exit 3 when a minute is unknown."""
    from tickloop.bootstrap import open_app
    from tickloop.domain.ledger_report import report_ledger
    from tickloop.domain.tables import LEDGER
    from tickloop.settings import load_settings

    with open_app(load_settings(home)) as app:
        now_ms = app.clock.now_ms()
        chosen = _asked_range(window, start, end, now_ms)
        reports = [
            report_ledger(name, chosen, app.warehouse.read(LEDGER, name, chosen), now_ms)
            for name in _markets(market, (*app.markets, *app.collected))
        ]
    if as_json:
        print_json({report.market: _ledger_json(report, with_minutes=minutes) for report in reports})
    else:
        for report in reports:
            _show_ledger(report)
    unknown = {report.market: report.unknown for report in reports if report.unknown}
    if unknown:
        raise CheckFailedError(
            f"unknown minutes: {unknown}; minutes that are pending, and hours never verified, are settled by"
            " `tickloop run all` of their hours"
        )


def run(
    step: Annotated[str, typer.Argument(help="A step's name, or `all`.")],
    window: WindowText,
    market: MarketText = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that fit; for the step train.")] = 1,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Run a step, or all of them, for a window; what the window held before is replaced."""
    from tickloop.bootstrap import open_app
    from tickloop.services.chain import run_window
    from tickloop.settings import load_settings

    if workers > 1 and step != "train":
        raise UsageError(f"--workers {workers} with step {step!r}; valid: with the step train")
    with open_app(load_settings(home)) as app:
        markets = app.markets if market is None else _markets(market, (*app.markets, *app.collected))
        chosen = _past(parse_window(window), app.clock.now_ms())
        if workers > 1:
            _fit_at_once(app, markets, chosen, workers)
        results = [result for name in markets for result in run_window(app, step, name, chosen)]
    shown = [
        {
            "step": done.step,
            "market": done.market,
            "window": str(done.window),
            "state": done.state,
            "detail": done.detail,
        }
        for done in results
    ]
    if as_json:
        print_json(shown)
    else:
        for row in shown:
            typer.echo(f"{row['step']} {row['market']} {row['window']} {row['state']} {row['detail']}")


def _fit_at_once(app: App, markets: Sequence[str], window: Window, workers: int) -> None:
    """Fit markets and families of a window's slots on several processes; the step then finds what they registered."""
    from tickloop.bootstrap.training import fit_on_processes
    from tickloop.services.work import fit_units

    units = [one for one in fit_units(app, slots_in(window, app.training.slot_hours)) if one.market in markets]
    for unit, counts in fit_on_processes(app.settings, units, workers):
        typer.echo(f"{unit.market} {unit.family} {unit.slot}: {counts['version'] or counts['reason']}", err=True)


def steps(home: Home = None, as_json: AsJson = False) -> None:
    """List the steps in order, with their last runs."""
    import polars as pl

    from tickloop.bootstrap import open_app
    from tickloop.domain.tables import RUN
    from tickloop.services.chain import STEPS
    from tickloop.settings import load_settings

    with open_app(load_settings(home)) as app:
        runs = app.warehouse.read(RUN).sort("window_start")
    shown = []
    for step in STEPS:
        own = runs.filter(pl.col("step") == step.name)
        last = own.row(-1, named=True) if own.height else None
        shown.append(
            {
                "step": step.name,
                "runs": own.height,
                "failed": own.filter(pl.col("state") == "failed").height,
                "last_window": last["window_start"].isoformat() if last else None,
                "last_state": last["state"] if last else None,
            }
        )
    if as_json:
        print_json(shown)
    else:
        for row in shown:
            typer.echo(
                f"{row['step']:<9} runs {row['runs']:>5}  failed {row['failed']}  last {row['last_window'] or '-'}"
            )


def status(home: Home = None, as_json: AsJson = False) -> None:
    """Show what runs on this home and how fresh it is; exit 3 when a process has failed."""
    from tickloop.adapters.local.status import StatusBoard
    from tickloop.settings import load_settings

    found = StatusBoard(load_settings(home).paths.status).read_all()
    if as_json:
        import msgspec

        print_json([msgspec.to_builtins(one) for one in found])
    else:
        for one in found:
            typer.echo(f"{one.name:<10} {one.state:<9} pid {one.pid:<8} {one.message}")
        if not found:
            typer.echo("nothing has run on this home yet")
    failed = [one.name for one in found if one.state in ("failed", "blocked")]
    if failed:
        raise CheckFailedError(f"failed: {', '.join(failed)}")


def _markets(market: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    if market is None:
        return known
    if market not in known:
        raise UnknownMarketError(market, known)
    return (market,)


def _past(window: Window, now_ms: int) -> Window:
    if window.end_ms > now_ms:
        raise WindowError(
            f"window {window} is not over; valid: an end at or before {to_datetime(now_ms):%Y-%m-%dT%H:%M}Z"
        )
    return window


def _asked_range(window: str, start: str, end: str, now_ms: int) -> Window | None:
    """Give the range of --window, or of --from and --to, None when none was given; `UsageError` for both at once."""
    if window and (start or end):
        raise UsageError(f"--window {window} and --from or --to were given; valid: one or the other")
    if window:
        return parse_window(window)
    if end and not start:
        raise UsageError(f"--to {end} was given without --from; valid: --from 2024-01-02T03 --to 2024-01-02T05")
    if not start:
        return None
    return parse_range(start, end or f"{to_datetime(now_ms - now_ms % HOUR_MS):%Y-%m-%dT%H}")


def _stop_on_signal() -> threading.Event:
    """Give an event that the first Ctrl-C or SIGTERM sets; a second one ends the program as usual."""
    stop = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    return stop


def _show_ledger(report: LedgerReport) -> None:
    counts = ", ".join(f"{_verdict(*key)} {count:,}" for key, count in report.counts.items())
    shown = f" {report.window}" if report.window is not None else ""
    typer.echo(f"{report.market}{shown}: {counts or 'no minutes'}")
    for part in report.stretches:
        start, end = to_datetime(part.window.start_ms), to_datetime(part.window.end_ms)
        ours = "-" if part.our_volume is None else part.our_volume
        theirs = "-" if part.candle_volume is None else part.candle_volume
        typer.echo(
            f"  {start:%Y-%m-%dT%H:%M}..{end:%Y-%m-%dT%H:%M}  {part.minutes:>6,} min  "
            f"{_verdict(part.state, part.reason):<24} ours {ours}  candle {theirs}"
        )


def _verdict(state: str, reason: str | None) -> str:
    return state if reason is None else f"{state} ({reason})"


def _ledger_json(report: LedgerReport, *, with_minutes: bool) -> dict[str, Any]:
    """Give a report as JSON: volumes as decimal text, times as ISO 8601 in UTC."""
    window = report.window
    found: dict[str, Any] = {
        "start": None if window is None else window.start,
        "end": None if window is None else window.end,
        "minutes": report.rows.height,
        "unknown": report.unknown,
        "counts": [
            {"state": state, "reason": reason, "minutes": count} for (state, reason), count in report.counts.items()
        ],
        "stretches": [
            {
                "start": part.window.start,
                "end": part.window.end,
                "minutes": part.minutes,
                "state": part.state,
                "reason": part.reason,
                "our_volume": part.our_volume,
                "candle_volume": part.candle_volume,
                "trades": part.trades,
            }
            for part in report.stretches
        ],
    }
    return {**found, "rows": report.rows.drop("market").to_dicts()} if with_minutes else found
