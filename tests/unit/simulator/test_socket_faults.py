"""What faults do to the messages of one connection, and the board that they are ordered on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickloop.simulator.faults.board import KINDS, Fault, FaultBoard
from tickloop.simulator.faults.on_sockets import LONGEST_SWAP_MS, Distortion, Outgoing

PROGRAM = "test/1"
SUBJECTS = [("trade", "KRW-BTC"), ("trade", "KRW-ETH"), ("ticker", "KRW-BTC"), ("myOrder", "KRW-BTC")]
DISTORTING = ("stall", "duplicate", "reorder", "late", "corrupt")
FOR_EVER = 10**9


def message(number: int, kind: str = "trade", code: str = "KRW-BTC") -> Outgoing:
    """Make a message whose number stands in its first half, where no damage reaches it."""
    return Outgoing(json.dumps([f"{number:06d}", "x" * 20]).encode(), kind, code)


def number_of(frame: Outgoing) -> int:
    return int(frame.data[2:8])


def numbers(frames: list[Outgoing]) -> list[int]:
    return [number_of(frame) for frame in frames]


def is_whole(frame: Outgoing) -> bool:
    try:
        json.loads(frame.data)
    except ValueError:
        return False
    return True


def distorted(*faults: Fault) -> tuple[Distortion, FaultBoard]:
    board = FaultBoard(faults)
    return Distortion(board, PROGRAM), board


faults_of_messages = st.lists(
    st.builds(
        Fault,
        kind=st.sampled_from(DISTORTING),
        count=st.integers(0, 10),
        skip=st.integers(0, 5),
        for_ms=st.integers(0, 50),
        market=st.sampled_from(["", "KRW-BTC", "KRW-ETH"]),
        type=st.sampled_from(["", "trade", "ticker"]),
        user_agent=st.sampled_from(["", "test", "other"]),
    ),
    max_size=6,
)
streams = st.lists(st.tuples(st.integers(0, 20), st.sampled_from(SUBJECTS)), max_size=40).map(
    lambda steps: [
        (sum(wait for wait, _ in steps[: number + 1]), message(number, *subject))
        for number, (_, subject) in enumerate(steps)
    ]
)


@given(faults_of_messages, streams)
def test_every_message_comes_out_and_only_corrupt_ones_come_out_damaged(
    faults: list[Fault], stream: list[tuple[int, Outgoing]]
) -> None:
    """Once each, and once more per duplicate that struck; nothing stays behind when the faults are gone."""
    distortion, board = distorted(*faults)

    out = [frame for at_ms, frame in stream for frame in distortion.take(frame, at_ms)]
    struck = {kind: sum(one["struck"] for one in board.listing() if one["kind"] == kind) for kind in DISTORTING}
    board.clear()
    out += distortion.release(FOR_EVER)

    assert distortion.held == 0
    assert len(out) == len(stream) + struck["duplicate"]
    assert set(numbers(out)) == {number_of(frame) for _, frame in stream}
    assert len({number_of(frame) for frame in out if not is_whole(frame)}) == struck["corrupt"]
    if not struck["reorder"] and not struck["late"]:
        assert numbers(out) == sorted(numbers(out))


@given(streams)
def test_without_a_fault_what_goes_in_comes_out_at_once(stream: list[tuple[int, Outgoing]]) -> None:
    distortion, _ = distorted()

    for at_ms, frame in stream:
        assert distortion.take(frame, at_ms) == [frame]
        assert (distortion.held, distortion.next_ms) == (0, None)


@given(faults_of_messages, streams)
def test_order_does_not_depend_on_how_often_it_is_asked(
    faults: list[Fault], stream: list[tuple[int, Outgoing]]
) -> None:
    """A clock that runs looks seldom, a stepped one at every event: both give the same."""
    seldom, often = Distortion(FaultBoard(faults), PROGRAM), Distortion(FaultBoard(faults), PROGRAM)

    out_seldom, out_often, now_ms = [], [], 0
    for at_ms, frame in stream:
        for moment in range(now_ms, at_ms):
            out_often += often.release(moment)
        now_ms = at_ms
        out_seldom += seldom.take(frame, at_ms)
        out_often += often.take(frame, at_ms)
    while (next_ms := often.next_ms) is not None:
        given_then = often.release(next_ms)
        assert given_then
        out_often += given_then
    out_seldom += seldom.release(FOR_EVER)

    assert out_often == out_seldom


@given(faults_of_messages, streams)
def test_each_moment_that_is_named_gives_something(faults: list[Fault], stream: list[tuple[int, Outgoing]]) -> None:
    """Whoever waits for it neither spins nor waits for ever."""
    distortion, board = distorted(*faults)
    for at_ms, frame in stream:
        distortion.take(frame, at_ms)

    while (next_ms := distortion.next_ms) is not None:
        assert distortion.release(next_ms)

    endless = [fault for fault in faults if fault.kind in ("stall", "late") and not fault.for_ms]
    assert distortion.held == 0 or endless
    board.clear()
    distortion.release(FOR_EVER)
    assert distortion.held == 0


def test_stall_holds_back_all_of_its_time_and_then_gives_all_in_order() -> None:
    """Snapshots too; a message of another kind is no exception."""
    distortion, _ = distorted(Fault(kind="stall", for_ms=1_000, type="trade"))

    during = [
        *distortion.take(message(0), 5_000),
        *distortion.take(message(1, "ticker"), 5_500),
        *distortion.take_snapshot(message(2, "orderbook"), 5_900),
        *distortion.release(5_999),
    ]

    assert during == []
    assert distortion.next_ms == 6_000
    assert numbers(distortion.take(message(3), 6_000)) == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["stall", "late"])
def test_spell_without_a_time_lasts_until_it_is_cleared(kind: Any) -> None:
    distortion, board = distorted(Fault(kind=kind))

    distortion.take(message(0), 0)
    during = distortion.release(FOR_EVER)
    named = distortion.next_ms
    board.clear()

    assert (during, named) == ([], None)
    assert numbers(distortion.release(FOR_EVER)) == [0]


def test_late_messages_come_by_the_time_at_which_each_is_due() -> None:
    distortion, _ = distorted(Fault(kind="late", for_ms=100), Fault(kind="late", for_ms=10))

    distortion.take(message(0), 0)
    distortion.take(message(1), 5)

    assert distortion.next_ms == 15
    assert numbers(distortion.release(500)) == [1, 0]


def test_swap_is_of_one_kind_and_market_and_does_not_wait_for_ever() -> None:
    """Where the next of its kind never comes, it goes out alone."""
    distortion, _ = distorted(Fault(kind="reorder", count=2))

    first = [
        *distortion.take(message(0), 0),
        *distortion.take(message(1, "ticker"), 1),
        *distortion.take(message(2, "trade", "KRW-ETH"), 2),
        *distortion.take(message(3), 3),
    ]

    assert numbers(first) == [2, 3, 0]
    assert distortion.next_ms == 1 + LONGEST_SWAP_MS
    assert distortion.release(LONGEST_SWAP_MS) == []
    assert numbers(distortion.release(1 + LONGEST_SWAP_MS)) == [1]


@pytest.mark.parametrize("data", [b'{"type":"trade","code":"KRW-BTC"}', b"[]", b"1", b""])
def test_corrupt_message_is_neither_text_nor_json(data: bytes) -> None:
    """Also where its bytes are made text again for a text frame."""
    distortion, _ = distorted(Fault(kind="corrupt"))

    [damaged] = distortion.take(Outgoing(data, "trade", "KRW-BTC"), 0)

    with pytest.raises(UnicodeDecodeError):
        damaged.data.decode()
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|Extra|Invalid"):
        json.loads(damaged.data.decode(errors="replace"))


def test_snapshot_is_not_swapped_or_damaged() -> None:
    """It comes first, or a client that waits for it would be wrong; a fault's count is not used up by it."""
    distortion, board = distorted(Fault(kind="reorder"), Fault(kind="corrupt"), Fault(kind="duplicate"))

    assert distortion.take_snapshot(message(0), 0) == [message(0)]
    assert [one["struck"] for one in board.listing()] == [0, 0, 0]


