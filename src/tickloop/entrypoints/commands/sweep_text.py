"""A search for people: the verdict first, then how it was made, the best trials, and tables of two parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickloop.domain.heatmap import HeatMap
    from tickloop.domain.trials import Figures, Trial
    from tickloop.services.sweep import Sweep

_COLUMNS = {
    "profit_krw": ("profit", ",.2f"),
    "sharpe": ("sharpe", ".4f"),
    "max_drawdown_krw": ("drawdown", ",.2f"),
    "exposure": ("exposure", ".1%"),
    "trades": ("trades", ",d"),
    "orders": ("orders", ",d"),
    "open_lots": ("open", ",d"),
    "fees_krw": ("fees", ",.2f"),
    "turnover_krw": ("turnover", ",.0f"),
}

_SHOWN_MAPS = 2


def sweep_lines(found: Sweep) -> Iterator[str]:
    """Give the lines of what a search has found."""
    search, job = found.plan.search, found.plan.runner.job
    yield found.judgement.verdict.text
    yield ""
    forecasts = "" if job.version is None else f"  forecasts of {job.version}"
    yield f"{job.market}  {job.strategy}  {job.window}  mode {job.mode}{forecasts}"
    yield (
        f"sweep {found.plan.unit.sweep}: {len(found.trials):,} trials by {search.method}, for"
        f" {', '.join(search.objectives)}; {found.trials_so_far:,} settings tried on this market and time so far"
    )
    yield from _choice(found)
    yield ""
    yield "Best trials (KRW after fees)"
    yield from trial_table(found.best)
    if len(search.objectives) > 1:
        yield ""
        yield f"Best of each kind: no other trial is as good in all of {', '.join(search.objectives)}"
        yield from trial_table(found.front)
    for one in found.heat_maps[:_SHOWN_MAPS]:
        yield ""
        yield from heat_map_lines(one)


def trial_table(trials: Sequence[Trial]) -> Iterator[str]:
    """Give a table: number, setting, figures."""
    names = list(trials[0].setting)
    rows = [["trial", *names, *(title for title, _ in _COLUMNS.values())]]
    rows += [[str(one.number), *(f"{one.setting[name]:g}" for name in names), *_figures(one.figures)] for one in trials]
    return _aligned(rows)


def heat_map_lines(one: HeatMap) -> Iterator[str]:
    """Give the mean of each cell; a dot where no trial lies."""
    yield f"Mean {one.figure} by {one.y} (down) and {one.x} (across)"
    rows = [["", *(f"{value:g}" for value in one.x_values)]]
    for value, cells in zip(one.y_values, one.mean, strict=True):
        rows.append([f"{value:g}", *("." if cell != cell else f"{cell:,.4g}" for cell in cells)])
    yield from _aligned(rows)


def _choice(found: Sweep) -> Iterator[str]:
    choice = found.judgement.choice
    if choice is None:
        return
    measured = choice.overfitting
    share = "not measured" if measured is None else f"{measured.probability:.1%}"
    yield (
        f"probability of over-fitting {share}; deflated Sharpe ratio of the best {choice.deflated_sharpe:.4f}"
        f" (chance that it is above 0 at all, after {choice.trials:,} trials)"
    )


def _figures(figures: Figures) -> list[str]:
    return [format(getattr(figures, name), form) for name, (_, form) in _COLUMNS.items()]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
