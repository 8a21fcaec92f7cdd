"""Gaps are joined where they touch, and where a market has too many; nothing of them is dropped."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tickloop.domain.gaps import Gap, join

GAPS = st.lists(
    st.builds(
        lambda market, start, length: Gap(market, start, start + length),
        st.sampled_from(["KRW-BTC", "KRW-ETH"]),
        st.integers(0, 200),
        st.integers(1, 20),
    ),
    max_size=40,
)


def test_gaps_that_touch_become_one_per_market() -> None:
    """Whatever their order; another market's are left alone."""
    gaps = [Gap("KRW-BTC", 20, 30), Gap("KRW-ETH", 5, 25), Gap("KRW-BTC", 0, 20), Gap("KRW-BTC", 31, 40)]

    assert join(gaps, 8) == [Gap("KRW-BTC", 0, 30), Gap("KRW-BTC", 31, 40), Gap("KRW-ETH", 5, 25)]


def test_nearest_two_are_joined_when_there_are_too_many() -> None:
    """What lies between them is asked for in vain, which does no harm."""
    gaps = [Gap("KRW-BTC", 0, 1), Gap("KRW-BTC", 50, 51), Gap("KRW-BTC", 55, 56), Gap("KRW-BTC", 90, 91)]

    assert join(gaps, 3) == [Gap("KRW-BTC", 0, 1), Gap("KRW-BTC", 50, 56), Gap("KRW-BTC", 90, 91)]


@given(GAPS, st.integers(1, 6))
def test_joining_covers_all_and_keeps_few(gaps: list[Gap], most: int) -> None:
    """Every instant of every gap is in one of the result, whose parts of a market do not touch."""
    joined = join(gaps, most)

    for gap in gaps:
        holders = [one for one in joined if one.market == gap.market and gap.start_ms in one]
        assert len(holders) == 1
        assert gap.end_ms <= holders[0].end_ms
    for market in ("KRW-BTC", "KRW-ETH"):
        own = [one for one in joined if one.market == market]
        assert len(own) <= most
        assert all(left.end_ms < right.start_ms for left, right in pairwise(own))
