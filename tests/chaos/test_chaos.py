"""Random faults and kills: nothing lost, nothing doubled, every minute labelled right, for many seeds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from run import run_chaos

SEEDS = int(os.environ.get("TICKLOOP_CHAOS_SEEDS", "4"))
HOURS, SPEED = 1, 1_200.0


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_every_trade_is_stored_once_and_every_minute_is_labelled_right(tmp_path: Path, seed: int) -> None:
    """Under faults of stream and REST and kill -9 of the collector; `make chaos` runs the long form."""
    report = run_chaos(tmp_path / "home", seed, HOURS, SPEED)

    assert report.problems == []
    assert report.trades > 0
