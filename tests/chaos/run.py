"""One chaos run: hours of market under random faults and kills, then the chain, then the truth.

`python tests/chaos/run.py --hours 10` is the long form; `tests/chaos/test_chaos.py` runs a short one for many seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from plan import HOUR_MS, KILL, MARKETS, MINUTE_MS, Trouble, plan
from world import World

from tickloop.bootstrap import App, open_app
from tickloop.domain.tables import LEDGER, TRADE
from tickloop.domain.window import Window, to_ms
from tickloop.services.chain import step_named
from tickloop.services.steps import run_step
from tickloop.settings import load_settings

START_MS = 1_705_881_600_000  # 2024-01-22T00:00Z, in the shipped candles
ROUNDS = 4
"""Rounds of extract, load and verify: one finds what is short, the next settles it; a late candle costs one more."""


@dataclass
class Report:
    """What a run did; `problems` is empty when nothing was lost, doubled or mislabelled.

    Attributes:
        silences: connections that the collector gave up because nothing came.
    """

    seed: int
    hours: int
    troubles: dict[str, int]
    kills: int = 0
    trades: int = 0
    silences: int = 0
    states: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    real_s: float = 0.0


def run_chaos(home: Path, seed: int, hours: int, speed: float, troubles: Sequence[Trouble] | None = None) -> Report:
    """Collect under trouble, by default that of the seed, settle, and compare with what the simulator knows."""
    began = time.monotonic()
    troubles = plan(seed, START_MS, hours) if troubles is None else troubles
    report = Report(seed, hours, dict(Counter(trouble.kind for trouble in troubles)))
    window = Window(START_MS, START_MS + hours * HOUR_MS)
    with World(home, START_MS, speed, seed) as world:
        for trouble in troubles:
            world.until(trouble.at_ms)
            _make(world, trouble)
        world.until(window.end_ms + MINUTE_MS)
        world.control("DELETE", "/control/faults")
        # The market goes on: a lock-out that has begun ends by its clock.
        world.stop_collector()
        report.kills, report.silences = world.kills, world.silences()
        with open_app(load_settings(home)) as app:
            for market in MARKETS:
                _settle(app, market, window)
                _compare(report, app, world, market, window)
    report.real_s = round(time.monotonic() - began, 1)
    return report


def _make(world: World, trouble: Trouble) -> None:
    if trouble.kind == KILL:
        world.kill_collector()
    else:
        world.control("POST", "/control/faults", kind=trouble.kind, **trouble.fields)


def _settle(app: App, market: str, window: Window) -> None:
    for _ in range(ROUNDS):
        for name in ("extract", "load", "verify"):
            run_step(app, step_named(name), market, window)
        if "unknown" not in set(app.warehouse.read(LEDGER, market, window)["state"].cast(str)):
            return


def _compare(report: Report, app: App, world: World, market: str, window: Window) -> None:
    path = f"/control/tape?market={market}&start={window.start_ms}&end={window.end_ms}"
    tape: list[dict[str, Any]] = world.control("GET", path)["trades"]
    stored = app.warehouse.read(TRADE, market, window)
    report.trades += stored.height
    expected = {row["id"]: (row["ts"], row["price"], row["qty_e8"], row["side"]) for row in tape if not row["refused"]}
    found = {
        row["trade_id"]: (to_ms(row["ts_event"]), row["price"], row["qty_e8"], row["side"]) for row in stored.to_dicts()
    }
    if stored.height != len(found):
        report.problems.append(f"{market}: {stored.height - len(found)} trades are stored twice")
    lost, alien = expected.keys() - found.keys(), found.keys() - expected.keys()
    changed = [one for one in expected.keys() & found.keys() if expected[one] != found[one]]
    for what, ids in (("lost", lost), ("not the market's", alien), ("changed", changed)):
        if ids:
            report.problems.append(f"{market}: {len(ids)} trades are {what}, such as {sorted(ids)[:3]}")
    _compare_labels(report, app, tape, market, window)


def _compare_labels(report: Report, app: App, tape: list[dict[str, Any]], market: str, window: Window) -> None:
    right = {start: {"no_trade"} for start in range(window.start_ms, window.end_ms, MINUTE_MS)}
    for row in tape:
        minute = row["ts"] - row["ts"] % MINUTE_MS
        right[minute] = {"candle"} if row["refused"] or right[minute] == {"candle"} else {"verified", "repaired"}
    from_rest = {
        to_ms(at) // MINUTE_MS * MINUTE_MS
        for at, source in app.warehouse.read(TRADE, market, window).select("ts_event", "source").iter_rows()
        if source == "rest"
    }
    ledger = app.warehouse.read(LEDGER, market, window)
    for minute, state in ((to_ms(at), state) for at, state in ledger.select("minute", "state").iter_rows()):
        report.states[state] = report.states.get(state, 0) + 1
        valid = right.pop(minute)
        if "verified" in valid:
            valid = {"repaired" if minute in from_rest else "verified"}
        if state not in valid:
            report.problems.append(f"{market}: minute {minute} is {state}, but must be {' or '.join(sorted(valid))}")
    if right:
        report.problems.append(f"{market}: {len(right)} minutes are not in the ledger, such as {min(right)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=10, help="market hours")
    parser.add_argument("--speed", type=float, default=600.0, help="market seconds per second")
    parser.add_argument("--seed", type=int, default=1, help="first seed")
    parser.add_argument("--runs", type=int, default=1, help="seeds to run, one after the other")
    given = parser.parse_args()
    is_right = True
    for seed in range(given.seed, given.seed + given.runs):
        with tempfile.TemporaryDirectory(prefix="tickloop-chaos-") as folder:
            report = run_chaos(Path(folder) / "home", seed, given.hours, given.speed)
        print(json.dumps(asdict(report)))  # noqa: T201 (a command's result)
        is_right = is_right and not report.problems
    return 0 if is_right else 3


if __name__ == "__main__":
    sys.exit(main())
