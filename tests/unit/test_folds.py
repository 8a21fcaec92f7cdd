"""A window cut into folds: no test part is trained on, and together they are what follows the first train part."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickloop.domain.folds import MAX_FOLDS, Plan, folds_of, length_ms, length_text
from tickloop.domain.window import DAY_MS, HOUR_MS, Window, parse_window
from tickloop.errors import UsageError

HOURS = st.integers(1, 60)
WEEK = parse_window("2024-01-01T00..2024-01-08T00")


def texts(plan: Plan, window: Window = WEEK) -> list[tuple[str, str]]:
    return [(str(fold.train), str(fold.test)) for fold in folds_of(window, plan)]


def test_rolling_folds_by_hand() -> None:
    """Three days to train, two to test: the last test part is what is left."""
    assert texts(Plan(3 * DAY_MS, 2 * DAY_MS)) == [
        ("2024-01-01T00..2024-01-04T00", "2024-01-04T00..2024-01-06T00"),
        ("2024-01-03T00..2024-01-06T00", "2024-01-06T00..2024-01-08T00"),
    ]


def test_anchored_folds_with_an_embargo_by_hand() -> None:
    """Train parts grow from the window's start, and end six hours before their test part."""
    assert texts(Plan(3 * DAY_MS, 2 * DAY_MS, embargo_ms=6 * HOUR_MS, is_anchored=True)) == [
        ("2024-01-01T00..2024-01-04T00", "2024-01-04T06..2024-01-06T06"),
        ("2024-01-01T00..2024-01-06T00", "2024-01-06T06..2024-01-08T00"),
    ]


def test_longer_step_leaves_time_out() -> None:
    """Tests of a day, every three days."""
    assert [test for _, test in texts(Plan(DAY_MS, DAY_MS, step_ms=3 * DAY_MS))] == [
        "2024-01-02T00..2024-01-03T00",
        "2024-01-05T00..2024-01-06T00",
    ]


@given(HOURS, HOURS, HOURS, st.integers(0, 30), st.integers(0, 200), st.booleans())
def test_folds_never_look_ahead_and_tile_what_is_tested(
    train: int, test: int, more: int, embargo: int, extra: int, anchored: bool
) -> None:
    """Whatever the lengths: each test part comes after its train part and the embargo, and after the one before it."""
    window = Window(WEEK.start_ms, WEEK.start_ms + (train + test + embargo + extra) * HOUR_MS)
    step = None if more % 2 else (test + more) * HOUR_MS
    plan = Plan(train * HOUR_MS, test * HOUR_MS, step, embargo * HOUR_MS, anchored)

    folds = folds_of(window, plan)

    assert folds[0].train.start_ms == window.start_ms
    for fold in folds:
        assert fold.test.start_ms - fold.train.end_ms == plan.embargo_ms
        assert fold.train.start_ms >= window.start_ms
        assert fold.test.end_ms <= window.end_ms
        assert fold.train.end_ms - fold.train.start_ms == plan.train_ms or anchored
        assert fold.train.start_ms == window.start_ms or not anchored
    for one, two in pairwise(folds):
        assert two.test.start_ms - one.test.start_ms == plan.every_ms
        assert one.test.end_ms <= two.test.start_ms
        assert one.test.end_ms == two.test.start_ms or step is not None
    if step is None:  # from the first test part to the window's end nothing is left out
        assert sum(fold.test.end_ms - fold.test.start_ms for fold in folds) == window.end_ms - folds[0].test.start_ms


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (Plan(7 * DAY_MS, DAY_MS), "train of 7d in a window of 7d; valid: above 0, and shorter"),
        (Plan(8 * DAY_MS, DAY_MS), "train of 8d in a window of 7d"),
        (Plan(DAY_MS, 9 * DAY_MS), "test of 9d in a window of 7d"),
        (Plan(0, DAY_MS), "train of 0h"),
        (Plan(DAY_MS, 0), "test of 0h"),
        (Plan(DAY_MS, 2 * DAY_MS, step_ms=DAY_MS), "step of 1d for test parts of 2d makes them overlap"),
        (Plan(DAY_MS, DAY_MS, step_ms=0), "step of 0h for test parts of 1d"),
        (Plan(DAY_MS, DAY_MS, embargo_ms=7 * DAY_MS), "embargo of 7d; valid: from 0, and shorter than the window"),
        (Plan(DAY_MS, DAY_MS, embargo_ms=-HOUR_MS), "embargo of -1h"),
        (Plan(4 * DAY_MS, DAY_MS, embargo_ms=3 * DAY_MS), "train of 4d and embargo of 3d leave nothing to test"),
    ],
)
def test_plan_without_room_is_refused(plan: Plan, says: str) -> None:
    """Naming the lengths."""
    with pytest.raises(UsageError, match=says):
        folds_of(WEEK, plan)


def test_too_many_folds_are_refused() -> None:
    """An hour each, for years."""
    years = Window(WEEK.start_ms, WEEK.start_ms + 1_000 * DAY_MS)

    with pytest.raises(UsageError, match=f"23,999 folds; valid: at most {MAX_FOLDS:,}"):
        folds_of(years, Plan(HOUR_MS, HOUR_MS))


def test_lengths_are_days_or_hours() -> None:
    """And are shown as they are read."""
    assert (length_ms("14d", "--train"), length_ms("36h", "--train")) == (14 * DAY_MS, 36 * HOUR_MS)
    assert [length_text(length_ms(text, "")) for text in ("14d", "36h", "48h", "0h")] == ["14d", "36h", "2d", "0h"]


@pytest.mark.parametrize("text", ["", "14", "d", "-2d", "1.5d", "2w", "2 d", "٣d"])
def test_other_lengths_are_refused(text: str) -> None:
    """Naming the option."""
    with pytest.raises(UsageError, match="is not a length of time; valid: whole days or hours"):
        length_ms(text, "--train")
