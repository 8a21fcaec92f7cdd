"""What a demo is made of: its options, its settings and its processes."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from tickloop.domain.window import HOUR_MS, Window
from tickloop.entrypoints.supervisor import Child
from tickloop.entrypoints.up import processes
from tickloop.settings import SETTINGS_FILE

DEFAULT_HOME = Path("~/.local/share/tickloop/demo")
DEFAULT_SPEED = 60.0
ONCE_SPEED = 360.0

BOT_ORDER_KRW = 6_000
BOT_PRESET = "seed2023"
"""The losing preset of 2023 on purpose: the default rarely trades, and a demo needs something to watch."""


@dataclass(frozen=True)
class Recording:
    """One shipped recording and where its demo starts on the market clock.

    Attributes:
        is_continuous: False when it pauses for minutes on end, so that an API that says "stale" is right.
    """

    name: str
    start_ms: int
    backfill_days: int
    is_continuous: bool


RECORDINGS = {
    "candles": Recording(
        "candles", start_ms=1_705_881_600_000, backfill_days=14, is_continuous=True
    ),  # 2024-01-22T00:00Z
    "bursts": Recording(
        "bursts", start_ms=1_778_569_200_000, backfill_days=0, is_continuous=False
    ),  # 2026-05-12T07:00Z
}

LIVE_HOURS = 2
"""Closed hours that one round takes through the features."""


@dataclass(frozen=True)
class DemoOptions:
    home: Path
    recording: Recording
    speed: float
    is_once: bool
    is_fresh: bool
    as_json: bool
    dashboard_port: int = 8501

    @property
    def round_window(self) -> Window:
        start = self.recording.start_ms
        return Window(start, start + LIVE_HOURS * HOUR_MS)


def free_port(wanted: int, host: str = "127.0.0.1") -> int:
    """Give the wanted port when nobody has it, else a free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise AssertionError("the kernel gives a free port when asked for port 0")


@dataclass(frozen=True)
class Ports:
    simulator: int
    api: int
    dashboard: int


def write_settings(options: DemoOptions, ports: Ports) -> None:
    """Write the demo's `tickloop.toml`; the keys are the simulated account's, made once per home."""
    path = options.home / SETTINGS_FILE
    access, secret = _keys(options.home / "sim" / "keys")
    path.write_text(
        f"""# Written by `tickloop demo` at each start. The exchange is the simulator: these keys open nothing else.
clock = "shared"
bot = "demo"

[exchange]
rest_url = "http://127.0.0.1:{ports.simulator}"
websocket_url = "ws://127.0.0.1:{ports.simulator}/websocket/v1"
access_key = "{access}"
secret_key = "{secret}"
is_path_invented = {str(options.recording.name == "candles").lower()}

[history]
backfill_days = {options.recording.backfill_days}

[strategy]
preset = "{BOT_PRESET}"
order_notional = {BOT_ORDER_KRW}

[serve]
port = {ports.api}

[dashboard]
port = {ports.dashboard}
""",
        encoding="utf-8",
    )


def _keys(path: Path) -> tuple[str, str]:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{secrets.token_hex(20)}\n{secrets.token_hex(20)}\n", encoding="utf-8")
        path.chmod(0o600)
    access, secret = path.read_text(encoding="utf-8").split()
    return access, secret


def children(options: DemoOptions, ports: Ports) -> tuple[Child, list[Child]]:
    """Give the simulator, and the processes that live on it in the order of their start."""
    home = ("--home", str(options.home))
    simulator = Child(
        "simulator",
        (
            *("sim", *home, "--port", str(ports.simulator), "--recording", options.recording.name),
            *("--start-ms", str(options.recording.start_ms), "--speed", str(options.speed), "--gaps"),
        ),
        only_first=("--hold",),  # a simulator that fell in the middle of the market goes on where it was
    )
    return simulator, processes(str(options.home), with_bot=True)
