"""The lines below a verdict, and those of a walk-forward."""

from __future__ import annotations

import copy
from typing import Any

from tickloop.entrypoints.commands.judgement_text import judgement_lines
from tickloop.entrypoints.commands.walkforward_text import walkforward_lines

JUDGEMENT: dict[str, Any] = {
    "luck": {
        "period": "hour", "periods": 240, "profit_low_krw": -1_500.4, "profit_high_krw": 9_000.6, "p_mean": 0.0804597,
        "sharpe_per_period": {"value": 0.09}, "sharpe_annualised": 8.42, "probabilistic_sharpe": 0.9177,
    },
    "choice": {
        "trials": 40, "deflated_sharpe": 0.31, "p_best": None,
        "overfitting": {"probability": 0.44, "trials": 40, "blocks": 16},
    },
    "signal": {"of": "signals", "p": 0.21, "permutations": 199, "shuffled_low_krw": -4e3, "shuffled_high_krw": 5e3},
    "sensitivity": {
        "fees": [{"fee_rate": 0.0, "profit_krw": 7_400.0}, {"fee_rate": 0.0005, "profit_krw": 3_700.0}],
        "latencies": [{"latency_ms": 0, "profit_krw": 3_800.0}, {"latency_ms": 1_000, "profit_krw": -12.0}],
        "break_even_fee_rate": 0.00098,
        "break_even": "the profit falls to 0 there",
    },
    "notes": {},
}  # fmt: skip

FOLD = {
    "number": 0, "train": "2024-01-01T00..2024-01-03T00", "test": "2024-01-03T00..2024-01-04T00",
    "setting": {"fast": 5, "min_edge": 0.0015}, "in_sample": {"profit_krw": 900.0},
    "out_of_sample": {"profit_krw": -120.4, "trades": 1_031}, "cash_krw": 50_000.0,
}  # fmt: skip

FOUND: dict[str, Any] = {
    "verdict": "This result loses money.", "market": "KRW-BTC", "strategy": "sma_cross", "model_version": "ridge-2",
    "mode": "bars", "window": "2024-01-01T00..2024-01-06T00", "tested": "2024-01-03T00..2024-01-06T00",
    "scheme": "rolling", "train": "2d", "test": "1d", "step": "1d", "embargo": "0h", "method": "grid",
    "objectives": ["sharpe"], "settings": 12, "attempts": 2, "trials_so_far": 1_014, "budget_krw": 50_000.0,
    "out_of_sample": {
        "profit_krw": -120.4, "buy_and_hold_krw": 33.0, "trades": 1_031, "fees_krw": 61.5, "turnover_krw": 123_000.0,
        "max_drawdown_krw": 200.0, "exposure": 0.25,
    },
    "in_sample_profit_krw": 900.0, "efficiency": -0.2, "profitable_folds": 0,
    "folds": [FOLD, {**FOLD, "number": 1, "out_of_sample": None}], "notes": ["a note"], "judgement": JUDGEMENT,
}  # fmt: skip


def test_everything_that_was_measured_has_a_line() -> None:
    """In the order in which it is to be read."""
    assert list(judgement_lines(JUDGEMENT)) == [
        "Luck or not",
        "  profit by chance        -1,500 to +9,001 KRW in 95 % of cases (blocks of 240 periods: hour)",
        "  p of its mean           0.08046, of a strategy worth nothing",
        "  Sharpe ratio            0.0900 per hour, 8.42 a year; above 0 with probability 0.918",
        "  best of trials          40; deflated Sharpe 0.310",
        "  over-fitting            0.440 by 40 trials in 16 blocks",
        "  p of its signals        0.21; shuffled 199 times they make -4,000 to +5,000 KRW",
        "If costs were others, KRW after fees",
        "  fee of one side         0.000 %: +7,400, 0.050 %: +3,700",
        "  breaks even at          0.0980 %",
        "  latency                 0 ms: +3,800, 1,000 ms: -12",
    ]


def test_what_was_not_measured_is_said_with_its_reason() -> None:
    """And a fee that there is not."""
    found = copy.deepcopy(JUDGEMENT)
    found |= {"luck": None, "choice": None, "signal": None, "notes": {"luck": "the run covers 3 minutes"}}
    found["sensitivity"] |= {"latencies": [], "break_even_fee_rate": None, "break_even": "it earns nothing"}

    assert list(judgement_lines(found)) == [
        "If costs were others, KRW after fees",
        "  fee of one side         0.000 %: +7,400, 0.050 %: +3,700",
        "  breaks even at          it earns nothing",
        "Not measured",
        "  luck                    the run covers 3 minutes",
    ]


def test_trials_of_unknown_profits_have_the_p_of_the_best() -> None:
    """In the place of over-fitting."""
    found = copy.deepcopy(JUDGEMENT)
    found["choice"] |= {"overfitting": None, "p_best": 0.02}

    assert "  p of the best           0.02 at most, of as many worth nothing" in list(judgement_lines(found))


def test_walkforward_begins_with_the_verdict_and_lists_its_folds() -> None:
    """Columns are as wide as their widest text; a fold without a price says so."""
    lines = list(walkforward_lines(FOUND))

    assert lines[0] == "This result loses money."
    assert "mode bars, 12 settings a fold (grid) for sharpe, budget 50,000 KRW, forecasts of ridge-2" in lines
    at = next(nth for nth, line in enumerate(lines) if line.startswith("fold"))
    assert lines[at : at + 3] == [
        "fold  train                         test                          in sample  out of sample  trades  setting",
        "0     2024-01-01T00..2024-01-03T00  2024-01-03T00..2024-01-04T00       +900           -120   1,031  fast 5,"
        " min_edge 0.0015",
        "1     2024-01-01T00..2024-01-03T00  2024-01-03T00..2024-01-04T00       +900       no price       0  fast 5,"
        " min_edge 0.0015",
    ]
    assert "  efficiency              -20.0 %  (profit a day, out of sample over in sample)" in lines
    assert lines[-2:] == [
        "  - a note",
        "  - 1,014 settings were tried on this time so far, these included; on train parts only what lies before its"
        " test part was seen, and what was traded counts as attempt 2",
    ]


def test_choices_that_lost_in_sample_have_no_efficiency() -> None:
    """A share of a loss says nothing."""
    lines = "\n".join(walkforward_lines({**FOUND, "efficiency": None}))

    assert "efficiency              none, for the choices lost in sample too" in lines
