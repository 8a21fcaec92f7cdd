"""Counts of odd arrivals, in memory that does not grow."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tickloop.domain.arrival_kernel import pass_usual
from tickloop.domain.arrivals import LATE_MS, ArrivalCounts, ArrivalWatch, TradeRows

TRADES = st.lists(
    st.tuples(st.sampled_from(["KRW-BTC", "KRW-ETH"]), st.integers(0, 30), st.integers(0, 50), st.integers(0, 100_000)),
    max_size=60,
)


def test_late_begins_after_a_minute() -> None:
    """A trade received exactly a minute after it happened is not late."""
    watch = ArrivalWatch()

    watch.note("KRW-BTC", 1, 0, LATE_MS, 9, is_snapshot=False)
    watch.note("KRW-BTC", 2, 0, LATE_MS + 1, 9, is_snapshot=False)
    watch.note("KRW-BTC", 3, 0, LATE_MS + 1, 9, is_snapshot=True)

    assert watch.counts == ArrivalCounts(late=1)


def test_oldest_id_is_forgotten_first() -> None:
    """A trade recalled from the journal counts as nothing, but is known."""
    watch = ArrivalWatch(remembered=2)

    for trade_id in (1, 2, 2, 3):
        watch.recall("KRW-BTC", trade_id)

    assert [watch.arrival_of("KRW-BTC", trade_id) for trade_id in (1, 2, 3)] == [None, 0, 0]
    assert watch.counts == ArrivalCounts()


@given(TRADES, st.integers(1, 5))
def test_only_the_newest_ids_of_a_market_are_known(trades: list[tuple[str, int, int, int]], remembered: int) -> None:
    """Whatever the order of ids: a repeat within the newest is a duplicate, one of before is new again."""
    watch = ArrivalWatch(remembered)
    newest: dict[str, list[tuple[int, int]]] = {"KRW-BTC": [], "KRW-ETH": []}
    duplicates = 0

    watch.note_all([(market, number, 0, at, False) for at, (market, number, _, _) in enumerate(trades)], 0)
    for at, (market, trade_id, _, _) in enumerate(trades):
        is_known = trade_id in dict(newest[market])
        duplicates += is_known
        if not is_known:
            newest[market] = [*newest[market], (trade_id, at)][-remembered:]

    assert watch.counts == ArrivalCounts(duplicates)
    for market, pairs in newest.items():
        assert {number: watch.arrival_of(market, number) for number in range(31)} == {
            number: dict(pairs).get(number) for number in range(31)
        }


def test_memory_does_not_grow_with_the_trades() -> None:
    """Of ten times as many trades as are remembered no more is kept; ids up to the end of int64."""
    watch = ArrivalWatch(remembered=100)
    last = 2**63 - 1

    def grown_by(ids: range) -> int:
        before = tracemalloc.get_traced_memory()[0]
        watch.note_all((("KRW-BTC", number, 0, number, False) for number in ids), 0)
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    try:
        first, later = grown_by(range(last - 1_000, last - 800)), grown_by(range(last - 800, last + 1))
    finally:
        tracemalloc.stop()

    assert first < 100 * 20 + 2_000
    assert later < 500
    assert watch.arrival_of("KRW-BTC", last) == last


@given(TRADES)
def test_counts_equal_those_of_a_plain_count(trades: list[tuple[str, int, int, int]]) -> None:
    """While no id is forgotten: repeats count once as such, all others by time."""
    watch = ArrivalWatch(remembered=1_000)
    seen: set[tuple[str, int]] = set()
    newest: dict[str, int] = {}
    duplicates = out_of_order = late = 0

    for market, trade_id, event_ms, delay_ms in trades:
        watch.note(market, trade_id, event_ms, event_ms + delay_ms, 9, is_snapshot=False)
        if (market, trade_id) in seen:
            duplicates += 1
            continue
        seen.add((market, trade_id))
        out_of_order += event_ms < newest.get(market, -1)
        newest[market] = max(newest.get(market, -1), event_ms)
        late += delay_ms > LATE_MS

    assert watch.counts == ArrivalCounts(duplicates, out_of_order, late)


@given(TRADES, st.integers(1, 5), st.integers(0, 60))
def test_compiled_code_counts_and_remembers_as_one_by_one(
    trades: list[tuple[str, int, int, int]], remembered: int, cut: int
) -> None:
    """In two parts, with repeats, late ones and any order."""
    plain, fast = ArrivalWatch(remembered), ArrivalWatch(remembered, pass_usual)
    now_ms = LATE_MS + 25

    for start, part in ((0, trades[:cut]), (cut, trades[cut:])):
        noted = [(market, number, ts, start + at, at % 3 == 0) for at, (market, number, ts, _) in enumerate(part)]
        plain.note_all(noted, now_ms)
        columns = [
            np.array(one, np.int64) for one in zip(*((fast.row_of(m), *rest) for m, *rest in noted), strict=True)
        ]
        fast.note_rows(TradeRows(*columns or [np.empty(0, np.int64)] * 5), now_ms)

    assert fast.counts == plain.counts
    for market in ("KRW-BTC", "KRW-ETH"):
        found = [fast.arrival_of(market, number) for number in range(31)]
        assert found == [plain.arrival_of(market, number) for number in range(31)]
