"""What one simulator is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite
from pathlib import Path

from tickloop.domain.market import is_market
from tickloop.errors import SettingsError
from tickloop.simulator.faults.board import Fault

SMP_DEFAULTS = ("none", "cancel_maker")


MOST_MARKETS = 999


@dataclass(frozen=True)
class SimulatorConfig:
    """Settings of one simulator; `SettingsError` names a value that cannot be.

    Attributes:
        folder: its state: clock, account, orders, identifiers. One simulator per folder.
        recording: where prices come from: `candles` or `bursts` (shipped), `seeded` (made), or the path of a file.
        markets: how many markets a `seeded` exchange has, or which.
        spans: market of a `seeded` exchange -> from when to when (epoch ms) it is on offer.
        start_ms: market time of the first start, epoch ms UTC; None is the hour of the first trade. Later starts resume
            where the folder stands.
        speed: market seconds per real second.
        port: 0 takes a free one.
        is_held: the clock stands until it is told to run.
        is_stepped: the clock moves by `/control/step` alone; the same seed and the same requests at the same market
            instants give the same bytes.
        step_deadline_s: real seconds that a step waits for the programs under test.
        with_gaps: withhold trades, so that the completeness ledger has something to show.
        krw: balance of the account at its first start.
        binary_frames: WebSocket data goes out in binary frames, as the exchange does; False sends text.
        idle_s: real seconds without any traffic after which a socket is closed.
        order_limit_per_s: orders per market second: 8, or 12 as since 2026-08-21.
        smp_default: what happens when the account's orders meet and none was asked for: `none` as before 2026-11-09,
            or `cancel_maker`.
        faults: what is to go wrong from the start; more can be ordered at `/control/faults`.
    """

    folder: Path
    recording: str
    start_ms: int | None
    speed: float
    access_key: str
    secret_key: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    is_held: bool = False
    is_stepped: bool = False
    step_deadline_s: float = 10.0
    with_gaps: bool = False
    markets: int | tuple[str, ...] = 2
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    seed: int = 20240122
    krw: Decimal = Decimal(1_000_000)
    binary_frames: bool = True
    idle_s: float = 120.0
    order_limit_per_s: int = 8
    smp_default: str = "none"
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        problems = [
            (not (isfinite(self.speed) and self.speed > 0), f"speed {self.speed}; valid: a finite number above 0"),
            (not 0 <= self.port <= 65_535, f"port {self.port}; valid: 0 (a free one) to 65535"),
            (not (self.krw.is_finite() and self.krw >= 0), f"krw {self.krw}; valid: 0 or more"),
            (not self._has_sound_markets(), f"markets {self.markets!r}; valid: 1 to {MOST_MARKETS}, or codes in KRW"),
            (self.order_limit_per_s < 1, f"order_limit_per_s {self.order_limit_per_s}; valid: 1 or more"),
            (
                self.smp_default not in SMP_DEFAULTS,
                f"smp_default {self.smp_default!r}; valid: {', '.join(SMP_DEFAULTS)}",
            ),
            (not (self.access_key and self.secret_key), "an empty key; valid: any access key and secret key"),
        ]
        for is_wrong, text in problems:
            if is_wrong:
                raise SettingsError(f"the simulator cannot run with {text}")

    def _has_sound_markets(self) -> bool:
        if isinstance(self.markets, int):
            return 1 <= self.markets <= MOST_MARKETS
        sound = [code for code in self.markets if code.startswith("KRW-") and is_market(code)]
        return 0 < len(sound) == len(set(self.markets)) == len(self.markets) <= MOST_MARKETS