def test_strike_skips_and_counts_by_fault_and_takes_the_first_that_is_left() -> None:
    """`skip` lets that many occasions pass before each strike."""
    first, second = Fault(kind="server_error", count=2, skip=1, form="json"), Fault(kind="server_error", count=1)
    board = FaultBoard([first, second])

    struck = [board.strike("server_error") for _ in range(6)]

    assert struck == [second, first, None, first, None, None]
    assert [one["struck"] for one in board.listing()] == [2, 1]


def test_count_of_nought_is_without_limit() -> None:
    board = FaultBoard([Fault(kind="duplicate", count=0)])

    assert all(board.strike("duplicate") for _ in range(1_000))


@pytest.mark.parametrize(
    ("fault", "occasion"),
    [
        ({"path": "/v1/orders"}, {"path": "/v1/orders/open"}),
        ({"method": "POST"}, {"method": "POST"}),
        ({"market": "KRW-BTC"}, {"market": "KRW-BTC"}),
        ({"type": "trade"}, {"stream": "trade"}),
        ({"user_agent": "tickloop"}, {"user_agent": "a tickloop/1.0"}),
    ],
)
def test_filter_passes_what_it_names_and_nothing_else(fault: dict[str, Any], occasion: dict[str, str]) -> None:
    board = FaultBoard([Fault(kind="slow_answer", count=0, **fault)])

    assert board.strike("slow_answer", **dict.fromkeys(occasion, "other")) is None
    assert board.strike("slow_answer") is None
    assert board.strike("drop", **occasion) is None
    assert board.strike("slow_answer", **occasion) is not None


