"""A walk-forward for people: the verdict first, then what all test parts made, then fold by fold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tickloop.entrypoints.commands.judgement_text import judgement_lines

_LABEL = 24
_HEAD = ("fold", "train", "test", "in sample", "out of sample", "trades", "setting")


def walkforward_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Give the lines of `WalkForward.as_dict()`."""
    yield found["verdict"]
    yield ""
    yield (
        f"{found['market']}  {found['strategy']}  {found['window']}, {found['scheme']}: train {found['train']}, embargo"
        f" {found['embargo']}, test {found['test']} every {found['step']}"
    )
    model = "" if found["model_version"] is None else f", forecasts of {found['model_version']}"
    yield (
        f"mode {found['mode']}, {found['settings']:,} settings a fold ({found['method']}) for"
        f" {', '.join(found['objectives'])}, budget {found['budget_krw']:,.0f} KRW{model}"
    )
    yield ""
    yield f"Out of sample, {found['tested']}, KRW after fees"
    yield from (f"  {label:<{_LABEL}}{text}" for label, text in _figures(found).items())
    yield ""
    yield from _table(found["folds"])
    yield ""
    yield from judgement_lines(found["judgement"])
    yield ""
    yield "To know"
    yield from (f"  - {note}" for note in _notes(found))


def _figures(found: Mapping[str, Any]) -> dict[str, str]:
    out, efficiency = found["out_of_sample"], found["efficiency"]
    folds = len(found["folds"])
    share = "none, for the choices lost in sample too" if efficiency is None else f"{100.0 * efficiency:.1f} %"
    return {
        "profit": f"{out['profit_krw']:+,.2f}  (buying and holding: {out['buy_and_hold_krw']:+,.2f})",
        "in sample": f"{found['in_sample_profit_krw']:+,.2f}  (of the chosen settings, all train parts)",
        "efficiency": f"{share}  (profit a day, out of sample over in sample)",
        "folds that won": f"{found['profitable_folds']:,} of {folds:,}",
        "round trips": f"{out['trades']:,}",
        "fees": f"{out['fees_krw']:,.2f}",
        "turnover": f"{out['turnover_krw']:,.2f}",
        "largest drawdown": f"{out['max_drawdown_krw']:,.2f}",
        "exposure": f"{100.0 * out['exposure']:.1f} % of minutes with lots",
    }


def _table(folds: list[dict[str, Any]]) -> Iterator[str]:
    rows = [_HEAD, *(_row(fold) for fold in folds)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        cells = [
            text.rjust(width) if 3 <= column <= 5 else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _row(fold: Mapping[str, Any]) -> tuple[str, ...]:
    out = fold["out_of_sample"]
    setting = ", ".join(f"{name} {value:g}" for name, value in fold["setting"].items())
    return (
        str(fold["number"]),
        fold["train"],
        fold["test"],
        f"{fold['in_sample']['profit_krw']:+,.0f}",
        "no price" if out is None else f"{out['profit_krw']:+,.0f}",
        "0" if out is None else f"{out['trades']:,}",
        setting,
    )


def _notes(found: Mapping[str, Any]) -> Iterator[str]:
    yield from found["notes"]
    yield (
        f"{found['trials_so_far']:,} settings were tried on this time so far, these included; on train parts only what"
        f" lies before its test part was seen, and what was traded counts as attempt {found['attempts']:,}"
    )
