"""The first line of a report: can this result be told from luck?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from tickloop.errors import DataError

ALPHA = 0.05
"""One-sided: a p above it is luck. The same as the promotion gate's (design.md section 6)."""

MIN_DEFLATED_SHARPE = 1.0 - ALPHA
"""Probability that the true Sharpe ratio is above 0 after the choice among trials."""

MAX_OVERFITTING = 0.2
"""Probability of over-fitting above which the search has picked by luck. A search of noise has 0.5 on average, but one
in 70 (200 trials, simulated) to one in 12 (10 trials) is below 0.2: it cannot replace the deflated Sharpe ratio.
Trials that are all good and much alike exceed it too, which is against us."""

MIN_TRADES = 30
"""Round trips below which a mean is not judged."""

MIN_LOSSES = 5
"""Round trips that lost, below which the size and rate of losses is not known: a strategy of small gains and rare large
losses looks safe until the first of them."""

Path = Literal["recorded", "bars", "invented"]
"""Where the prices inside a minute come from: trades as they were; nowhere, with what a bar cannot tell taken against
us (bar mode); made up from candles, tick by tick."""


SignalOf = Literal["forecasts", "signals"]
"""What a strategy goes by: a model's forecasts, or signals that it makes of the closes."""


class Kind(StrEnum):
    NOTHING = "nothing"
    INVENTED = "invented"
    LOSS = "loss"
    LUCK = "luck"
    UNLIKELY_LUCK = "unlikely_luck"


@dataclass(frozen=True)
class Evidence:
    """What is known of a result; None is what was not measured.

    Attributes:
        profit_krw: after fees, open lots at the last price.
        trades, losses: round trips, and those of them that lost.
        trials: settings or models that were tried to get this one, itself included.
        p_mean: one-sided, of a mean profit of 0 or less (`resampling.resampled`).
        interval_krw: limits of the profit over the same time, 95 %: those of the mean per period times periods.
        deflated_sharpe: asked for when there were trials (`sharpe.deflated_sharpe`).
        overfitting: asked for when there were trials (`overfitting.overfitting`).
        p_best: `p_mean` of the best of all trials (`resampling.deflated_p`); stands in for `overfitting` where the
            profits of the trials over time are not known.
        p_signal: of the same forecasts, or the signals of a strategy that makes its own, at other minutes
            (`permutation.shuffled`, `signal_shift.shifted_signal`); None if there are none.
        buy_and_hold_krw: profit of holding over the same time.
    """

    profit_krw: float
    trades: int
    losses: int
    path: Path
    trials: int = 1
    p_mean: float | None = None
    interval_krw: tuple[float, float] | None = None
    deflated_sharpe: float | None = None
    overfitting: float | None = None
    p_signal: float | None = None
    buy_and_hold_krw: float | None = None
    p_best: float | None = None
    signal_of: SignalOf = "forecasts"

    def __post_init__(self) -> None:
        """Raise DataError for a figure that cannot be."""
        shares = (self.p_mean, self.deflated_sharpe, self.overfitting, self.p_signal, self.p_best)
        if any(share is not None and not 0.0 <= share <= 1.0 for share in shares):
            raise DataError(f"probabilities {shares} of a verdict; valid: from 0 to 1")
        if self.trials < 1 or not 0 <= self.losses <= self.trades or self.profit_krw != self.profit_krw:
            raise DataError(f"{self} is no evidence; valid: at least 1 trial, at most all trades lost, a profit")


class Verdict(NamedTuple):
    kind: Kind
    text: str


def verdict(evidence: Evidence) -> Verdict:
    """Say in one sentence what a result is worth; every doubt there is, is in it."""
    if evidence.path == "invented":
        reason = "the path of prices inside a minute is invented, and so is any profit or loss from tick to tick"
        return Verdict(Kind.INVENTED, f"This result says nothing of profit: {reason}.")
    if evidence.trades == 0 and evidence.profit_krw == 0.0:
        return Verdict(Kind.NOTHING, "Nothing was traded: there is no result to judge.")
    made = _made(evidence)
    if evidence.profit_krw <= 0.0:
        return Verdict(Kind.LOSS, f"This result loses money: {made}{_loss_by_luck(evidence)}.{_in_bars(evidence)}")
    doubts = _doubts(evidence)
    if doubts:
        return Verdict(
            Kind.LUCK, f"This result cannot be told from luck: {made}, but {'; '.join(doubts)}.{_in_bars(evidence)}"
        )
    return Verdict(
        Kind.UNLIKELY_LUCK, f"This result is unlikely to be luck: {made}, {_support(evidence)}.{_in_bars(evidence)}"
    )


