"""Champion against challengers on the same minutes -> who is champion, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from tickloop.errors import DataError


@dataclass(frozen=True)
class Policy:
    """The rule by which a challenger replaces the champion.

    Attributes:
        min_improvement: the challenger must be better by more than this, in units of the metric.
        max_bias_bp: a challenger whose mean error is farther from 0 than this is left out.
    """

    metric: str
    optimize: Literal["minimize", "maximize"]
    min_improvement: float = 0.0
    max_bias_bp: float = 2.0

    def gain(self, score: float, reference: float) -> float:
        """Give by how much a score is better than another: below 0 where it is worse."""
        return reference - score if self.optimize == "minimize" else score - reference


@dataclass(frozen=True)
class Scored:
    """A version with its score by the policy's metric, and its mean error, on the minutes that all share."""

    name: str
    score: float
    bias_bp: float


@dataclass(frozen=True)
class Choice:
    winner: str
    is_promoted: bool
    reason: str


def choose(champion: Scored, challengers: Sequence[Scored], policy: Policy, minutes: int) -> Choice:
    """Decide who is champion.

    The best challenger within the bias guard wins if it is better than the champion by more than `min_improvement`;
    of equal challengers the first named. A tie with the champion changes nothing.

    Args:
        minutes: how many minutes all were scored on.

    Returns:
        The winner, and one sentence with the numbers.

    Raises:
        DataError: if a score or bias is not a finite number.
    """
    for one in (champion, *challengers):
        if not (isfinite(one.score) and isfinite(one.bias_bp)):
            raise DataError(f"{one.name} has {policy.metric} {one.score} and bias {one.bias_bp}; valid: finite numbers")
    fit = [one for one in challengers if abs(one.bias_bp) <= policy.max_bias_bp]
    biased = [one for one in challengers if one not in fit]
    if not fit:
        return Choice(champion.name, False, f"{champion.name} stays, because {_none_fit(biased, policy)}")
    best = max(fit, key=lambda one: policy.gain(one.score, champion.score))
    figures = f"{policy.metric} {best.score:,.3f} against {champion.score:,.3f} on {minutes:,} minutes"
    left_out = f"; left out: {_shown(biased, policy)}" if biased else ""
    if policy.gain(best.score, champion.score) > policy.min_improvement:
        return Choice(best.name, True, f"{best.name} replaces {champion.name}: {figures}{left_out}")
    needed = f", and {policy.min_improvement:g} better is asked for" if policy.min_improvement else ""
    reason = f"{champion.name} stays, because the best challenger {best.name} has {figures}{needed}{left_out}"
    return Choice(champion.name, False, reason)


def _none_fit(biased: Sequence[Scored], policy: Policy) -> str:
    return f"no challenger may replace it: {_shown(biased, policy)}" if biased else "there is no challenger"


def _shown(biased: Sequence[Scored], policy: Policy) -> str:
    offs = ", ".join(f"{one.name} is off by {one.bias_bp:+.2f} bp on average" for one in biased)
    return f"{offs} (at most {policy.max_bias_bp:g} bp)"
