"""What a search is: a job, the settings that it may try, how, and what for; as plain values, like the job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tickloop.domain.backtest_job import Job, job_from
from tickloop.domain.search_space import checked_count
from tickloop.domain.trials import objectives_of
from tickloop.errors import UsageError

Method = Literal["grid", "random", "tpe"]
METHODS: tuple[Method, ...] = get_args(Method)

DEFAULT_TRIALS = 200

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Search:
    """One search.

    Attributes:
        axes: as `search_space` reads them; none searches the strategy's own space.
        trials: how many settings; a grid has as many as its lists make, and at most so many where it has ranges.
        objectives: names of OBJECTIVES; the first decides which trial is the best.
        name: of its trials in the warehouse; None gives it one that follows from what it searches.
    """

    job: Job
    axes: tuple[str, ...] = ()
    method: Method = "grid"
    trials: int = DEFAULT_TRIALS
    seed: int = 0
    objectives: tuple[str, ...] = ("profit_krw",)
    name: str | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for a value that no search can have."""
        if self.method not in METHODS:
            raise UsageError(f"method {self.method!r} is not known; valid: {', '.join(METHODS)}")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed} is not valid; valid: a whole number from 0")
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise UsageError(f"name {self.name!r} is not valid; valid: up to 64 letters, digits, '.', '_' and '-'")
        checked_count(self.trials)
        objectives_of(",".join(self.objectives))

    def as_dict(self) -> dict[str, Any]:
        """Give JSON-ready values that `search_from` reads."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain | {"job": self.job.as_dict(), "axes": list(self.axes), "objectives": list(self.objectives)}


def search_from(plain: Mapping[str, Any]) -> Search:
    """Read what `Search.as_dict` gave.

    Raises:
        UsageError: if a field is unknown, missing or has a value that no search can have.
    """
    try:
        lists = {name: tuple(plain[name]) for name in ("axes", "objectives") if name in plain}
        return Search(**{**plain, **lists, "job": job_from(plain["job"])})
    except (KeyError, TypeError, ValueError) as exc:
        raise UsageError(f"search {dict(plain)} cannot be read: {exc}; valid: the fields of Search") from exc
