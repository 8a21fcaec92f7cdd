"""What the pages show of the API's rows."""

from __future__ import annotations

import json
from typing import Any

from tickloop.entrypoints.dashboard import views

MIDNIGHT = "2024-01-22T00:00:00.000Z"
NINE_KST = 1_705_914_000
"""2024-01-22 09:00 as if it were UTC: the chart library knows no zones."""


def bar(minute: int, vwap: float | None = 100.5) -> dict[str, Any]:
    prices = {"open": 100.0, "high": 102.0, "low": 99.0, "close": 101.0, "volume": 2.5}
    return {"ts_open": f"2024-01-22T00:0{minute}:00.000Z", "vwap": vwap, **prices}


def forecast(minute: int, price: float, model: str = "ridge-2") -> dict[str, Any]:
    return {"target_minute": f"2024-01-22T00:0{minute}:00.000Z", "price": price, "model_version": model}


def order(**changes: Any) -> dict[str, Any]:
    row = {
        "market": "KRW-BTC", "client_order_id": "tl-bot-1", "side": "BUY", "state": "closed",
        "created_at": "2024-01-22T00:01:30.000Z", "filled_at": "2024-01-22T00:01:31.000Z", "executed_qty": "60",
        "executed_funds": "6000", "paid_fee": "3", "forecast_price": 101.5, "model_version": "ridge-2",
    }  # fmt: skip
    return row | changes


def test_chart_has_bars_forecasts_and_marks_at_korean_time() -> None:
    """09:00 in Seoul is midnight in UTC; a mark stands at the minute of its fill, with its mean price."""
    rows = [forecast(0, 100.0), forecast(1, 101.0, "shadow-3"), forecast(2, 102.0)]

    chart = views.chart_data("KRW-BTC", "ridge-2", [bar(0), bar(1, None)], rows, [order()])

    assert chart == {
        "id": "KRW-BTC",
        "model": "ridge-2",
        "bars": [
            [NINE_KST, 100.0, 102.0, 99.0, 101.0, 2.5, 100.5],
            [NINE_KST + 60, 100.0, 102.0, 99.0, 101.0, 2.5, None],
        ],
        "forecast": [[NINE_KST, 100.0], [NINE_KST + 120, 102.0]],
        "marks": [[NINE_KST + 60, "BUY", 100.0]],
    }


def test_chart_leaves_out_what_lies_outside_the_bars() -> None:
    """The chart would stretch its time axis for an old forecast or order."""
    chart = views.chart_data("KRW-BTC", "ridge-2", [bar(3), bar(4)], [forecast(1, 100.0)], [order()])

    assert (chart["forecast"], chart["marks"]) == ([], [])


def test_order_without_fill_has_no_mark_and_no_price() -> None:
    """A rejected order, and one that is not answered yet."""
    rejected = order(state="rejected", filled_at=None, executed_qty="0", executed_funds="0", paid_fee="0")
    waiting = order(state="intent", filled_at=None, executed_qty=None, executed_funds=None, paid_fee=None)

    chart = views.chart_data("KRW-BTC", "ridge-2", [bar(1)], [], [rejected, waiting])
    rows = views.order_rows([rejected, waiting])

    assert chart["marks"] == []
    assert [(row["state"], row["price"], row["KRW"]) for row in rows] == [
        ("intent", None, 0.0),
        ("rejected", None, 0.0),
    ]


def test_purse_is_one_point_a_minute_of_the_whole_purse() -> None:
    """Rows of single markets are left out; of two in a minute the later counts."""
    row = {"bot": "bot", "cash": "0", "lots_value": "0"}
    rows = [
        {**row, "market": "*", "ts": MIDNIGHT, "equity": "50000"},
        {**row, "market": "*", "ts": "2024-01-22T00:00:59.000Z", "equity": "49990.5"},
        {**row, "market": "KRW-BTC", "ts": "2024-01-22T00:01:00.000Z", "equity": "1"},
        {**row, "market": "*", "ts": "2024-01-22T00:01:00.000Z", "equity": "50010"},
    ]

    purse = views.purse_data(rows)

    assert purse == {"id": "*", "equity": [[NINE_KST, 49_990.5], [NINE_KST + 60, 50_010.0]], "base": 49_990.5}


def test_backtests_are_those_of_the_newest_slot_in_a_fixed_order() -> None:
    """Doing nothing comes last, an older slot not at all."""
    rows = [
        {"slot": slot, "model_version": "ridge-2", "strategy": name, "result": json.dumps({"profit_krw": profit})}
        for slot, name, profit in [
            ("2024-01-21T18:00:00.000Z", "default", 5.0), (MIDNIGHT, "do_nothing", 0.0), (MIDNIGHT, "default", -12.5),
        ]
    ]  # fmt: skip

    shown = views.backtest_rows("KRW-BTC", rows)

    assert [(row["strategy"], row["profit KRW"]) for row in shown] == [("default", -12.5), ("do nothing", 0.0)]


def test_states_that_did_not_happen_are_shown_as_zero() -> None:
    """The columns of the page stay where they are."""
    counts = views.state_counts({"counts": {"candle": 2, "verified": 7}})

    assert counts == [("verified", 7), ("repaired", 0), ("no_trade", 0), ("candle", 2), ("unknown", 0)]


def test_text_of_the_api_is_not_read_as_markdown() -> None:
    """A reason names models and figures; none of it is a command to the page."""
    assert views.plain("mae_bp [x](y) :red[z] $1") == r"mae\_bp \[x\]\(y\) \:red\[z\] \$1"
