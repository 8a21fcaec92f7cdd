"""The strategies that come with Tickloop, by name."""

from __future__ import annotations

from tickloop.domain.strategies.grid import grid
from tickloop.domain.strategies.mean_reversion import mean_reversion
from tickloop.domain.strategies.plain import buy_and_hold, do_nothing
from tickloop.domain.strategies.sma_cross import sma_cross
from tickloop.domain.strategy import Strategy, default

SHIPPED: dict[str, Strategy] = {
    strategy.name: strategy for strategy in (default, buy_and_hold, do_nothing, sma_cross, grid, mean_reversion)
}
