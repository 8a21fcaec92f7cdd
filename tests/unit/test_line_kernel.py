"""Compiled lines are those that are made one by one, and nothing passes that the parser refuses."""

from __future__ import annotations

import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickloop.adapters.local.journal_line import line_of
from tickloop.adapters.local.line_kernel import CompiledLineMaker
from tickloop.adapters.upbit.events import TickerEvent, TradeEvent
from tickloop.adapters.upbit.parse import parse_frame
from tickloop.domain.packed import Packed
from tickloop.errors import CorruptLineError

NOW_NS = 1_705_881_600_123_456_789

TRADE = (
    b'{"type":"trade","code":"KRW-BTC","timestamp":1705881600040,"trade_date":"2024-01-22","trade_time":"00:00:00",'
    b'"trade_timestamp":1705881600000,"trade_price":58000000.0,"trade_volume":0.00124,"ask_bid":"BID",'
    b'"prev_closing_price":57900000.0,"change":"RISE","change_price":100000.0,"sequential_id":17058816000000000,'
    b'"best_ask_price":58001000,"best_ask_size":0.0399,"stream_type":"REALTIME"}'
)
TICKER = (
    b'{"type":"ticker","code":"KRW-ETH","opening_price":3310000.0,"trade_price":3300000.5,'
    b'"prev_closing_price":3290000.0,"acc_trade_price":61200345678.12,"change":"FALL","signed_change_rate":-2.5E-4,'
    b'"ask_bid":"ASK","trade_volume":0.5,"trade_timestamp":1705881600000,"market_state":"ACTIVE",'
    b'"is_trading_suspended":false,"delisting_date":null,"timestamp":1705881600999,'
    b'"acc_trade_price_24h":190034567890.55,"acc_trade_volume_24h":1450.02,"stream_type":"SNAPSHOT"}'
)
MAKER = CompiledLineMaker()


def made_by_hand(raws: list[bytes]) -> bytes:
    """Make the lines one by one up to the first that is neither a trade nor a ticker, or none at all."""
    lines = []
    for number, raw in enumerate(raws):
        event = parse_frame(raw)
        assert isinstance(event, TradeEvent | TickerEvent)
        lines.append(line_of(raw, event, NOW_NS, NOW_NS + number))
    return b"".join(lines)


def passed(raws: list[bytes]) -> tuple[int, bytes]:
    made = MAKER.make(Packed.of(raws), NOW_NS, NOW_NS)
    return len(made), bytes(made.text)


NUMBERS = b"""0 -1 1e3 1E-8 1.5e+2 0.00000001 0.000000001 92233720368.54775807 92233720368.54775808 1e400 -0.0 0e5 01
1. .5 1e +1 NaN 123456789012345678 1234567890123456789 253402300799999 253402300800000""".split()
WORDS = [b'"RISE"', b'"EVEN"', b'"KRW-BTC"', b'"KRW-"', b'"krw-btc"', b'"KRW-BTC-X"', b'"BID"', b'""', b"null", b"true"]
ODD = [b'"a\\u0041"', b'"\xea\xb0\x80"', b'"\x7f"', b'"\x01"', b"[]", b"{}", b'{"a":1}']

