"""A back-test's figures for people: the verdict first, then what was earned, by what trades, at what cost and risk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_LABEL = 24
_WITHHELD = "not shown"


def backtest_lines(summary: Mapping[str, Any], verdict: str, window: str) -> Iterator[str]:
    """Give the lines of `BacktestResult.summary()`; figures that are None are said to be none, never left out.

    Args:
        verdict: the first line: what the result is worth.
    """
    yield verdict
    yield ""
    yield from made_with(summary, window)
    for title, rows in figures(summary).items():
        yield ""
        yield title
        for label, text in rows.items():
            yield f"  {label:<{_LABEL}}{text}"
    if markets := summary.get("markets"):
        yield ""
        yield from _market_lines(markets)
    if found := notes(summary):
        yield ""
        yield "To know"
        yield from (f"  - {note}" for note in found)


def made_with(summary: Mapping[str, Any], window: str) -> list[str]:
    """Say what was run."""
    model = summary["model_version"]
    forecasts = f", forecasts of {model} for {_count(summary['forecasts'], 'minute')}" if model else ""
    fills = f"{summary['fill_model']}, {summary['latency_ms']:,} ms" if summary["mode"] == "ticks" else "see below"
    return [
        f"{summary['market']}  {summary['strategy']}  {window}  {_count(summary['minutes'], 'minute')} with a price",
        f"mode {summary['mode']}, fills {fills}, budget {summary['budget_krw']:,.0f} KRW{forecasts}",
        "parameters " + ", ".join(f"{name} {value:,.12g}" for name, value in summary["params"].items()),
    ]


def figures(summary: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Give labels and figures by title."""
    return {
        "Profit, KRW after fees": _profit(summary),
        "Trades": _trades(summary),
        "Costs and risk": _costs(summary),
    }


def notes(summary: Mapping[str, Any]) -> list[str]:
    """Give what a reader must know besides the figures."""
    found = [summary["caveat"]] if summary["caveat"] else []
    if unknown := summary.get("unknown_minutes"):
        found.append(
            f"{_count(unknown, 'minute')} of the window {_are(unknown)} unknown or not settled, and let through"
        )
    if not summary["rules_confirmed"]:
        found.append("a price unit of this time is not confirmed by a source")
    if without := summary.get("fills_without_depth"):
        found.append(f"{_count(without, 'fill')} met no recorded order book, and counted one tick against us")
    if waited := summary["waited_unsellable"]:
        found.append(f"{_count(waited, 'lot')} had to wait, too small to be sent when held long enough")
    return found


def _profit(summary: Mapping[str, Any]) -> dict[str, str]:
    if summary["profit_krw"] is None:
        shown = dict.fromkeys(("after fees", "against buy and hold", "against doing nothing"), _WITHHELD)
        return shown | {"closed lots": _WITHHELD, "open lots": f"{_WITHHELD}; {_count(summary['open_lots'], 'lot')}"}
    profit, budget = summary["profit_krw"], summary["budget_krw"]
    share = f"{100.0 * profit / budget:+.3f} % of the budget, {summary['profit_per_minute_krw']:+,.6f} a minute"
    held = f"buying and holding: {_krw(summary['buy_and_hold_krw'])}"
    worth = f"{_count(summary['open_lots'], 'lot')} worth {summary['open_value_krw']:,.2f} after the fee of selling"
    small = f"{_count(summary['unsellable_lots'], 'lot')} too small to be sold, worth {summary['unsellable_krw']:,.2f}"
    return {
        "after fees": f"{_krw(profit)}  ({share})",
        "against buy and hold": f"{_krw(summary['against_buy_and_hold_krw'])}  ({held})",
        "against doing nothing": _krw(profit),
        "closed lots": f"{_krw(summary['realized_krw'])}  ({_count(summary['trades'], 'round trip')})",
        "open lots": f"{_krw(summary['unrealized_krw'])}  ({worth})",
        "with unsellable at 0": f"{_krw(summary['profit_pessimistic_krw'])}  ({small})",
    }


def _trades(summary: Mapping[str, Any]) -> dict[str, str]:
    filled = f"{summary['buys']:,} buys, {summary['sells']:,} sells, {summary['no_fill']:,} without fill"
    if partial := summary.get("partial"):
        filled += f", {partial:,} filled in part"
    rows = {"orders": f"{summary['orders']:,}  ({filled})", "round trips": f"{summary['trades']:,}"}
    if summary["profit_krw"] is None:
        return rows | {"win rate": _WITHHELD, "profit factor": _WITHHELD}
    if summary["win_rate"] is None:
        return rows | {"win rate": "none without a round trip", "profit factor": "none without a round trip"}
    mean = f"mean profit of a round trip {_krw(summary['mean_profit_per_trade_krw'])}"
    factor = summary["profit_factor"]
    return rows | {
        "win rate": f"{100.0 * summary['win_rate']:.1f} %  ({mean})",
        "profit factor": "none, no round trip lost" if factor is None else f"{factor:.3f}",
    }


def _costs(summary: Mapping[str, Any]) -> dict[str, str]:
    drawdown = _WITHHELD
    if summary["max_drawdown_krw"] is not None:
        drawdown = f"{summary['max_drawdown_krw']:,.2f}  ({100.0 * summary['max_drawdown']:.3f} % of the equity before)"
    return {
        "fees": f"{summary['fees_krw']:,.2f}",
        "turnover": f"{summary['turnover_krw']:,.2f}",
        "largest drawdown": drawdown,
        "exposure": f"{100.0 * summary['exposure']:.1f} % of minutes with lots",
    }


def _market_lines(markets: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Give a table of what each market did to the purse."""
    yield f"{'Markets':<12}{'profit':>14}{'closed':>14}{'fees':>12}{'round trips':>14}{'open lots':>11}"
    for row in markets:
        profit, closed = (
            _WITHHELD if row[name] is None else _krw(row[name]) for name in ("profit_krw", "realized_krw")
        )
        counts = f"{row['fees_krw']:>12,.2f}{row['trades']:>14,}{row['open_lots']:>11,}"
        yield f"  {row['market']:<10}{profit:>14}{closed:>14}{counts}"


def _krw(amount: float | None, none: str = "none") -> str:
    return none if amount is None else f"{amount:+,.2f}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
