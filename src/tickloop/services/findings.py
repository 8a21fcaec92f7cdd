"""What the newest back-test says, in words that do not flatter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from tickloop.domain.tables import BACKTEST
from tickloop.errors import NotEnoughDataError
from tickloop.ports import ModelRegistry, Warehouse
from tickloop.services.backtest import BAR_STRATEGIES, BUY_AND_HOLD


def findings(warehouse: Warehouse, registry: ModelRegistry, market: str) -> str:
    """Say what trading the champion of a market would have brought in the newest slot that was back-tested."""
    rows = warehouse.read(BACKTEST, market)
    champion = registry.champion(market)
    if champion is None or rows.is_empty():
        return "Nothing was back-tested yet."
    newest = rows.filter(pl.col("slot") == pl.col("slot").max())
    if champion.name not in newest["model_version"].to_list():
        return f"{champion.name} became champion after the newest back-test; the next slot will say what it brings."
    return headline(newest, champion.name)


def headline(rows: pl.DataFrame, champion: str) -> str:
    """Say in one paragraph what trading the champion's forecasts would have brought.

    Args:
        rows: BACKTEST rows of one market and slot.

    Raises:
        NotEnoughDataError: if a strategy of the champion has no row.
    """
    mine = rows.filter(pl.col("model_version") == champion)
    results = {row["strategy"]: json.loads(row["result"]) for row in mine.iter_rows(named=True)}
    missing = [name for name in BAR_STRATEGIES if name not in results]
    if missing:
        raise NotEnoughDataError(f"no back-test of {champion} with {', '.join(missing)}; run the step backtest first")
    ours = results["default"]
    cost_bp = 2 * ours["params"]["fee_rate"] * 1e4
    move = "no forecast was made" if ours["mean_forecast_bp"] is None else f"{ours['mean_forecast_bp']:.1f} bp"
    path = " The path inside a minute is invented." if ours["is_path_invented"] else ""
    confirmed = "" if ours["rules_confirmed"] else " A price unit used here is unconfirmed."
    return (
        f"A round trip costs {cost_bp:.0f} bp; the average move forecast is {move}; in bar mode over "
        f"{ours['minutes']:,} minutes default made {_traded(ours)}, seed2023 {_traded(results['seed2023'])}, "
        f"buy and hold {_krw(results[BUY_AND_HOLD])} KRW, doing nothing 0 KRW.{path}{confirmed}"
    )


def _traded(result: Mapping[str, Any]) -> str:
    count = result["trades"]
    return f"{_krw(result)} KRW in {count:,} {'round trip' if count == 1 else 'round trips'}"


def _krw(result: Mapping[str, Any]) -> str:
    return f"{result['profit_krw']:+,.0f}"
