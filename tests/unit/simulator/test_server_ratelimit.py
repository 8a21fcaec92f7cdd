"""Request budgets."""

from __future__ import annotations

from tickloop.simulator.protocol.ratelimit import Limit, Penalties, RateLimiter


def test_window_starts_anew_at_each_whole_second() -> None:
    """Public side: the rest of a second does not carry over, the next one is full."""
    limiter, limit = RateLimiter(), Limit("candles", 2)

    verdicts = [limiter.take(limit, "a", at_s) for at_s in (7.1, 7.2, 7.9, 8.0)]

    assert [verdict.is_allowed for verdict in verdicts] == [True, True, False, True]
    assert verdicts[0].header == "group=candles; min=120; sec=1"
    assert verdicts[2].header == "group=candles; min=120; sec=0"


def test_bucket_refills_steadily() -> None:
    """Private side: half a second gives back half of the budget."""
    limiter, limit = RateLimiter(), Limit("order", 4, is_bucket=True)

    allowed = [limiter.take(limit, "a", at_s).is_allowed for at_s in (0, 0, 0, 0, 0, 0.5, 0.5, 0.5)]

    assert allowed == [True, True, True, True, False, True, True, False]


def test_clients_and_groups_have_their_own_budgets() -> None:
    """One client's calls do not use up another's."""
    limiter = RateLimiter()
    one = Limit("market", 1)

    allowed = [
        limiter.take(limit, client, 0.0).is_allowed
        for limit, client in [(one, "a"), (one, "b"), (Limit("ticker", 1), "a"), (one, "a")]
    ]

    assert allowed == [True, True, True, False]


def blocked(penalties: Penalties, refusals: int, at_s: float) -> float:
    for _ in range(refusals):
        penalties.refused("a", at_s)
    return penalties.blocked_s("a", at_s)


def test_patience_is_for_refusals_close_together() -> None:
    """Thirty at once are forgiven, the next one is not; as many over a longer time are."""
    at_once, over_time = Penalties(), Penalties()

    for second in range(100):
        assert blocked(over_time, 3, float(second)) == 0

    assert (blocked(at_once, 30, 0.0), blocked(at_once, 1, 0.0)) == (0, 10)
    assert at_once.blocked_s("b", 0.0) == 0


def test_block_doubles_on_repetition_up_to_an_hour_and_is_forgotten_after_one() -> None:
    """Each block twice as long; after an hour without one the first time counts again."""
    penalties, now_s, times = Penalties(), 0.0, []
    for _ in range(11):
        times.append(blocked(penalties, 31, now_s))
        now_s += times[-1]

    later = blocked(penalties, 31, now_s + 3_600)

    assert times == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
    assert later == 10
