"""The model registry away for a while, then all servers at once. In a file of its own: another worker runs it."""

from __future__ import annotations

import pytest
from cluster_outages import NAMES, Replay, lose_nothing, replay

__all__ = ["replay"]

pytestmark = pytest.mark.server


def test_registry_and_all_servers_together_away_lose_nothing(replay: Replay) -> None:
    """Training cannot register; then nothing works but the collector."""
    lose_nothing(replay, [["mlflow"], NAMES])
