"""Which sampler proposes the settings of a search that learns."""

from __future__ import annotations

from tickloop.bootstrap.stores import extra
from tickloop.domain.search_space import SearchSpace
from tickloop.ports.search import Sampler


def tpe_sampler(space: SearchSpace, objectives: int, seed: int) -> Sampler:
    """Give Optuna's.

    Raises:
        MissingExtraError: if it is not installed.
    """
    with extra("a search by tpe", "models"):
        from tickloop.adapters.optuna.sampler import TpeSampler

    return TpeSampler(space, objectives, seed)
