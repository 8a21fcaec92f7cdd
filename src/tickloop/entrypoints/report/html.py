"""Small pieces of a page: text made safe, numbers as people read them, tables, figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any

KST = timedelta(hours=9)

NONE = "\u2013"
"""What stands where a figure has no meaning."""


def text(value: Any) -> str:
    """Give a value as text that no browser takes for markup."""
    return escape(str(value), quote=True)


def krw(value: float | None, *, signed: bool = False) -> str:
    """Give an amount of KRW, grouped, with two decimals below 1,000."""
    if value is None:
        return NONE
    digits = 0 if abs(value) >= 1_000 else 2
    return f"{value:{'+' if signed else ''},.{digits}f}"


def percent(share: float | None, digits: int = 2) -> str:
    return NONE if share is None else f"{100.0 * share:.{digits}f} %"


def number(value: float | None, digits: int = 3) -> str:
    """Give a figure without a unit."""
    if value is None:
        return NONE
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def price(value: float | None) -> str:
    """Give a price with the decimals that it has, eight at most."""
    if value is None:
        return NONE
    return f"{value:,.8f}".rstrip("0").rstrip(".")


def kst(at: datetime | None) -> str:
    """Give a time of UTC as a clock in Korea shows it."""
    return NONE if at is None else f"{at + KST:%Y-%m-%d %H:%M:%S}"


def sign_class(value: float | None) -> str:
    if value is None or value == 0:
        return ""
    return "won" if value > 0 else "lost"


def pairs(rows: Iterable[tuple[str, str, str]]) -> str:
    """Give a list of terms: name, value (markup), and a note that explains it."""
    items = "".join(
        f"<div><dt>{text(name)}</dt><dd>{value}{f'<small>{text(note)}</small>' if note else ''}</dd></div>"
        for name, value, note in rows
    )
    return f"<dl>{items}</dl>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """Give a table; cells are markup, the first column is the row's name."""
    columns = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><caption>{text(caption)}</caption>'
        f"<thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(body: str, label: str, note: str = "") -> str:
    """Give a drawing with the words that stand for it where it cannot be seen."""
    return (
        f'<figure role="img" aria-label="{text(label)}">{body}<figcaption>{text(note or label)}</figcaption></figure>'
    )


def section(title: str, *parts: str) -> str:
    """Give a section, or nothing if all its parts are empty."""
    body = "".join(parts)
    return f"<section><h2>{text(title)}</h2>{body}</section>" if body else ""


def coloured(value: float | None, shown: str) -> str:
    """Give a figure in the colour of won or lost."""
    name = sign_class(value)
    return f'<span class="{name}">{text(shown)}</span>' if name else text(shown)
