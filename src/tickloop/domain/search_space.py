"""Which settings of a strategy a search may try, and the two searches that need nothing but a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import islice, product
from math import prod
from typing import Any

import numpy as np

from tickloop.domain.space import Range
from tickloop.domain.strategy import OrderParams, Strategy
from tickloop.errors import UsageError

Axis = Range | tuple[float, ...]
"""Any value of a range, or one of these."""

Setting = dict[str, float]
"""Values of the parameters that a search sets, by name."""

MAX_TRIALS = 100_000

_ASIDE = ("order_krw",)
"""Not searched unless named: the size of an order scales profit and risk alike and says nothing of the strategy."""

_FORM = "valid: NAME=LOW:HIGH:STEP, NAME=A,B,C, NAME=LOW:HIGH, or NAME for all of its range"

_MOST_DRAWS = 200
"""Draws in a row that give nothing new, after which a random search has seen what there is."""


@dataclass(frozen=True)
class SearchSpace:
    """Axes by name of parameter, in the order in which they were named."""

    axes: Mapping[str, Axis]

    def as_dict(self) -> dict[str, Any]:
        """Give JSON-ready values that are equal only for equal spaces."""
        return {
            name: list(axis)
            if isinstance(axis, tuple)
            else {"low": axis.low, "high": axis.high, "step": axis.step, "is_log": axis.is_log}
            for name, axis in self.axes.items()
        }

    def at(self, shares: Sequence[float]) -> Setting:
        """Give the setting at a share, from 0 to below 1, of the way along each axis."""
        return {
            name: axis[int(share * len(axis))] if isinstance(axis, tuple) else axis.at(share)
            for (name, axis), share in zip(self.axes.items(), shares, strict=True)
        }

    def gridded(self, most: int) -> SearchSpace:
        """Give the same space with a few evenly spread values for each range: at most `most` settings if it can."""
        ranges = [name for name, axis in self.axes.items() if isinstance(axis, Range)]
        lists = prod(len(axis) for axis in self.axes.values() if isinstance(axis, tuple))
        each = max(2, int((most / max(lists, 1)) ** (1.0 / max(len(ranges), 1)) + 1e-9))
        return SearchSpace(
            {name: tuple(axis.values(each)) if isinstance(axis, Range) else axis for name, axis in self.axes.items()}
        )


def search_space(strategy: Strategy, texts: Sequence[str] = ()) -> SearchSpace:
    """Read the axes of a search.

    Args:
        texts: `NAME=LOW:HIGH:STEP` (values, both ends included), `NAME=A,B,C` (values), `NAME=LOW:HIGH` (a range, moved
            in as the strategy's own) or `NAME` (all of that). None: every parameter but the size of an order.

    Raises:
        UsageError: if a parameter is unknown or named twice, or a value is no number, not whole where it must be, or
            out of range.
    """
    if not texts:
        texts = [name for name in strategy.space if name not in _ASIDE]
        if not texts:
            raise UsageError(f"{strategy.name} has nothing to search; valid: a strategy with parameters of its own")
    axes: dict[str, Axis] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if name not in strategy.space:
            known = ", ".join(strategy.space) or "none"
            raise UsageError(f"{strategy.name} has no parameter {name!r} to search; valid: {known}")
        if name in axes:
            raise UsageError(f"parameter {name} is named twice; valid: once each")
        whole = strategy.space[name]
        axes[name] = _axis(text, values, whole) if equals else whole
    return SearchSpace(axes)


def goes_together(strategy: Strategy, base: OrderParams) -> Callable[[Setting], bool]:
    """Give the function that tells whether a strategy takes a setting on top of other parameters."""

    def is_taken(setting: Setting) -> bool:
        params: Any = base
        return strategy.problem is None or not strategy.problem(params._replace(**setting))

    return is_taken


def grid_settings(space: SearchSpace, is_taken: Callable[[Setting], bool]) -> list[Setting]:
    """Give every setting of a space of values, the last axis running fastest.

    Raises:
        UsageError: if there are more than MAX_TRIALS, or none goes together.
    """
    columns = [axis for axis in space.axes.values() if isinstance(axis, tuple)]
    size = prod(len(column) for column in columns)
    if len(columns) < len(space.axes) or size > MAX_TRIALS:
        raise UsageError(f"a grid of {size:,} settings; valid: lists of values with at most {MAX_TRIALS:,} in all")
    found = [dict(zip(space.axes, values, strict=True)) for values in product(*columns)]
    return _some([setting for setting in found if is_taken(setting)])


def random_settings(space: SearchSpace, is_taken: Callable[[Setting], bool], count: int, seed: int) -> list[Setting]:
    """Draw settings, none of them twice: fewer than `count` where the space has no more. More of them begin alike."""
    return _some(list(islice(_drawn(space, is_taken, seed), checked_count(count))))


def checked_count(trials: int) -> int:
    """Give a number of trials.

    Raises:
        UsageError: if nobody can make so many.
    """
    if not 1 <= trials <= MAX_TRIALS:
        raise UsageError(f"{trials:,} trials; valid: from 1 to {MAX_TRIALS:,}")
    return trials


def _drawn(space: SearchSpace, is_taken: Callable[[Setting], bool], seed: int) -> Iterator[Setting]:
    rng = np.random.default_rng(seed)
    seen: set[tuple[float, ...]] = set()
    in_vain = 0
    while in_vain < _MOST_DRAWS:
        setting = space.at(rng.random(len(space.axes)).tolist())
        key = tuple(setting.values())
        if key in seen or not is_taken(setting):
            in_vain += 1
            continue
        seen.add(key)
        in_vain = 0
        yield setting


def _some(settings: list[Setting]) -> list[Setting]:
    if not settings:
        raise UsageError("no setting of the search goes together with the others; valid: a space with at least one")
    return settings


def _axis(text: str, values: str, whole: Range) -> Axis:
    if ":" not in values:
        found = [_number(text, one) for one in values.split(",")]
    else:
        ends = [_number(text, one) for one in values.split(":")]
        if len(ends) == 2:
            low, high = (_valid(text, one, whole) for one in ends)
            return Range(low, high, whole.step, whole.is_log)
        if len(ends) != 3 or ends[2] <= 0 or ends[0] > ends[1]:
            raise UsageError(f"{text!r} is no axis: low not above high, and a step above 0; {_FORM}")
        low_end, high_end, step = ends
        count = int((high_end - low_end) / step) + 1
        if count > MAX_TRIALS:
            raise UsageError(f"{text!r} has {count:,} values; valid: at most {MAX_TRIALS:,}")
        found = [low_end + place * step for place in range(count)]
    return tuple(dict.fromkeys(_valid(text, one, whole) for one in found))


def _number(text: str, part: str) -> Decimal:
    try:
        number = Decimal(part)
    except InvalidOperation as exc:
        raise UsageError(f"{text!r} holds {part!r}, which is no number; {_FORM}") from exc
    if not number.is_finite():
        raise UsageError(f"{text!r} holds {part!r}; valid: finite numbers")
    return number


def _valid(text: str, number: Decimal, whole: Range) -> float:
    """Give a value as the parameter takes it; Decimal until here, so that steps of 0.0001 add up to what they say."""
    if not whole.low <= number <= whole.high:
        raise UsageError(f"{text!r} holds {number}, which is out of range; valid: {whole}")
    if whole.is_whole and number != int(number):
        raise UsageError(f"{text!r} holds {number}, which is not whole; valid: {whole}")
    return int(number) if whole.is_whole else float(number)
