"""Inputs that every bench shares: seeded, so that two runs see the same."""

from __future__ import annotations

import numpy as np
import polars as pl

from tickloop.domain.tables import TRADE

START_MS = 1_705_881_600_000


def trades(count: int, per_minute: int = 1_000, seed: int = 7) -> pl.DataFrame:
    """Give a TRADE frame: a random walk on the 1,000 KRW grid near 58 million, several trades a millisecond."""
    rng = np.random.default_rng(seed)
    gaps = rng.integers(0, 2 * 60_000 // per_minute, count)
    ts = START_MS + np.cumsum(gaps)
    price = 58_000_000.0 + 1_000.0 * np.cumsum(rng.integers(-1, 2, count))
    columns = {
        "market": pl.repeat("KRW-BTC", count, eager=True),
        "trade_id": np.arange(count, dtype=np.int64),
        "ts_event": ts,
        "ts_received": ts * 1_000_000 + 40_000_000,
        "arrival": np.arange(count, dtype=np.int64),
        "price": price,
        "qty_e8": rng.integers(10_000, 50_000_000, count),
        "side": pl.Series(np.where(rng.random(count) < 0.5, "BUY", "SELL")),
        "change": pl.repeat("RISE", count, eager=True),
        "source": pl.repeat("stream", count, eager=True),
    }
    return pl.DataFrame(columns).cast(dict(TRADE.columns))  # type: ignore[arg-type]
