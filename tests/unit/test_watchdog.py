"""Alerts of the collector: each once when it begins, and taken back when it is over."""

import pytest

from fakes import FakeNotifier
from tickloop.ports import DiskShortage
from tickloop.services.watchdog import Watchdog


@pytest.fixture
def notifier() -> FakeNotifier:
    return FakeNotifier()


@pytest.fixture
def watchdog(notifier: FakeNotifier) -> Watchdog:
    return Watchdog(notifier, stream_down_s=60.0, dead_per_minute=10)


def test_full_disk_is_told_once_and_taken_back(watchdog: Watchdog, notifier: FakeNotifier) -> None:
    """With the room there is and the room it takes."""
    for shortage in (None, DiskShortage(5, 1_000), DiskShortage(4, 1_000), None, None):
        watchdog.look_at_disk(shortage)

    assert notifier.told == [("alert", "disk_full"), ("clear", "disk_full")]
    assert "5 bytes are free, 1,000 are needed" in notifier.messages[0]


def test_silent_stream_is_told_after_its_time(watchdog: Watchdog, notifier: FakeNotifier) -> None:
    """Not earlier, and not again while it lasts."""
    for now_s, messages in ((100, 5), (160, 5), (161, 5), (200, 5), (201, 6), (202, 7)):
        watchdog.look_at_stream(now_s, messages, (), may_be_silent=False)

    assert notifier.told == [("alert", "stream_down"), ("clear", "stream_down")]


def test_silence_is_right_while_the_market_stands_or_nothing_is_read(
    watchdog: Watchdog, notifier: FakeNotifier
) -> None:
    """The time begins when it is over."""
    for now_s, is_right in ((0, False), (1_000, True), (1_059, False)):
        watchdog.look_at_stream(now_s, 5, ("KRW-BTC",), may_be_silent=is_right)

    assert notifier.told == []


def test_lost_markets_are_told_while_others_come(watchdog: Watchdog, notifier: FakeNotifier) -> None:
    """One connection of several is down."""
    for now_s, lost in ((0, ()), (10, ("KRW-BTC",)), (60, ("KRW-BTC",)), (71, ("KRW-BTC",)), (75, ())):
        watchdog.look_at_stream(now_s, now_s, lost, may_be_silent=False)

    assert notifier.told == [("alert", "stream_down"), ("clear", "stream_down")]
    assert notifier.messages[0].startswith("1 markets are not received for 60 s")


def test_markets_that_are_not_received_at_the_first_look_have_their_time_too(
    watchdog: Watchdog, notifier: FakeNotifier
) -> None:
    """A start over several connections: a machine that has been up for hours does not make it an alert."""
    for now_s in (21_000, 21_060, 21_061):
        watchdog.look_at_stream(now_s, now_s, ("KRW-BTC",), may_be_silent=False)
        told = list(notifier.told)

        assert told == ([("alert", "stream_down")] if now_s > 21_060 else [])


def test_rising_dead_letters_are_told_and_taken_back_after_a_minute(watchdog: Watchdog, notifier: FakeNotifier) -> None:
    """A few now and then are not worth a word."""
    for now_s, dead in ((0, 0), (30, 9), (61, 9), (95, 18), (100, 19), (140, 19), (161, 19)):
        watchdog.look_at_dead(now_s, dead)

    assert notifier.told == [("alert", "dead_letters"), ("clear", "dead_letters")]
    assert notifier.messages[0].startswith("10 messages within a minute")
