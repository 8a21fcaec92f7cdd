"""The heap of next trades gives what asking every market would."""

from __future__ import annotations

from bisect import bisect_right

from hypothesis import given
from hypothesis import strategies as st

from tickloop.simulator.prices.upcoming import Upcoming

TIMES = st.lists(st.integers(0, 50), max_size=8).map(sorted)


class Stream:
    def __init__(self, times: list[int]) -> None:
        self.times = times
        self.asked = 0

    def next_trade_ms(self, after_ms: int) -> int | None:
        self.asked += 1
        place = bisect_right(self.times, after_ms)
        return self.times[place] if place < len(self.times) else None


@given(st.dictionaries(st.sampled_from("abcdef"), TIMES), st.lists(st.tuples(st.integers(-1, 55), st.integers(0, 9))))
def test_answers_are_those_of_asking_every_market(
    markets: dict[str, list[int]], questions: list[tuple[int, int]]
) -> None:
    """Forwards, backwards, the same question twice, spans of any length."""
    upcoming = Upcoming({code: Stream(times) for code, times in markets.items()})

    for after_ms, length in questions:
        until_ms = after_ms + length
        later = [time for times in markets.values() for time in times if time > after_ms]
        due = {code for code, times in markets.items() if any(after_ms < time <= until_ms for time in times)}
        assert upcoming.next_ms(after_ms) == min(later, default=None)
        assert upcoming.due(after_ms, until_ms) == due


def test_trade_that_was_added_is_found_once_the_heap_is_told_to_forget() -> None:
    """A printed fill comes before what was the next one."""
    stream = Stream([10])
    upcoming = Upcoming({"a": stream})
    assert upcoming.next_ms(0) == 10

    stream.times.insert(0, 5)
    upcoming.forget()

    assert upcoming.next_ms(0) == 5


def test_market_that_is_not_due_is_not_asked_again() -> None:
    """A busy market among many quiet ones costs what it trades."""
    quiet = [Stream([1_000_000]) for _ in range(287)]
    upcoming = Upcoming({"busy": Stream(list(range(1000))), **{str(place): one for place, one in enumerate(quiet)}})

    for at_ms in range(1000):
        upcoming.due(at_ms - 1, at_ms)
        upcoming.next_ms(at_ms)

    assert all(one.asked == 1 for one in quiet)
