"""How a result was judged: chance, choice among trials, forecasts at other minutes, other costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tickloop.entrypoints.report import svg
from tickloop.entrypoints.report.html import coloured, figure, krw, number, pairs, percent, section, text


def judgement_section(judged: Mapping[str, Any]) -> str:
    """Draw `Judgement.as_dict()`; a part that was not measured is left out, and its reason is among the notes."""
    figures = [*_luck(judged["luck"]), *_choice(judged["choice"]), *_signal(judged["signal"])]
    notes = "".join(f"<li>{text(name)}: {text(why)}</li>" for name, why in judged["notes"].items())
    return section(
        "Luck or skill",
        pairs(figures) if figures else "",
        *_sensitivity(judged["sensitivity"]),
        f'<ul class="notes soft">{notes}</ul>' if notes else "",
    )


def _luck(luck: Mapping[str, Any] | None) -> Iterator[tuple[str, str, str]]:
    if luck is None:
        return
    limits = f"{krw(luck['profit_low_krw'], signed=True)} to {krw(luck['profit_high_krw'], signed=True)} KRW"
    drawn = f"{percent(luck['confidence'], 0)} of {luck['resamples']:,} resamples in blocks (period: {luck['period']})"
    yield "Profit by chance", limits if luck["profit_low_krw"] is not None else "cannot be bounded", drawn
    yield "p of its mean", number(luck["p_mean"]), "chance of as much from a strategy worth nothing"
    sharpe = luck["sharpe_per_period"]["value"]
    yield "Sharpe ratio", number(sharpe, 4), f"per {luck['period']}; {number(luck['sharpe_annualised'], 2)} a year"
    yield "Probabilistic Sharpe", percent(luck["probabilistic_sharpe"], 1), "that the true ratio is above 0"


def _choice(choice: Mapping[str, Any] | None) -> Iterator[tuple[str, str, str]]:
    if choice is None:
        return
    yield "Trials", f"{choice['trials']:,}", "settings tried on this market and time, this one included"
    if choice["trials"] > 1:
        against = f"against the best of {choice['basis']}"
        yield "Deflated Sharpe", percent(choice["deflated_sharpe"], 1), against
    if (found := choice["overfitting"]) is not None:
        halves = f"{found['trials']:,} trials in {found['blocks']} blocks"
        yield "Probability of over-fitting", percent(found["probability"], 1), halves
        yield (
            "Loss after the choice",
            percent(found["probability_of_loss"], 1),
            "in the halves that did not choose it",
        )


def _signal(signal: Mapping[str, Any] | None) -> Iterator[tuple[str, str, str]]:
    if signal is None:
        return
    low, high = (krw(signal[name], signed=True) for name in ("shuffled_low_krw", "shuffled_high_krw"))
    middle = krw(signal["shuffled_median_krw"], signed=True)
    spread = f"{signal['permutations']:,} times: median {middle}, 95 % {low} to {high} KRW"
    yield f"p of its {signal['of']}", number(signal["p"]), f"put at other minutes {spread}"


def _sensitivity(found: Mapping[str, Any] | None) -> Iterator[str]:
    if found is None:
        return
    fees = [row["profit_krw"] for row in found["fees"]]
    rates = [percent(row["fee_rate"], 3) for row in found["fees"]]
    rate = found["break_even_fee_rate"]
    ends = f"It earns nothing at {percent(rate, 4)} a side." if rate is not None else f"{found['break_even']}."
    shown = [krw(fee, signed=True) for fee in fees]
    yield figure(svg.bars(fees, rates, shown), "Profit at other fees", f"Profit at other fees of one side. {ends}")
    if rows := found["latencies"]:
        profits = [row["profit_krw"] for row in rows]
        names = [f"{row['latency_ms']:,} ms" for row in rows]
        shown = [krw(profit, signed=True) for profit in profits]
        label = "Profit when orders come earlier or later"
        yield figure(svg.bars(profits, names, shown), label)


def signed(value: float | None) -> str:
    """Give an amount of KRW with its sign, in the colour of won or lost."""
    return coloured(value, krw(value, signed=True))