def test_spell_holds_from_its_order_until_its_time_is_over() -> None:
    board = FaultBoard()
    board.add(Fault(kind="maintenance", for_ms=1_000, user_agent="bot"), 5_000)

    assert board.holds("maintenance", 5_000, user_agent="a bot") is not None
    assert board.holds("maintenance", 5_999, user_agent="a bot") is not None
    assert board.holds("maintenance", 6_000, user_agent="a bot") is None
    assert board.holds("maintenance", 5_500, user_agent="collector") is None
    assert board.holds("clock_skew", 5_500) is None


def test_spell_from_before_the_start_begins_with_the_first_look_and_one_without_a_time_lasts() -> None:
    board = FaultBoard([Fault(kind="clock_skew", for_ms=1_000), Fault(kind="maintenance")])

    assert board.holds("clock_skew", 7_000) is not None
    assert [board.holds("clock_skew", at) is not None for at in (7_999, 8_000)] == [True, False]
    assert board.holds("maintenance", FOR_EVER) is not None


def test_listing_names_every_fault_until_it_is_cleared_and_numbers_are_not_used_again() -> None:
    board = FaultBoard([Fault(kind="drop")])
    placed = Fault(kind="late", for_ms=5)
    number = board.add(placed, 0)

    assert [(one["number"], one["kind"], one["struck"]) for one in board.listing()] == [(1, "drop", 0), (2, "late", 0)]
    assert json.loads(json.dumps(board.listing()))[1]["for_ms"] == 5
    assert board.is_placed(placed)
    assert (board.clear(99), board.clear(number)) == (0, 1)
    assert not board.is_placed(placed)
    assert board.add(placed, 0) == 3
    assert board.clear() == 2
    assert board.listing() == []


def test_every_kind_can_be_ordered() -> None:
    assert [Fault(kind=kind).kind for kind in KINDS] == list(KINDS)  # type: ignore[arg-type]
