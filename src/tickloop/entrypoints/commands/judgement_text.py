"""What stands behind a verdict, for people: lines of `Judgement.as_dict()`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_LABEL = 24


def judgement_lines(judgement: Mapping[str, Any]) -> Iterator[str]:
    """Give the lines below a verdict; what was not measured is said with its reason."""
    rows = {
        **_luck(judgement["luck"]),
        **_choice(judgement["choice"]),
        **_signal(judgement["signal"]),
    }
    if rows:
        yield "Luck or not"
        yield from (f"  {label:<{_LABEL}}{text}" for label, text in rows.items())
    if (found := judgement["sensitivity"]) is not None:
        yield from _sensitivity(found)
    if notes := judgement["notes"]:
        yield "Not measured"
        yield from (f"  {section:<{_LABEL}}{why}" for section, why in notes.items())


def _luck(luck: Mapping[str, Any] | None) -> dict[str, str]:
    if luck is None:
        return {}
    low, high = luck["profit_low_krw"], luck["profit_high_krw"]
    period = luck["period"]
    sharpe = f"{luck['sharpe_per_period']['value']:.4f} per {period}, {luck['sharpe_annualised']:.2f} a year"
    limits = "cannot be bounded" if low is None else f"{low:+,.0f} to {high:+,.0f} KRW in 95 % of cases"
    return {
        "profit by chance": f"{limits} (blocks of {luck['periods']:,} periods: {period})",
        "p of its mean": f"{luck['p_mean']:.4g}, of a strategy worth nothing",
        "Sharpe ratio": f"{sharpe}; above 0 with probability {luck['probabilistic_sharpe']:.3f}",
    }


def _choice(choice: Mapping[str, Any] | None) -> dict[str, str]:
    if choice is None or choice["trials"] == 1:
        return {}
    rows = {"best of trials": f"{choice['trials']:,}; deflated Sharpe {choice['deflated_sharpe']:.3f}"}
    if (found := choice["overfitting"]) is not None:
        rows["over-fitting"] = f"{found['probability']:.3f} by {found['trials']:,} trials in {found['blocks']} blocks"
    elif choice["p_best"] is not None:
        rows["p of the best"] = f"{choice['p_best']:.4g} at most, of as many worth nothing"
    return rows


def _signal(signal: Mapping[str, Any] | None) -> dict[str, str]:
    if signal is None:
        return {}
    low, high = signal["shuffled_low_krw"], signal["shuffled_high_krw"]
    count = signal["permutations"]
    shown = f"{signal['p']:.4g}; shuffled {count} times they make {low:+,.0f} to {high:+,.0f} KRW"
    return {f"p of its {signal['of']}": shown}


def _sensitivity(found: Mapping[str, Any]) -> Iterator[str]:
    yield "If costs were others, KRW after fees"
    fees = ", ".join(f"{100 * row['fee_rate']:.3f} %: {row['profit_krw']:+,.0f}" for row in found["fees"])
    yield f"  {'fee of one side':<{_LABEL}}{fees}"
    rate = found["break_even_fee_rate"]
    yield f"  {'breaks even at':<{_LABEL}}{found['break_even'] if rate is None else f'{100 * rate:.4f} %'}"
    if rows := found["latencies"]:
        latencies = ", ".join(f"{row['latency_ms']:,} ms: {row['profit_krw']:+,.0f}" for row in rows)
        yield f"  {'latency':<{_LABEL}}{latencies}"
