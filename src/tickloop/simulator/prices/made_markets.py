"""Which markets a made exchange has, what distinguishes them, and from when to when they are on offer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tickloop.domain.window import HOUR_MS, MINUTE_MS
from tickloop.errors import UsageError
from tickloop.simulator.prices.seeded import draw, key_of

SEEDED = "seeded"
"""Name of this source among the recordings."""

FIRST_DAY_MS = 1_577_836_800_000
"""2020-01-01: generated markets begin here."""

START_MS = 1_705_881_600_000
"""2024-01-22: where a simulator begins that is not told otherwise, inside the shipped candles."""

END_MS = 2_208_988_800_000
"""2040-01-01: and end here."""

_MOMENT = re.compile(r"(KRW-[A-Z0-9]+):\+(\d{1,6})([hm])")
_NUMBERED = re.compile(r"KRW-S(\d{3})")


class Character(NamedTuple):
    """What distinguishes a market: price at its beginning and scale of its trades in KRW, trades of a usual day, size
    of a usual day's return."""

    base: float
    trades_a_day: float
    sigma: float
    usual_krw: float


_NAMED = {
    "KRW-BTC": Character(90_000_000.0, 60_000.0, 0.022, 200_000.0),
    "KRW-ETH": Character(4_000_000.0, 35_000.0, 0.030, 120_000.0),
}
_BUSIEST_OTHER = 25_000.0  # trades a day of KRW-S001; the n-th has this divided by n to the power below
_QUIETER = 1.1
_PLACES = 286


def market_codes(count: int) -> tuple[str, ...]:
    """Give the codes of a made exchange: KRW-BTC, KRW-ETH, then KRW-S001 and on, ever quieter."""
    return (*_NAMED, *(f"KRW-S{number:03d}" for number in range(1, count)))[:count]


def markets_of(text: str) -> int | tuple[str, ...]:
    """Read how many markets a made exchange has (`288`), or which (`KRW-BTC,KRW-S001`)."""
    return int(text) if text.isdecimal() and len(text) < 10 else tuple(part.strip() for part in text.split(","))


def spans_of(listings: Sequence[str], delistings: Sequence[str], start_ms: int) -> dict[str, tuple[int, int]]:
    """Read from when to when markets are on offer, from texts such as `KRW-S005:+2h`.

    Raises:
        UsageError: naming the text and what would be valid.
    """
    first = dict(_moment("listing", text, start_ms) for text in listings)
    last = dict(_moment("delisting", text, start_ms) for text in delistings)
    spans = {code: (first.get(code, FIRST_DAY_MS), last.get(code, END_MS)) for code in {**first, **last}}
    for code, (begin_ms, end_ms) in spans.items():
        if begin_ms >= end_ms:
            raise UsageError(f"market {code} would end at {end_ms}, before it begins at {begin_ms}; valid: later")
    return spans


def _moment(what: str, text: str, start_ms: int) -> tuple[str, int]:
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise UsageError(f"{what} {text!r}; valid: a market and h or m after the start, such as KRW-S005:+2h")
    return match[1], start_ms + int(match[2]) * (HOUR_MS if match[3] == "h" else MINUTE_MS)


def character_of(market: str) -> Character:
    """Give a market's character, from its code alone: prices from 1 to 500,000 KRW, from busy to nearly dead."""
    if market in _NAMED:
        return _NAMED[market]
    key = key_of(0, market)
    chance = [draw(key, place) / 2**53 for place in range(5)]
    numbered = _NUMBERED.fullmatch(market)
    place = int(numbered[1]) if numbered and int(numbered[1]) else 1 + int(chance[0] * _PLACES)
    return Character(
        base=10 ** int(6 * chance[1]) * (1.0 + 4.0 * chance[2]),
        trades_a_day=_BUSIEST_OTHER / place**_QUIETER,
        sigma=0.03 + 0.04 * chance[3],
        usual_krw=20_000.0 + 100_000.0 * chance[4],
    )
