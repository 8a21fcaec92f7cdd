"""What `tickloop ledger` says: counts, stretches, and minutes that nobody ever verified."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest

from fakes import START_MS
from tickloop.domain.ledger_report import NEVER_VERIFIED, report_ledger
from tickloop.domain.tables import LEDGER
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window, parse_range
from tickloop.errors import WindowError

MARKET = "KRW-BTC"
HOUR = Window(START_MS, START_MS + HOUR_MS)


def rows(*told: tuple[int, str, str | None, float | None, float | None]) -> pl.DataFrame:
    """Give ledger rows from (minute, state, reason, our volume, candle volume)."""
    return pl.DataFrame(
        [
            (MARKET, START_MS + minute * MINUTE_MS, state, reason, ours, theirs, 2, False)
            for minute, state, reason, ours, theirs in told
        ],
        schema=LEDGER.columns,
        orient="row",
    )


def part(start: int, end: int) -> Window:
    return Window(START_MS + start * MINUTE_MS, START_MS + end * MINUTE_MS)


def test_neighbours_of_one_verdict_make_one_stretch_with_exact_sums() -> None:
    """0.1 + 0.2 is 0.3 here, as it is on the exchange."""
    ledger = rows(
        (0, "verified", None, 1.0, 1.0),
        (1, "candle", "short", 0.1, 0.5),
        (2, "candle", "short", 0.2, 0.6),
        (3, "candle", "gone", 0.0, 0.7),
        (4, "repaired", None, 0.4, 0.4),
    )

    report = report_ledger(MARKET, None, ledger, HOUR.end_ms)

    found = [(one.window, one.minutes, one.state, one.reason) for one in report.stretches]
    assert found == [
        (part(1, 3), 2, "candle", "short"),
        (part(3, 4), 1, "candle", "gone"),
        (part(4, 5), 1, "repaired", None),
    ]
    assert (report.stretches[0].our_volume, report.stretches[0].candle_volume) == (Decimal("0.3"), Decimal("1.1"))
    assert report.stretches[0].trades == 4
    assert report.window == part(0, 5)


def test_minutes_without_a_trade_do_not_part_a_stretch_but_verified_ones_do() -> None:
    """A quiet market would else be a line for each trade."""
    ledger = rows(
        (0, "candle", "backfill", None, 0.5),
        (1, "no_trade", None, 0.0, None),
        (2, "candle", "backfill", None, 0.25),
        (3, "verified", None, 1.0, 1.0),
        (4, "candle", "backfill", None, 1.0),
    )

    stretches = report_ledger(MARKET, None, ledger, HOUR.end_ms).stretches

    assert [(one.window, one.minutes) for one in stretches] == [(part(0, 3), 2), (part(4, 5), 1)]
    assert stretches[0].our_volume is None
    assert stretches[0].candle_volume == Decimal("0.75")


def test_minutes_that_are_over_and_not_in_the_ledger_are_unknown() -> None:
    """Those that are not over yet are not counted at all."""
    now_ms = START_MS + 10 * MINUTE_MS + 1

    report = report_ledger(MARKET, HOUR, rows((0, "verified", None, 1.0, 1.0)), now_ms)

    assert report.counts == {("verified", None): 1, ("unknown", NEVER_VERIFIED): 9}
    assert report.unknown == 9
    assert [one.window for one in report.stretches] == [part(1, 10)]
    assert report.rows.height == 10
    assert report.rows.schema == LEDGER.empty().schema


def test_without_a_range_an_empty_ledger_says_nothing() -> None:
    """Nothing was asked for, so nothing is missing."""
    report = report_ledger(MARKET, None, LEDGER.empty(), HOUR.end_ms)

    assert (report.window, report.counts, report.stretches, report.unknown) == (None, {}, (), 0)


def test_counts_come_in_the_order_of_the_states() -> None:
    """Verified first, unknown last."""
    ledger = rows((0, "unknown", "pending", 0.0, 1.0), (1, "candle", "gone", 0.0, 1.0), (2, "verified", None, 1.0, 1.0))

    assert list(report_ledger(MARKET, None, ledger, HOUR.end_ms).counts) == [
        ("verified", None),
        ("candle", "gone"),
        ("unknown", "pending"),
    ]


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2024-01-22", "2024-01-23", (0, 24)),
        ("2024-01-22T03", "2024-01-22T05:00", (3, 5)),
        ("2024-01-21T23:00", "2024-01-22T24", (-1, 24)),
    ],
)
def test_a_range_is_read_from_days_and_hours(start: str, end: str, hours: tuple[int, int]) -> None:
    """All in UTC, the end not included."""
    assert parse_range(start, end) == Window(START_MS + hours[0] * HOUR_MS, START_MS + hours[1] * HOUR_MS)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2024-01-22T03:30", "2024-01-23", "2024-01-22T03:30"),
        ("2024-02-30", "2024-03-01", "2024-02-30"),
        ("yesterday", "2024-03-01", "yesterday"),
        ("2024-01-22T25", "2024-01-23", "hour 25"),
        ("2024-01-22", "2024-01-22", "is empty"),
        ("2024-01-22", "2024-01-21", "is empty"),
    ],
)
def test_a_range_that_cannot_be_is_refused_with_its_own_words(start: str, end: str, words: str) -> None:
    """And with what would be valid."""
    with pytest.raises(WindowError, match=words):
        parse_range(start, end)
