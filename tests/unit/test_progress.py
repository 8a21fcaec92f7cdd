"""Progress of a back-fill: estimates that count no minute twice, and few lines."""

from __future__ import annotations

from tickloop.entrypoints.commands.progress import Estimates, lines, time_text
from tickloop.services.backfill import CANDLES, TRADES, Progress

BTC, ETH = "KRW-BTC", "KRW-ETH"


class Watch:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_left_follows_from_the_pace_since_the_first_report() -> None:
    """A thousand minutes in ten seconds: the other thousand take ten more."""
    watch = Watch()
    estimates = Estimates(1, watch)
    assert estimates.note(Progress(BTC, CANDLES, 0, 2000))[0].left_s is None

    watch.now += 10
    own, everything = estimates.note(Progress(BTC, CANDLES, 1000, 2000))

    assert own == everything
    assert (own.done, own.total, own.left_s) == (1000, 2000, 10.0)


def test_minutes_that_were_there_before_make_no_pace() -> None:
    """A back-fill that goes on would else promise too much."""
    watch = Watch()
    estimates = Estimates(1, watch)
    estimates.note(Progress(BTC, CANDLES, 1000, 2000))
    watch.now += 10

    own, _ = estimates.note(Progress(BTC, CANDLES, 1500, 2000))

    assert own.left_s == 10.0


def test_markets_that_have_not_begun_count_for_all() -> None:
    """Two of three are under way; phases are told apart."""
    watch = Watch()
    estimates = Estimates(3, watch)
    for market in (BTC, ETH):
        estimates.note(Progress(market, CANDLES, 0, 1000))
    watch.now += 10
    estimates.note(Progress(BTC, CANDLES, 500, 1000))

    own, everything = estimates.note(Progress(ETH, CANDLES, 1000, 1000))

    assert own.left_s == 0.0
    assert (everything.done, everything.total, everything.left_s) == (1500, 3000, 10.0)
    assert estimates.note(Progress(BTC, TRADES, 0, 1000))[1].left_s is None


def test_where_stderr_is_no_terminal_lines_are_rare() -> None:
    """One in ten seconds, and one when a phase is through."""
    watch, said = Watch(), list[str]()
    report = lines(2, said.append, watch)
    for second in range(30):
        watch.now = 100.0 + second
        report(Progress(BTC, CANDLES, second * 10, 1000))
    report(Progress(BTC, CANDLES, 1000, 1000))
    report(Progress(ETH, CANDLES, 1000, 1000))

    assert said == [
        "candles: 100 of 2,000 minutes, about 3 min left; KRW-BTC 100 of 1,000 minutes, about 2 min left",
        "candles: 200 of 2,000 minutes, about 3 min left; KRW-BTC 200 of 1,000 minutes, about 1 min left",
        "candles: 2,000 of 2,000 minutes, done",
    ]


def test_time_is_told_in_the_unit_that_fits() -> None:
    """Seconds, minutes, hours."""
    told = [time_text(seconds) for seconds in (None, 0.0, 12.3, 300.0, 20_000.0)]
    assert told == ["time left not known yet", "done", "about 12 s left", "about 5 min left", "about 5.6 h left"]
