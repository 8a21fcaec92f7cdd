"""The part of a page about a search."""

from __future__ import annotations

from report_world import Seen
from tickloop.entrypoints.report.search import search_section

TRIAL = {
    "number": 3, "setting": {"fast": 5, "slow": 30}, "profit_krw": -12.5, "sharpe": -0.1, "max_drawdown_krw": 40.0,
    "exposure": 0.25, "trades": 7, "orders": 15, "open_lots": 1, "fees_krw": 45.0, "turnover_krw": 90_000.0,
}  # fmt: skip
FOUND = {
    "trials": 4, "trials_so_far": 9, "method": "grid", "objectives": ["profit_krw", "max_drawdown_krw"],
    "best": [TRIAL], "pareto_front": [TRIAL],
    "heat_maps": [
        {"x": "fast", "y": "slow", "figure": "profit_krw", "x_values": [5.0, 10.0], "y_values": [30.0],
         "mean": [[-12.5, None]], "best": [[-12.5, None]], "trials": [[2, 0]]},
    ],
}  # fmt: skip


def test_search_is_told_with_its_trials_and_how_many_there_ever_were() -> None:
    """Best and front as tables, one row each here."""
    seen = Seen(search_section(FOUND))

    assert "4 trials by grid, for profit_krw, max_drawdown_krw" in seen.text
    assert "9 settings were tried" in seen.text
    assert seen.words.count("-12.50") == 3  # best, front, map
    assert len([tag for tag, _ in seen.tags if tag == "table"]) == 2


def test_map_leaves_a_cell_empty_where_no_trial_lies() -> None:
    """Two columns, one rectangle."""
    tags = [tag for tag, _ in Seen(search_section(FOUND)).tags]

    assert tags.count("rect") == 1


def test_search_for_one_thing_has_no_front() -> None:
    """Then the best is the best."""
    seen = Seen(search_section(FOUND | {"pareto_front": None, "objectives": ["profit_krw"]}))

    assert len([tag for tag, _ in seen.tags if tag == "table"]) == 1
