"""What the demo says on a terminal: one screen that is drawn again; on anything else, a line per change."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tickloop.adapters.local.status import StatusBoard
from tickloop.entrypoints.demo.plan import BOT_ORDER_KRW, BOT_PRESET, DemoOptions, Ports

_PROCESSES = ("simulator", "collector", "pipeline", "api", "dashboard", "bot")
_ABOUT = {
    "simulator": "exchange in a box: prices real, path inside the minute invented",
    "collector": "WebSocket to journal",
    "pipeline": "back-fill, then extract, load, verify, bars, features; train, backtest, promote",
    "api": "forecasts each minute",
    "dashboard": "candles, forecasts, orders, data health",
    "bot": f"preset {BOT_PRESET} with orders of {BOT_ORDER_KRW:,} KRW, so that there is something to watch",
}


class Screen:
    def __init__(self, options: DemoOptions, ports: Ports, board: StatusBoard, out: TextIO) -> None:
        self._options = options
        self._ports = ports
        self._board = board
        self._console = Console(file=out)
        self._is_terminal = self._console.is_terminal and not options.as_json
        self._live: Live | None = None
        self._said: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._is_terminal:
            self._live = Live(self._draw(), console=self._console, refresh_per_second=4, transient=False)
            self._live.start()
        else:
            self.say(
                f"home {self._options.home}, market from recording {self._options.recording.name!r}"
                f" at {self._options.speed:g}x, dashboard http://127.0.0.1:{self._ports.dashboard}"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(self._draw())
            self._live.stop()
            self._live = None

    def say(self, line: str) -> None:
        self._console.print(f"tickloop demo: {line}", highlight=False, markup=False, soft_wrap=True)

    def refresh(self) -> None:
        """Draw again, or say what changed since the last time."""
        if self._live is not None:
            self._live.update(self._draw())
            return
        for status in self._board.read_all():
            if self._said.get(status.name) != status.state:
                self._said[status.name] = status.state
                self.say(f"{status.name} {status.state} {status.message}".rstrip())

    def show_report(self, report: dict[str, Any]) -> None:
        """Print one round for a person."""
        for market, words in report["findings"].items():
            self._console.print(f"{market}: {words}", highlight=False, soft_wrap=True)
        table = Table("market", "made", "withheld", "journal", "lake", "warehouse", "bars", "ledger", box=None)
        for row in report["markets"]:
            ledger = ", ".join(f"{state} {count}" for state, count in sorted(row["ledger"].items()))
            figures = (row[name] for name in ("made", "withheld", "journal", "lake", "warehouse", "bars"))
            table.add_row(row["market"], *(f"{figure:,}" for figure in figures), ledger)
        self._console.print(table)
        for market, champion in report["champions"].items():
            self._console.print(f"{market}: {champion['reason']}", highlight=False, soft_wrap=True)
        bot = report["bot"]
        self._console.print(
            f"bot: {bot['orders']} orders, {bot['filled']} filled, equity {bot['equity']} of {bot['budget']} KRW",
            highlight=False,
        )
        self._console.print("the counts agree along the chain" if report["ok"] else "THE COUNTS DO NOT AGREE")

    def _findings(self) -> dict[str, str]:
        pipeline = self._board.read("pipeline")
        found: dict[str, str] = pipeline.detail.get("findings", {}) if pipeline is not None else {}
        return found

    def _draw(self) -> RenderableType:
        head = Text.assemble(
            ("Tickloop demo", "bold"),
            f"   recording {self._options.recording.name!r} at {self._options.speed:g}x   home {self._options.home}",
        )
        where = Text(
            f"dashboard  http://127.0.0.1:{self._ports.dashboard}      API  http://127.0.0.1:{self._ports.api}/docs",
            style="cyan",
        )
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for name in _PROCESSES:
            status = self._board.read(name)
            state = status.state if status is not None else "starting"
            style = {"ready": "green", "failed": "red", "working": "yellow"}.get(state, "dim")
            message = status.message if status is not None and status.message else _ABOUT[name]
            table.add_row(name, Text(state, style=style), Text(message, overflow="ellipsis", no_wrap=True))
        words = [Text(f"{market}: {text}") for market, text in self._findings().items()]
        return Group(
            head, where, Text(), table, Text(), *words, Text(f"bot: {_ABOUT['bot']}. Ctrl-C stops all.", style="dim")
        )
