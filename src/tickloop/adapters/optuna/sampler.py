"""Tree-structured Parzen estimators of Optuna, for one objective or several (MOTPE).

Source: Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization; Ozaki et al. 2022, Multiobjective
Tree-Structured Parzen Estimator.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import floor

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from tickloop.domain.search_space import Axis, SearchSpace, Setting

_STARTUP = 16
"""Random settings before the first that is learned: two of the batches that a search asks for."""


class TpeSampler:
    """One search in memory: what was tried stands in the warehouse, and is told again when it goes on.

    Args:
        objectives: how many figures a setting is judged by.
    """

    def __init__(self, space: SearchSpace, objectives: int, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._axes = dict(space.axes)
        self._distributions = {name: _distribution(axis) for name, axis in self._axes.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # Several are asked for at once: each is kept away from those under way.
            sampler = TPESampler(seed=seed, n_startup_trials=_STARTUP, multivariate=True, constant_liar=True)
        self._study = optuna.create_study(sampler=sampler, directions=["maximize"] * objectives)

    def ask(self) -> tuple[int, Setting]:
        trial = self._study.ask(self._distributions)
        return trial.number, {name: _value(axis, trial.params[name]) for name, axis in self._axes.items()}

    def tell(self, number: int, merits: Sequence[float] | None) -> None:
        if merits is None:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, list(merits))


def _distribution(axis: Axis) -> BaseDistribution:
    """Give places for lists and steps, so that a value is the one that every other search gives too."""
    if isinstance(axis, tuple):
        return IntDistribution(0, len(axis) - 1)
    if axis.step is not None:
        return IntDistribution(0, floor((axis.high - axis.low) / axis.step + 1e-9))
    if axis.is_whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.is_log)
    return FloatDistribution(axis.low, axis.high, log=axis.is_log)


def _value(axis: Axis, found: float) -> float:
    if isinstance(axis, tuple):
        return axis[int(found)]
    return axis.low + found * axis.step if axis.step is not None else found
