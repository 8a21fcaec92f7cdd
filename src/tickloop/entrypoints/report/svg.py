"""Drawings as inline SVG: they need no script, and take the page's colours."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from tickloop.entrypoints.report.html import text

_WIDTH, _HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 20, 40


def bars(values: Sequence[float], labels: Sequence[str], shown: Sequence[str]) -> str:
    """Draw one bar a value, up from 0 or down.

    Args:
        labels: what stands below each bar.
        shown: what stands at its end.
    """
    high, low = max(0.0, *values), min(0.0, *values)
    span = (high - low) or 1.0
    inner = _HEIGHT - _TOP - _BOTTOM
    zero = _TOP + inner * high / span
    step = (_WIDTH - _LEFT - _RIGHT) / len(values)
    drawn = []
    for place, (value, label, word) in enumerate(zip(values, labels, shown, strict=True)):
        height = inner * abs(value) / span
        top = zero - height if value > 0 else zero
        middle = _LEFT + step * (place + 0.5)
        edge = top - 4 if value >= 0 else top + height + 11
        drawn.append(
            f'<rect class="{"won" if value >= 0 else "lost"}" x="{middle - step * 0.4:.1f}" y="{top:.1f}" '
            f'width="{step * 0.8:.1f}" height="{max(height, 0.5):.1f}"/>'
            f'<text x="{middle:.1f}" y="{edge:.1f}">{text(word)}</text>'
            f'<text class="axis" x="{middle:.1f}" y="{_HEIGHT - 8}">{text(label)}</text>'
        )
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{zero:.1f}" y2="{zero:.1f}"/>'
    return _svg(_WIDTH, _HEIGHT, line + "".join(drawn))


def histogram(edges: Sequence[float], counts: Sequence[int], shown: Sequence[str]) -> str:
    """Draw counts between edges; bars wholly below 0 are losses.

    Args:
        shown: the edges as text: (len(counts) + 1,).
    """
    most = max(counts, default=0) or 1
    inner = _HEIGHT - _TOP - _BOTTOM
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(counts), 1)
    drawn = []
    for place, count in enumerate(counts):
        height = inner * count / most
        left = _LEFT + step * place
        side = "lost" if edges[place + 1] <= 0 else "won"
        drawn.append(
            f'<rect class="{side}" x="{left + 0.5:.1f}" y="{_TOP + inner - height:.1f}" width="{step - 1:.1f}" '
            f'height="{height:.1f}"><title>{text(shown[place])} to {text(shown[place + 1])}: {count:,}</title></rect>'
        )
        if count:
            drawn.append(f'<text x="{left + step / 2:.1f}" y="{_TOP + inner - height - 4:.1f}">{count:,}</text>')
    ends = (
        f'<text class="axis start" x="{_LEFT}" y="{_HEIGHT - 8}">{text(shown[0])}</text>'
        f'<text class="axis end" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}">{text(shown[-1])}</text>'
    )
    return _svg(_WIDTH, _HEIGHT, "".join(drawn) + ends)


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    shown: Sequence[Sequence[str]],
) -> str:
    """Draw a cell for each pair: green above 0, red below, pale near it; a cell without a value is left empty."""
    found = [abs(value) for row in values for value in row if value is not None and isfinite(value)]
    most = max(found, default=0.0) or 1.0
    left, cell_height = 90, 26
    cell = (_WIDTH - left) / max(len(columns), 1)
    is_told = cell >= 34  # narrower cells have no room for a number; it is in their title
    drawn = []
    for down, (name, row, words) in enumerate(zip(rows, values, shown, strict=True)):
        top = cell_height * down
        drawn.append(f'<text class="axis end" x="{left - 6}" y="{top + 17}">{text(name)}</text>')
        for right, (value, word) in enumerate(zip(row, words, strict=True)):
            if value is None:
                continue
            drawn.append(
                f'<rect class="{"won" if value >= 0 else "lost"}" fill-opacity="{0.1 + 0.9 * abs(value) / most:.3f}" '
                f'x="{left + cell * right:.1f}" y="{top}" width="{cell:.1f}" height="{cell_height}">'
                f"<title>{text(name)}, {text(columns[right])}: {text(word)}</title></rect>"
            )
            if is_told:
                drawn.append(f'<text x="{left + cell * (right + 0.5):.1f}" y="{top + 17}">{text(word)}</text>')
    bottom = cell_height * len(rows)
    every = max(1, len(columns) * 48 // (_WIDTH - left))
    drawn += [
        f'<text class="axis" x="{left + cell * (right + 0.5):.1f}" y="{bottom + 18}">{text(name)}</text>'
        for right, name in enumerate(columns)
        if right % every == 0
    ]
    return _svg(_WIDTH, bottom + 26, "".join(drawn))


def _svg(width: int, height: int, body: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{body}</svg>'
