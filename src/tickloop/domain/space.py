"""What a parameter of a strategy may be: lowest and highest value, and how a search moves between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import exp, floor, isfinite, log
from typing import Any

from tickloop.errors import UsageError


@dataclass(frozen=True)
class Range:
    """Valid values of one parameter, both ends included; whole numbers only where both ends are `int`.

    Attributes:
        step: distance of neighbours in a grid; None where a search may take any value between the ends.
        is_log: True where a search moves by factors and not by differences; `step` is None then.
    """

    low: float
    high: float
    step: float | None = None
    is_log: bool = False

    def __post_init__(self) -> None:
        if not (isfinite(self.low) and isfinite(self.high) and self.low <= self.high):
            raise UsageError(f"range {self.low} to {self.high} is not one; valid: finite ends, low not above high")
        if self.step is not None and (self.step <= 0 or self.is_log):
            raise UsageError(f"step {self.step} of {self} is not valid; valid: above 0, and none if is_log")
        if self.is_log and self.low <= 0:
            raise UsageError(f"range from {self.low} cannot be logarithmic; valid: a low end above 0")

    def __str__(self) -> str:
        how = f" in steps of {self.step}" if self.step is not None else " by factors" if self.is_log else ""
        return f"{self.low} to {self.high}{how}"

    @property
    def is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def at(self, share: float) -> float:
        """Give the value at a share of the way, 0 the low end and 1 the high one: how a random search draws."""
        if self.is_log:
            value = exp(log(self.low) + share * (log(self.high) - log(self.low)))
            value = min(max(value, self.low), self.high)  # exp(log(x)) may miss x by its last bit
            return round(value) if self.is_whole else value
        if self.step is None:
            value = self.low + share * (self.high - self.low)
            return round(value) if self.is_whole else value
        steps = floor((self.high - self.low) / self.step + 1e-9)
        return self.low + min(floor(share * (steps + 1)), steps) * self.step

    def values(self, count: int) -> list[float]:
        """Give at most `count` values, from low to high, evenly spread: one axis of a grid."""
        if count < 1:
            raise UsageError(f"{count} values of {self} cannot be given; valid: 1 or more")
        shares = [place / max(count - 1, 1) for place in range(count)]
        return sorted({self.at(share) for share in shares})


def with_values(params: Any, space: Mapping[str, Range], values: Mapping[str, Any], owner: str) -> Any:
    """Give a NamedTuple of parameters with some replaced by name; a text is read as the field's own type.

    Args:
        owner: whose parameters they are, for the message.

    Raises:
        UsageError: if a name is unknown, a value is no number or not whole where it must be, or is out of range.
    """
    changed = {name: _value(params, space, name, value, owner) for name, value in values.items()}
    return params._replace(**changed)


def check_ranges(params: Any, space: Mapping[str, Range], owner: str) -> None:
    """Refuse parameters out of range.

    Raises:
        UsageError: naming parameter, value and range.
    """
    for name in space:
        _value(params, space, name, getattr(params, name), owner)


def _value(params: Any, space: Mapping[str, Range], name: str, value: Any, owner: str) -> float:
    if name not in space:
        near = get_close_matches(name, space)
        meant = f"; nearest: {', '.join(near)}" if near else ""
        raise UsageError(f"{owner} has no parameter {name!r} to set{meant}; valid: {_listed(space)}")
    valid = space[name]
    try:
        number = float(value)
    except (TypeError, ValueError) as exc:
        raise UsageError(f"{owner}: {name} {value!r} is not a number; valid: {valid}") from exc
    if not valid.low <= number <= valid.high:
        raise UsageError(f"{owner}: {name} {value} is out of range; valid: {valid}")
    if valid.is_whole and number != floor(number):
        raise UsageError(f"{owner}: {name} {value} is not a whole number; valid: {valid}")
    return int(number) if isinstance(getattr(params, name), int) else number


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
