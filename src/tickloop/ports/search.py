"""Who proposes the settings of a search that learns from those that were tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tickloop.domain.search_space import Setting


class Sampler(Protocol):
    """Proposes settings; the same seed, answers and order of calls give the same ones."""

    def ask(self) -> tuple[int, Setting]:
        """Propose a setting; give it with the number by which it is answered."""

    def tell(self, number: int, merits: Sequence[float] | None) -> None:
        """Say what a proposal was worth, more being better in each objective; None: it cannot be run."""
