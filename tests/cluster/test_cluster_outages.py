"""Each store away for a while, one after the other."""

from __future__ import annotations

import pytest
from cluster_outages import Replay, lose_nothing, replay

__all__ = ["replay"]

pytestmark = pytest.mark.server


def test_stores_that_are_away_in_turn_lose_nothing(replay: Replay) -> None:
    """OpenSearch, which the shipper delivers to; then what the steps write to."""
    lose_nothing(replay, [["opensearch"], ["postgres"], ["s3"]])
