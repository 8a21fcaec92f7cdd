"""The parameters of a strategy for one market and time: a preset, the exchange's costs, and what the caller sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tickloop.domain import rules
from tickloop.domain.space import check_ranges, with_values
from tickloop.domain.strategy import OrderParams, Strategy
from tickloop.errors import UsageError


def params_for(
    strategy: Strategy,
    market: str,
    at_ms: int,
    preset: str = "default",
    values: Mapping[str, Any] | None = None,
) -> OrderParams:
    """Give a preset with the fee and minimum total of that time, and with some values set.

    Args:
        values: by name, numbers or their text; fee and minimum total cannot be set.

    Raises:
        UsageError: if there is no such preset or parameter, or a value is out of range or does not go with the others.
    """
    if preset not in strategy.presets:
        raise UsageError(f"preset {preset!r} of {strategy.name} is not known; valid: {', '.join(strategy.presets)}")
    costs = {"fee_rate": float(rules.fee_rate(market, at_ms)), "min_total": float(rules.min_total(market, at_ms))}
    base = cast("Any", strategy.presets[preset])._replace(**costs)
    params = with_values(base, strategy.space, values or {}, strategy.name)
    check_params(strategy, params)
    return cast("OrderParams", params)


def check_params(strategy: Strategy, params: OrderParams) -> None:
    """Refuse parameters that are out of range or do not go together.

    Raises:
        UsageError: naming the parameter, its value and what would be valid.
    """
    check_ranges(params, strategy.space, strategy.name)
    if strategy.problem is not None and (why := strategy.problem(params)):
        raise UsageError(f"{strategy.name}: {why}")