TEXTS = st.one_of(
    st.sampled_from([*NUMBERS, *WORDS, *ODD]),
    st.integers(-(10**20), 10**20).map(lambda number: str(number).encode()),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: str(number).encode()),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: repr(number).encode()),
    st.text(max_size=12).map(lambda text: json.dumps(text, ensure_ascii=False).encode()),
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A trade or a ticker with some values or names replaced, fields left out, doubled or moved, bytes changed."""
    raw = draw(st.sampled_from([TRADE, TICKER]))
    fields = raw[1:-1].split(b",")
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(1, len(fields) - 1))
        change = draw(st.sampled_from(["value", "drop", "double", "move", "name"]))
        name, _, value = fields[at].partition(b":")
        if change == "value":
            fields[at] = name + b":" + draw(TEXTS)
        elif change == "drop" and len(fields) > 2:
            del fields[at]
        elif change == "double":
            fields.append(fields[at])
        elif change == "move":
            fields.append(fields.pop(at))
        else:
            fields[at] = (
                draw(st.sampled_from([b'"new_field"', b'"code"', b'"timestamp"', b'"trade_volume"'])) + b":" + value
            )
    raw = b"{" + b",".join(fields) + b"}"
    if draw(st.booleans()) and draw(st.booleans()):
        at = draw(st.integers(0, len(raw) - 1))
        raw = raw[:at] + draw(st.binary(max_size=2)) + raw[at + draw(st.integers(0, 2)) :]
    return raw


@settings(max_examples=1_500)
@given(st.lists(messages(), min_size=1, max_size=6))
def test_what_passes_is_what_the_parser_takes_and_its_line_is_the_same(raws: list[bytes]) -> None:
    """Whatever the message before it looked like."""
    count, text = passed(raws)

    assert text == made_by_hand(raws[:count])


@given(st.lists(st.sampled_from([TRADE, TICKER]), min_size=1, max_size=40))
def test_usual_messages_all_pass(raws: list[bytes]) -> None:
    """Byte for byte as one by one."""
    assert passed(raws) == (len(raws), made_by_hand(raws))


def test_what_is_told_of_each_message_is_what_stands_in_it() -> None:
    """Kind, id, time, market and snapshot."""
    made = MAKER.make(Packed.of([TRADE, TICKER, TRADE]), NOW_NS, NOW_NS)

    assert made.is_trade.tolist() == [True, False, True]
    assert made.ids[[0, 2]].tolist() == [17_058_816_000_000_000] * 2
    assert made.times_ms.tolist() == [1_705_881_600_000, 1_705_881_600_999, 1_705_881_600_000]
    assert [MAKER.names[number] for number in made.codes.tolist()] == ["KRW-BTC", "KRW-ETH", "KRW-BTC"]
    assert made.is_snapshot.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "unusual",
    [
        TRADE.replace(b'"trade_price":58000000.0', b'"trade_price": 58000000.0'),
        TRADE.replace(b'"BID"', b'"bid"'),
        TRADE.replace(b"0.00124", b"0"),
        TRADE.replace(b"0.00124", b"0.000000001"),
        TRADE.replace(b"17058816000000000", b"1705881600000000000"),
        TRADE[:-1],
        TICKER.replace(b'"RISE"', b"null").replace(b'"FALL"', b"null"),
        b'{"type":"orderbook","code":"KRW-BTC"}',
        b'{"status":"UP"}',
    ],
)
def test_unusual_message_stops_the_batch_before_it(unusual: bytes) -> None:
    """What stands before it passes, and what follows is left with it."""
    assert passed([TRADE, TICKER, unusual, TRADE]) == (2, made_by_hand([TRADE, TICKER]))


@given(st.integers(0, 253_402_300_799_999))
def test_every_moment_is_written_as_the_other_maker_writes_it(ts_ms: int) -> None:
    """From 1970 to the end of the year 9999."""
    raw = TRADE.replace(b'"trade_timestamp":1705881600000', b'"trade_timestamp":%d' % ts_ms)

    assert passed([raw]) == (1, made_by_hand([raw]))


@given(st.text(alphabet="abc,. 0", max_size=90))
def test_check_sum_is_that_of_zlib_at_any_length(filler: str) -> None:
    """Sixteen bytes at a time, and the rest one by one."""
    raw = TICKER[:-1] + b',"filler":"%b"}' % filler.encode()

    assert passed([raw])[1].endswith(b':%08x"}\n' % zlib.crc32(raw))


def test_two_thousand_codes_are_numbered_and_others_left_to_the_parser() -> None:
    """The table of markets is bounded; what does not fit takes the longer way."""
    maker = CompiledLineMaker()
    raws = [TRADE.replace(b"KRW-BTC", b"KRW-T%d" % number) for number in range(2_050)]

    made = maker.make(Packed.of(raws), NOW_NS, NOW_NS)

    assert len(made) == 2_048
    assert maker.names == [f"KRW-T{number}" for number in range(2_048)]
    assert len(maker.make(Packed.of(raws[:100]), NOW_NS, NOW_NS)) == 100


def test_message_that_the_parser_refuses_never_passes() -> None:
    """A sample of what has been sent, each refused with a reason."""
    for bad in (TRADE.replace(b"58000000.0", b"-58000000.0"), TRADE.replace(b"KRW-BTC", b"KRW_BTC")):
        with pytest.raises(CorruptLineError):
            parse_frame(bad)
        assert passed([bad])[0] == 0
