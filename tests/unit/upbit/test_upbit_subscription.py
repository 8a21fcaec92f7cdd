"""What is asked of the stream, on which connection, and how fast."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickloop.adapters.upbit.idle import IdleWatch, Silence
from tickloop.adapters.upbit.pace import CONNECTS, MESSAGES, Pace
from tickloop.adapters.upbit.subscription import PRIVATE_TYPES, PUBLIC_TYPES, Subscription, assign
from tickloop.errors import UsageError

SEEDED = settings(derandomize=True, deadline=None)
MARKETS = st.lists(st.sampled_from([f"KRW-{letter}" for letter in "ABCDEFGHIJ"]), unique=True, min_size=1)


def parts_of(subscription: Subscription, *markets: str) -> list[dict[str, object]]:
    ticket, *parts = msgspec.json.decode(subscription.request(markets))
    assert list(ticket) == ["ticket"]
    return parts


def test_request_names_every_type_with_all_markets() -> None:
    """It replaces the request before it, so it is the whole."""
    subscription = Subscription.of(("trade", "candle.1s", "trade"), PUBLIC_TYPES)

    assert parts_of(subscription, "KRW-BTC", "KRW-ETH") == [
        {"type": "trade", "codes": ["KRW-BTC", "KRW-ETH"]},
        {"type": "candle.1s", "codes": ["KRW-BTC", "KRW-ETH"]},
        {"format": "DEFAULT"},
    ]


def test_request_can_leave_out_snapshots_or_what_follows_them() -> None:
    """One or the other."""
    realtime = Subscription.of(("trade",), PUBLIC_TYPES, only_realtime=True)
    snapshot = Subscription.of(("trade",), PUBLIC_TYPES, only_snapshot=True)

    assert parts_of(realtime, "KRW-BTC")[0] == {"type": "trade", "codes": ["KRW-BTC"], "is_only_realtime": True}
    assert parts_of(snapshot, "KRW-BTC")[0] == {"type": "trade", "codes": ["KRW-BTC"], "is_only_snapshot": True}
    with pytest.raises(UsageError, match="valid: one of them"):
        Subscription.of(("trade",), PUBLIC_TYPES, only_realtime=True, only_snapshot=True)


def test_assets_are_asked_for_without_codes() -> None:
    """Codes would make the request a WRONG_FORMAT; orders without any are those of all markets."""
    subscription = Subscription.of(PRIVATE_TYPES, PRIVATE_TYPES)

    assert parts_of(subscription, "KRW-BTC")[:2] == [{"type": "myOrder", "codes": ["KRW-BTC"]}, {"type": "myAsset"}]
    assert parts_of(subscription)[:2] == [{"type": "myOrder"}, {"type": "myAsset"}]


@pytest.mark.parametrize("types", [(), ("trades",), ("candle.2m",), ("myOrder",)])
def test_type_that_the_socket_does_not_have_is_named(types: tuple[str, ...]) -> None:
    """With those that it has."""
    with pytest.raises(UsageError, match=r"valid are trade, ticker, orderbook, candle\.1s"):
        Subscription.of(types, PUBLIC_TYPES)


@pytest.mark.parametrize(
    ("now", "wanted", "most", "spread"),
    [
        ([], "ABCDE", 2, ["AB", "CD", "E"]),
        (["AB", "CD"], "BADC", 2, ["AB", "CD"]),
        (["AB", "CD"], "ABCDE", 2, ["AB", "CD", "E"]),
        (["AB", "CD"], "BCDE", 2, ["BE", "CD"]),
        (["AB", "CD"], "CDE", 3, ["", "CDE"]),
        (["AB", "CD"], "E", 2, ["E", ""]),
        (["AB", "CD"], "AD", 2, ["A", "D"]),
    ],
)
def test_markets_stay_on_their_connection(now: list[str], wanted: str, most: int, spread: list[str]) -> None:
    """New ones go where there is room, on open connections first; then to new connections."""
    assert assign(now, wanted, most) == [list(one) for one in spread]


@SEEDED
@given(st.lists(MARKETS, min_size=1, max_size=5), st.integers(1, 4))
def test_every_market_has_exactly_one_connection_after_any_changes(changes: list[list[str]], most: int) -> None:
    """And no connection has too many; what stays does not move."""
    now: list[list[str]] = []
    for wanted in changes:
        spread = assign(now, wanted, most)

        assert sorted(market for one in spread for market in one) == sorted(wanted)
        assert max(map(len, spread)) <= most
        for before, after in zip(now, spread, strict=False):
            assert set(before) & set(wanted) <= set(after)
        now = [one for one in spread if one]


@pytest.mark.parametrize("limits", [CONNECTS, MESSAGES])
def test_pace_keeps_every_limit_whenever_turns_are_taken(limits: tuple[tuple[int, float], ...]) -> None:
    """Three hundred asked for at once: no span of a limit holds more than it may, and none waits longer than needed."""
    pace = Pace(limits)
    moments = [5.0 + pace.take_turn(5.0) for _ in range(300)]

    for count, per_s in limits:
        assert all(later - earlier >= per_s - 1e-9 for earlier, later in zip(moments, moments[count:], strict=False))
    assert moments[:5] == [5.0] * 5
    assert moments[-1] == pytest.approx(5.0 + (59 if limits == CONNECTS else 139))


# --- silence --------------------------------------------------------------------------------------------------


def test_silence_of_everything_is_found_at_the_first_limit() -> None:
    """Counted from the last message; on a new connection from its beginning."""
    watch = IdleWatch(60)
    watch.opened(0)

    assert watch.verdict(60) is None
    watch.saw(["trade"], 60, ts_ms=1_000)
    assert watch.verdict(120) is None
    assert watch.verdict(121) == Silence("no message for 60 s", 1_000)


def test_silence_of_one_type_is_found_while_others_come() -> None:
    """It names the type, and the market time since which its messages may be missing."""
    watch = IdleWatch(60)
    watch.opened(0)
    watch.saw(["trade", "ticker"], 1, ts_ms=1_000)
    for second in range(2, 62):
        watch.saw(["ticker"], second, ts_ms=second * 1_000)
        assert watch.verdict(second) is None
    watch.saw(["ticker"], 62, ts_ms=62_000)

    assert watch.verdict(62) == Silence("no trade for 60 s, while others came", 1_000)


def test_type_that_never_came_is_not_missed() -> None:
    """A market that has no trade yet sends none."""
    watch = IdleWatch(60)
    watch.opened(0)
    for second in range(1, 1_000):
        watch.saw(["ticker"], second, ts_ms=second)

    assert watch.verdict(1_000) is None


def test_market_that_is_quiet_as_a_whole_misses_no_type() -> None:
    """Trades and tickers of one market stop together: it is not one of the types that is dead."""
    watch = IdleWatch(60)
    watch.opened(0)
    watch.saw(["trade", "ticker"], 1, ts_ms=1)
    watch.saw(["ticker"], 2, ts_ms=2)

    assert watch.verdict(62) is None
    assert watch.verdict(63) == Silence("no message for 60 s", 2)


def quiet_day(watch: IdleWatch, gap_s: int) -> int:
    """Let one message come every `gap_s` for a day; give how often the connection was given up."""
    given_up = 0
    watch.opened(0)
    for second in range(1, 86_400):
        if second % gap_s == 0:
            watch.saw(["trade"], second, ts_ms=second)
        elif watch.verdict(second) is not None:
            given_up += 1
            watch.opened(second)
    return given_up


@pytest.mark.parametrize(("gap_s", "most"), [(30, 0), (100, 12), (600, 12), (1_700, 12)])
def test_quiet_market_does_not_flap(gap_s: int, most: int) -> None:
    """A day with one trade every so often, instead of a reconnect a minute."""
    assert quiet_day(IdleWatch(60), gap_s) <= most


def test_limit_comes_down_again_when_the_stream_is_busy() -> None:
    """Or a feed that was once silent would be watched badly for ever."""
    watch = IdleWatch(60)
    watch.opened(0)
    for second in (61, 182, 423):
        assert watch.verdict(second) is not None
        watch.opened(second)
    for second in range(424, 424 + 4 * 3_600):
        watch.saw(["trade"], second, ts_ms=second)

    assert watch.verdict(424 + 4 * 3_600 + 61) == Silence("no message for 60 s", 424 + 4 * 3_600 - 1)


def test_no_silence_counts_while_the_market_stands() -> None:
    """Or while it is us who do not listen."""
    watch = IdleWatch(60)
    watch.opened(0)
    watch.saw(["trade"], 1, ts_ms=7)
    watch.hold(1_000)

    assert watch.verdict(1_060) is None
    assert watch.verdict(1_061) == Silence("no message for 60 s", 7)
