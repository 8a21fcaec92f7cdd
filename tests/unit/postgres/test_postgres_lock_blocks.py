"""How a window is cut into blocks that meet exactly where windows do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import START_MS
from tickloop.domain.window import DAY_MS, HOUR_MS, Window, hour_of

pytest.importorskip("psycopg")
from tickloop.adapters.postgres.lock import Block, Blocks, blocks_of

AROUND_H = START_MS // HOUR_MS // 4096 * 4096  # the edge of a block of every size


def windows() -> st.SearchStrategy[Window]:
    starts = st.integers(AROUND_H - 9_000, AROUND_H + 9_000)
    lengths = st.sampled_from([1, 2, 6, 8, 24, 64, 100, 4_096, 9_600])
    return st.builds(lambda start, hours: Window(start * HOUR_MS, (start + hours) * HOUR_MS), starts, lengths)


def meet(ours: Blocks, theirs: Blocks) -> bool:
    """Tell whether one session would refuse the other: exclusive meets anything, shared meets exclusive."""
    return any(block in theirs.exclusive + theirs.shared for block in ours.exclusive) or any(
        block in theirs.exclusive for block in ours.shared
    )


@settings(max_examples=400)
@given(ours=windows(), theirs=windows())
def test_blocks_meet_exactly_where_windows_share_an_hour(ours: Window, theirs: Window) -> None:
    """Neither a shared hour is missed, nor does a neighbour wait."""
    is_shared = ours.start_ms < theirs.end_ms and theirs.start_ms < ours.end_ms

    assert meet(blocks_of(ours), blocks_of(theirs)) == is_shared


@given(start_h=st.integers(AROUND_H - 10_000, AROUND_H + 10_000))
def test_long_history_takes_few_locks(start_h: int) -> None:
    """A server has room for some thousand locks of all its sessions."""
    blocks = blocks_of(Window(start_h * HOUR_MS, start_h * HOUR_MS + 400 * DAY_MS))

    assert len(blocks.exclusive) + len(blocks.shared) < 80
    assert sum(block.hours for block in blocks.exclusive) == 400 * 24


def test_hour_takes_itself_and_what_lies_around_it() -> None:
    """One lock of its own, four that are shared."""
    blocks = blocks_of(hour_of((AROUND_H + 9) * HOUR_MS))

    assert blocks.exclusive == (Block(1, AROUND_H + 9),)
    assert blocks.shared == (
        Block(8, AROUND_H + 8),
        Block(64, AROUND_H),
        Block(512, AROUND_H),
        Block(4096, AROUND_H),
    )


def test_window_within_an_hour_takes_that_hour() -> None:
    """Windows of minutes are widened."""
    assert blocks_of(Window(START_MS + 60_000, START_MS + 120_000)) == blocks_of(hour_of(START_MS))
