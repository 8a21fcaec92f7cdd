"""Random faults and kills: nothing lost, nothing doubled, every minute labelled right, for many seeds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from plan import MINUTE_MS, Trouble
from run import START_MS, run_chaos

SEEDS = int(os.environ.get("TICKLOOP_CHAOS_SEEDS", "4"))
HOURS, SPEED = 1, 1_200.0


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_every_trade_is_stored_once_and_every_minute_is_labelled_right(tmp_path: Path, seed: int) -> None:
    """Under faults of stream and REST and kill -9 of the collector; `make chaos` runs the long form."""
    report = run_chaos(tmp_path / "home", seed, HOURS, SPEED)

    assert report.problems == []
    assert report.trades > 0


def test_half_open_connection_is_given_up_and_what_it_kept_is_repaired(tmp_path: Path) -> None:
    """It stays open and gives nothing, no pong either: only its silence tells."""
    at_ms = START_MS + 5 * MINUTE_MS

    report = run_chaos(tmp_path / "home", 1, HOURS, SPEED, [Trouble(at_ms, "half_open")])

    assert report.problems == []
    assert report.silences >= 1
    assert report.states["repaired"] >= 5
