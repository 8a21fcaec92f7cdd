"""What a result is worth, with everything that it was judged by, as plain values for a page or a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeVar

import numpy as np

from tickloop.domain.evidence import Choice, Luck, choice_of, evidence_of, luck_of
from tickloop.domain.figures import Floats
from tickloop.domain.permutation import Shuffled
from tickloop.domain.resampling import Estimate
from tickloop.domain.sensitivity import Sensitivity
from tickloop.domain.sharpe import annualised, min_track_record
from tickloop.domain.track import Track
from tickloop.domain.verdict import ALPHA, Evidence, SignalOf, Verdict, verdict
from tickloop.errors import NotEnoughDataError

T = TypeVar("T")

INVENTED = "nothing is measured on an invented path"


@dataclass(frozen=True)
class Judgement:
    """A verdict and what stands behind it; None is what was not measured, and `notes` says why.

    Attributes:
        signal: None for a strategy that goes by neither forecasts nor signals.
        seed: of everything that was drawn; the same inputs and seed give the same judgement.
        notes: what was not measured and why, by section.
    """

    verdict: Verdict
    evidence: Evidence
    seed: int
    luck: Luck | None = None
    choice: Choice | None = None
    signal: Shuffled | None = None
    sensitivity: Sensitivity | None = None
    notes: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Give JSON-ready values, sections that were not measured as None; money is KRW."""
        return {
            "verdict": {"kind": self.verdict.kind.value, "text": self.verdict.text, "alpha": ALPHA},
            "luck": None if self.luck is None else _luck(self.luck),
            "choice": None if self.choice is None else _choice(self.choice),
            "signal": None if self.signal is None else _signal(self.signal) | {"of": self.evidence.signal_of},
            "sensitivity": None if self.sensitivity is None else _sensitivity(self.sensitivity),
            "notes": dict(self.notes),
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Probes:
    """What only runs of the strategy can tell; None is left out.

    Attributes:
        signal: (generator) -> the permutation test of the forecasts or signals.
        sensitivity: () -> profits at other fees and latencies.
        reasons: why one is left out, by section.
    """

    signal: Callable[[np.random.Generator], Shuffled] | None = None
    sensitivity: Callable[[], Sensitivity] | None = None
    reasons: tuple[tuple[str, str], ...] = ()
    signal_of: SignalOf = "forecasts"


def judge(
    track: Track, *, trials: int = 1, matrix: Floats | None = None, probes: Probes | None = None, seed: int = 0
) -> Judgement:
    """Judge a run.

    Args:
        trials: settings that were tried on this market and time to get this one, itself included.
        matrix: profits (periods, trials) of them, as `evidence.choice_of` takes it.
        probes: none for a run that cannot be done again, such as a bot's.

    Raises:
        DataError: if a profit is not finite, or `trials` is below 1.
    """
    if track.path == "invented":  # its profit is no profit, so no figure is made of it
        evidence = evidence_of(track, None, None, trials, None)
        return Judgement(verdict(evidence), evidence, seed, notes=(("all", INVENTED),))
    probes = probes or Probes()
    notes = dict(probes.reasons)
    to_luck, to_signal = (np.random.default_rng((seed, part)) for part in range(2))
    told = trials if matrix is None else 1
    luck = _measured("luck", lambda: luck_of(track, to_luck, told), notes)
    choice = None if luck is None else choice_of(luck, trials, matrix)
    if choice is not None and choice.trials > 1 and choice.overfitting is None:
        notes["overfitting"] = "the profits of the trials over time are not known, or too few to halve"
    signal = None
    if probes.signal is not None:
        run_signal = probes.signal
        signal = _measured("signal", lambda: run_signal(to_signal), notes)
    sensitivity = None if probes.sensitivity is None else probes.sensitivity()
    evidence = evidence_of(track, luck, choice, trials, None if signal is None else signal.p, probes.signal_of)
    return Judgement(verdict(evidence), evidence, seed, luck, choice, signal, sensitivity, tuple(notes.items()))


def _measured(section: str, measure: Callable[[], T], notes: dict[str, str]) -> T | None:
    """Give None, with the reason among the notes, where there is too little to measure."""
    try:
        return measure()
    except NotEnoughDataError as exc:
        notes[section] = str(exc)
        return None


def _luck(luck: Luck) -> dict[str, Any]:
    drawn, record = luck.resampled, luck.record
    low, high = luck.interval_krw or (None, None)
    return {
        "period": luck.period,
        "periods": drawn.periods,
        "mean_block_periods": round(drawn.mean_length, 3),
        "resamples": drawn.resamples,
        "confidence": drawn.confidence,
        "profit_low_krw": None if low is None else round(low, 4),
        "profit_high_krw": None if high is None else round(high, 4),
        "p_mean": drawn.p_mean,
        "mean_per_period_krw": _estimate(drawn.mean),
        "sharpe_per_period": _estimate(drawn.sharpe),
        "profit_factor_of_periods": _estimate(drawn.profit_factor),
        "sharpe_annualised": annualised(record.sharpe, luck.periods_per_year),
        "skew": record.skew,
        "kurtosis": record.kurtosis,
        "probabilistic_sharpe": luck.probabilistic_sharpe,
        "periods_needed": _number(min_track_record(record)),
    }


def _choice(choice: Choice) -> dict[str, Any]:
    found = choice.overfitting
    return {
        "trials": choice.trials,
        "basis": choice.basis,
        "expected_max_sharpe_per_period": choice.expected_max_sharpe,
        "deflated_sharpe": choice.deflated_sharpe,
        "p_best": choice.p_best,
        "overfitting": None
        if found is None
        else {
            "probability": found.probability,
            "probability_of_loss": found.probability_of_loss,
            "slope": _number(found.slope),
            "trials": found.trials,
            "blocks": found.blocks,
        },
    }


def _signal(signal: Shuffled) -> dict[str, Any]:
    low, middle, high = np.quantile(signal.profits, (0.025, 0.5, 0.975))
    return {
        "p": signal.p,
        "permutations": len(signal.profits),
        "profit_krw": round(signal.profit, 4),
        "shuffled_median_krw": round(float(middle), 4),
        "shuffled_low_krw": round(float(low), 4),
        "shuffled_high_krw": round(float(high), 4),
    }


def _sensitivity(found: Sensitivity) -> dict[str, Any]:
    return {
        "fees": [
            {"scale": scale, "fee_rate": rate, "profit_krw": round(krw, 4) + 0.0} for scale, rate, krw in found.fees
        ],
        "latencies": [{"latency_ms": ms, "profit_krw": round(krw, 4) + 0.0} for ms, krw in found.latencies],
        "break_even_fee_rate": found.break_even.fee_rate,
        "break_even": found.break_even.why or "the profit falls to 0 there",
    }


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {"value": _number(estimate.value), "low": _number(estimate.low), "high": _number(estimate.high)}


def _number(value: float) -> float | None:
    """JSON has no infinity, and no figure that has no meaning."""
    return value if isfinite(value) else None
