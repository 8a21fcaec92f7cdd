"""What profits by period say: how far chance could move them, and what a choice among trials brings."""

from __future__ import annotations

import numpy as np
import pytest

from tickloop.domain.evidence import Luck, choice_of, evidence_of, luck_of
from tickloop.domain.figures import SHARPE, Floats
from tickloop.domain.sharpe import deflated_sharpe, probabilistic_sharpe
from tickloop.domain.track import Track
from tickloop.domain.window import DAY_MS, MINUTE_MS
from tickloop.errors import NotEnoughDataError

DAY_0 = 19_000 * DAY_MS


def track(ts_ms: list[int], equity: list[float], budget: float = 100.0) -> Track:
    return Track(np.array(ts_ms, np.int64), np.array(equity), budget, trades=3, losses=1, path="bars")


def lucky(periods: int, mean: float, trials: int = 1) -> Luck:
    """Profits of minutes, normal around a mean."""
    profits: Floats = np.random.default_rng(9).normal(mean, 1.0, periods)
    minutes = [DAY_0 + nth * MINUTE_MS for nth in range(periods)]
    return luck_of(track(minutes, (100.0 + np.cumsum(profits)).tolist()), np.random.default_rng(1), trials)


def test_interval_is_that_of_the_mean_times_the_periods() -> None:
    """So that it stands beside the profit."""
    rng = np.random.default_rng(5)
    run = track([DAY_0 + n * MINUTE_MS for n in range(400)], (100 + np.cumsum(rng.normal(0.1, 1.0, 400))).tolist())

    luck = luck_of(run, np.random.default_rng(0))

    assert luck.period == "minute"
    assert luck.resampled.periods == 400
    assert luck.interval_krw == (luck.resampled.mean.low * 400, luck.resampled.mean.high * 400)
    assert luck.interval_krw is not None
    assert luck.interval_krw[0] < run.profit_krw < luck.interval_krw[1]
    assert luck.periods_per_year == 525_600


def test_run_of_nineteen_minutes_is_too_short() -> None:
    """There are no shorter periods."""
    with pytest.raises(NotEnoughDataError, match="covers 19 minutes; valid: at least 20"):
        luck_of(track([DAY_0 + n * MINUTE_MS for n in range(19)], [100.0] * 19), np.random.default_rng(0))


def test_run_that_traded_once_says_nothing_of_chance() -> None:
    """Of one profit in 2,880 minutes there is no spread; an interval of it would be a figure without a meaning."""
    equity = [100.0] * 1_200 + [110.0] * 1_680
    run = track([DAY_0 + n * MINUTE_MS for n in range(2_880)], equity)

    luck = luck_of(run, np.random.default_rng(0))

    assert luck.moved == 1
    assert luck.interval_krw is None


@pytest.mark.parametrize("seed", range(20))
def test_run_whose_profits_lie_in_one_stretch_has_a_finite_interval_or_none(seed: int) -> None:
    """Resamples without that stretch have no spread of their own."""
    rng = np.random.default_rng(seed)
    minutes = np.zeros(2_880)
    at = int(rng.integers(0, 2_000))
    minutes[at : at + 300] = rng.normal(0.0, 3.0, 300)
    run = track([DAY_0 + n * MINUTE_MS for n in range(2_880)], (1e5 + np.cumsum(minutes)).tolist(), 1e5)

    found = [run.profit_krw]
    found += luck_of(run, rng).interval_krw or ()

    assert np.abs(found).max() < 1e5


def test_one_trial_was_not_chosen() -> None:
    """Its deflated ratio is the probabilistic one."""
    luck = lucky(400, 0.1)

    choice = choice_of(luck, 1)

    assert choice.basis is None
    assert choice.p_best is None
    assert choice.deflated_sharpe == probabilistic_sharpe(luck.record) == luck.probabilistic_sharpe


def test_choice_among_unknown_trials_takes_them_as_independent() -> None:
    """Variance of the ratio of noise: 1 / (n - 1); of 100 such the best has 2.53 times its root."""
    luck = lucky(401, 0.1, trials=100)

    choice = choice_of(luck, 100)

    assert choice.basis == "as many worthless trials that have nothing to do with each other"
    assert choice.expected_max_sharpe == pytest.approx(2.5306 * 0.05, abs=1e-4)
    assert choice.deflated_sharpe == deflated_sharpe(luck.record, 100, 1 / 400)
    assert choice.overfitting is None
    assert choice.p_best == min(1.0, 100 * luck.resampled.p_mean)


def test_more_trials_are_told_apart_by_more_resamples() -> None:
    """20 of them lie in the tail that the best of all is held against; a long row has fewer."""
    assert lucky(200, 0.5).resampled.resamples == 2_000
    assert lucky(200, 0.5, trials=100).resampled.resamples == 40_000
    assert lucky(1_999, 0.5, trials=400).resampled.resamples == 20_000_000 // 1_999
    choice = choice_of(lucky(200, 0.5, trials=100), 100)
    assert choice.p_best is not None
    assert choice.p_best < 0.01


def test_choice_among_known_trials_takes_their_spread() -> None:
    """Of 16 long periods against 160 short ones of the same time: ratios per period differ by the root of ten."""
    matrix = np.random.default_rng(1).normal(size=(16, 30))
    luck = lucky(160, 0.2)

    choice = choice_of(luck, 50, matrix)
    counted = choice_of(luck, 1, matrix)

    assert choice.basis == "the trials that were made"
    assert choice.trials == 50
    assert counted.trials == 30
    variance = SHARPE.of(matrix).var(ddof=1) / 10
    assert choice.deflated_sharpe == pytest.approx(deflated_sharpe(luck.record, 50, float(variance)))
    assert choice.overfitting is not None
    assert choice.overfitting.blocks == 8
    assert choice.p_best is None


def test_matrix_of_too_few_periods_gives_no_probability_of_overfitting() -> None:
    """Three periods have no halves; their ratios have a spread."""
    choice = choice_of(lucky(160, 0.2), 5, np.random.default_rng(1).normal(size=(3, 5)))

    assert choice.overfitting is None
    assert choice.basis == "the trials that were made"
    assert choice.p_best is not None


def test_what_was_not_measured_stays_out_of_the_evidence() -> None:
    """None, and the trials as the caller counts them."""
    evidence = evidence_of(track([DAY_0], [107.0]), None, None, 3, None)

    assert (evidence.p_mean, evidence.deflated_sharpe, evidence.overfitting, evidence.p_signal) == (None,) * 4
    assert (evidence.profit_krw, evidence.trials) == (7.0, 3)
