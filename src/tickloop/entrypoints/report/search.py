"""What a search tried: its best trials, those that no other beats, and maps of two parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tickloop.entrypoints.report import svg
from tickloop.entrypoints.report.html import coloured, figure, krw, number, percent, section, table, text

_MONEY = ("profit_krw", "max_drawdown_krw", "fees_krw", "turnover_krw")
_COLUMNS = ("profit_krw", "sharpe", "max_drawdown_krw", "exposure", "trades", "orders", "fees_krw", "turnover_krw")


def search_section(found: Mapping[str, Any]) -> str:
    """Draw `services.sweep.Sweep.as_dict()`."""
    tried = f"{found['trials']:,} trials by {found['method']}, for {', '.join(found['objectives'])}"
    so_far = f"{found['trials_so_far']:,} settings were tried on this market and time by all searches"
    front = found["pareto_front"]
    return section(
        "Search",
        f"<p>{text(tried)}; {text(so_far)}.</p>",
        _trials(found["best"], "The best trials, by the first objective."),
        _trials(front, "Trials that no other one beats in every objective.") if front else "",
        *(_map(one) for one in found["heat_maps"]),
    )


def _trials(trials: Sequence[Mapping[str, Any]], caption: str) -> str:
    names = list(trials[0]["setting"]) if trials else []
    head = ("Trial", *names, *(column.removesuffix("_krw").replace("_", " ") for column in _COLUMNS))
    rows = (
        [f"{one['number']:,}", *(f"{one['setting'][name]:g}" for name in names), *(_cell(one, at) for at in _COLUMNS)]
        for one in trials
    )
    return table(head, rows, caption)


def _cell(trial: Mapping[str, Any], column: str) -> str:
    value = trial[column]
    if column == "profit_krw":
        return coloured(value, krw(value, signed=True))
    if column in _MONEY:
        return krw(value)
    return percent(value, 1) if column == "exposure" else number(value)


def _map(found: Mapping[str, Any]) -> str:
    """Draw the mean of each cell: a best setting amid poor ones is luck, one amid good ones is less so."""
    shown = [[krw(value, signed=True) if value is not None else "" for value in row] for row in found["mean"]]
    columns, rows = ([f"{value:g}" for value in found[axis]] for axis in ("x_values", "y_values"))
    name = found["figure"].replace("_krw", "").replace("_", " ")
    label = f"Mean {name}: {found['x']} to the right, {found['y']} downwards"
    return figure(svg.heat_map(rows, columns, found["mean"], shown), label)
