"""Request budgets."""

from __future__ import annotations

from tickloop.simulator.ratelimit import Limit, RateLimiter


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