def _made(evidence: Evidence) -> str:
    trips = f"{evidence.trades:,} {'round trip' if evidence.trades == 1 else 'round trips'}"
    held = evidence.buy_and_hold_krw
    holding = f" (holding the market: {held:+,.0f} KRW)" if held is not None else ""
    return f"{evidence.profit_krw:+,.0f} KRW after fees in {trips}{_between(evidence)}{holding}"


def _between(evidence: Evidence) -> str:
    if evidence.interval_krw is None:
        return ""
    low, high = evidence.interval_krw
    return f", 95 % between {low:+,.0f} and {high:+,.0f}"


def _loss_by_luck(evidence: Evidence) -> str:
    if evidence.interval_krw is None or evidence.interval_krw[1] < 0.0:
        return ""
    return "; a loss of that size can be bad luck, which is no reason to expect a profit"


def _doubts(evidence: Evidence) -> list[str]:
    return [doubt for doubt in (*_too_little(evidence), *_by_chance(evidence), *_by_choice(evidence)) if doubt]


def _too_little(evidence: Evidence) -> list[str]:
    doubts = []
    if evidence.trades < MIN_TRADES:
        doubts.append(f"fewer than {MIN_TRADES} round trips say little")
    elif evidence.losses < MIN_LOSSES:
        doubts.append(f"only {evidence.losses} of them lost, so that the size of rare losses is not known")
    return doubts


def _by_chance(evidence: Evidence) -> list[str]:
    doubts = []
    if evidence.p_mean is None:
        doubts.append("how far chance could move it was not measured")
    elif evidence.p_mean > ALPHA:
        doubts.append(f"a strategy worth nothing does as well in {_percent(evidence.p_mean)} of cases")
    if evidence.p_signal is not None and evidence.p_signal > ALPHA:
        doubts.append(
            f"its {evidence.signal_of} put at other minutes earn as much in {_percent(evidence.p_signal)} of cases"
        )
    return doubts


def _by_choice(evidence: Evidence) -> list[str]:
    if evidence.trials == 1:
        return []
    tried = f"it is the best of {evidence.trials:,} trials"
    if evidence.deflated_sharpe is None or (evidence.overfitting is None and evidence.p_best is None):
        return [f"{tried}, and what that choice alone brings was not measured"]
    doubts = []
    if evidence.deflated_sharpe < MIN_DEFLATED_SHARPE:
        doubts.append(
            f"{tried}, and the chance that it is better than the best of as many worthless ones is"
            f" {_percent(evidence.deflated_sharpe)}"
        )
    if evidence.overfitting is None and evidence.p_best is not None and evidence.p_best > ALPHA:
        share = _percent(evidence.p_best)
        doubts.append(f"the best of {evidence.trials:,} worthless strategies does as well in up to {share} of cases")
    if evidence.overfitting is not None and evidence.overfitting > MAX_OVERFITTING:
        share = _percent(evidence.overfitting)
        doubts.append(f"a trial chosen like this is not above the median afterwards in {share} of cases")
    return doubts


def _support(evidence: Evidence) -> str:
    parts = [f"p {evidence.p_mean:.3g}"]
    if evidence.trials > 1:
        parts.append(f"best of {evidence.trials:,} trials with deflated Sharpe {evidence.deflated_sharpe:.3f}")
        if evidence.overfitting is not None:
            parts.append(f"probability of over-fitting {evidence.overfitting:.2f}")
        else:
            parts.append(f"p {evidence.p_best:.3g} for the best of so many")
    if evidence.p_signal is not None:
        parts.append(f"p {evidence.p_signal:.3g} against shuffled {evidence.signal_of}")
    return ", ".join(parts) + "; that is no promise for other times"


def _in_bars(evidence: Evidence) -> str:
    return " What a bar cannot tell was taken against it." if evidence.path == "bars" else ""


def _percent(share: float) -> str:
    return f"{100.0 * share:.1f} %" if share < 0.1 else f"{100.0 * share:.0f} %"
