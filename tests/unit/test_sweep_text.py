"""A search as people read it: verdict first, then the best trials and tables of two parameters."""

from __future__ import annotations

import numpy as np

from tickloop.domain.heatmap import heat_map
from tickloop.domain.trials import Figures, Trial
from tickloop.entrypoints.commands.progress import trial_lines
from tickloop.entrypoints.commands.sweep_text import heat_map_lines, trial_table


def a_trial(number: int, profit: float, **setting: float) -> Trial:
    figures = Figures(profit, 0.25, 12.5, 0.5, 3, 7, 1, 21.0, 42_000.0)
    return Trial(number, setting, figures, np.zeros(4))


def test_table_of_trials_has_settings_and_figures_in_columns() -> None:
    """Right-aligned, amounts grouped."""
    lines = list(trial_table([a_trial(12, 1234.5, fast=5, slow=0.0005), a_trial(3, -1.0, fast=10, slow=0.001)]))

    assert lines == [
        "  trial  fast    slow    profit  sharpe  drawdown  exposure  trades  orders  open   fees  turnover",
        "     12     5  0.0005  1,234.50  0.2500     12.50     50.0%       3       7     1  21.00    42,000",
        "      3    10   0.001     -1.00  0.2500     12.50     50.0%       3       7     1  21.00    42,000",
    ]


def test_table_of_two_parameters_has_a_dot_where_no_trial_lies() -> None:
    """The mean of each cell."""
    trials = [a_trial(0, 1.0, a=1, b=5), a_trial(1, 2_000.0, a=1, b=5), a_trial(2, -3.0, a=2, b=6)]

    assert list(heat_map_lines(heat_map(trials, "a", "b", "profit_krw"))) == [
        "Mean profit_krw by b (down) and a (across)",
        "         1   2",
        "  5  1,000   .",
        "  6      .  -3",
    ]


def test_lines_of_progress_come_every_ten_seconds_with_the_time_left() -> None:
    """What was there before counts for no pace."""
    at = [0.0]
    written: list[str] = []
    report = trial_lines(written.append, lambda: at[0])

    for second, done in ((0, 40), (5, 50), (10, 60), (12, 62), (20, 80)):
        at[0] = float(second)
        report(done, 100)

    assert written == ["sweep: 60 of 100 trials, about 20 s left", "sweep: 80 of 100 trials, about 10 s left"]
