"""A journal line is the message's own bytes and four fields of ours."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickloop.adapters.common.stored_line import has_doc_id, read_trade, repair_line, trade_marker
from tickloop.adapters.local.journal_line import line_of, usual_lines_of
from tickloop.adapters.upbit.events import TickerEvent, TradeEvent
from tickloop.adapters.upbit.parse import parse_frame, parse_usual
from tickloop.domain.market import Change, Side, Source, Trade
from tickloop.errors import CorruptLineError

TRADE = (
    b'{"type":"trade","code":"KRW-BTC","trade_timestamp":1705881600005,"trade_price":5.8E7,"trade_volume":1.50000000,'
    b'"ask_bid":"ASK","change":"EVEN","sequential_id":17058816000050000,"memo":"\xea\xb0\x80"}'
)
TICKER = (
    b'{"type":"ticker","code":"KRW-ETH","trade_price":4500000.0,"change":"FALL","trade_timestamp":1705881599000,'
    b'"timestamp":1705881600999}'
)


CANDLE = (
    b'{"type":"candle.1s","code":"KRW-BTC","candle_date_time_utc":"2024-01-22T00:00:00","opening_price":1,'
    b'"high_price":1,"low_price":1,"trade_price":1,"candle_acc_trade_volume":0,"candle_acc_trade_price":0,'
    b'"timestamp":1705881600999}'
)
BOOK = (
    b'{"type":"orderbook","code":"KRW-BTC","timestamp":1705881601000,"total_ask_size":1,"total_bid_size":1,'
    b'"orderbook_units":[]}'
)
ASCII_TRADE = TRADE.replace(b"\xea\xb0\x80", b"%d %b \\n \\u0001")


def make_line(raw: bytes, ts_received_ns: int = 11, arrival: int = 12) -> bytes:
    event = parse_frame(raw)
    assert isinstance(event, TradeEvent | TickerEvent)
    return line_of(raw, event, ts_received_ns, arrival)


def test_trade_line_keeps_the_frame_and_adds_the_contract_fields() -> None:
    """Byte for byte: numbers as the exchange wrote them, `doc_id` from market and trade id."""
    assert make_line(TRADE) == TRADE[:-1] + (
        b',"ts_received":11,"arrival":12,"@timestamp":"2024-01-22T00:00:00.005Z",'
        b'"doc_id":"trade:KRW-BTC:17058816000050000"}\n'
    )


def test_ticker_line_is_known_by_its_own_time_and_checksum() -> None:
    """Two tickers of one millisecond differ by the checksum of their bytes (computed apart: zlib.crc32)."""
    fields = json.loads(make_line(TICKER))

    assert fields["@timestamp"] == "2024-01-22T00:00:00.999Z"
    assert fields["doc_id"] == "ticker:KRW-ETH:1705881600999:43f118b2"


@given(st.lists(st.sampled_from([ASCII_TRADE, TICKER, CANDLE, BOOK]), min_size=1, max_size=60))
def test_lines_made_together_equal_those_made_one_by_one(messages: list[bytes]) -> None:
    """Byte for byte, few or many."""
    events = parse_usual(messages) or []
    expected = [line_of(raw, event, 11, 12 + n) for n, (raw, event) in enumerate(zip(messages, events, strict=True))]

    assert usual_lines_of(messages, events, 11, 12) == expected


@pytest.mark.parametrize(
    "put",
    [
        b"\xea\xb0\x80",
        b'","big":12345678901234567890,"x":"',
        b'",\n"x":"',
    ],
)
@pytest.mark.parametrize("count", [1, 60])
def test_unusual_message_among_usual_ones_is_left_to_its_own_line(put: bytes, count: int) -> None:
    """What needs a closer look is found, in few messages and in many, wherever it stands."""
    for at in range(min(count, 20)):
        messages = [ASCII_TRADE] * count
        messages[at] = ASCII_TRADE[:-2] + b"a" * at + put + b'"}'

        assert usual_lines_of(messages, parse_usual(messages) or [], 11, 12) is None


@given(st.integers(0, 40), st.sampled_from([19, 20, 25]))
def test_long_integer_is_found_at_any_place_of_many_messages(shift: int, digits: int) -> None:
    """19 digits may leave 64 bits; 17, as in every trade's id, may not and do not slow things down."""
    usual = [ASCII_TRADE] * 60
    filler = ASCII_TRADE[:-2] + b"a" * shift + b'"'
    messages = [*usual, filler + b',"n":' + b"1" * digits + b"}"]

    assert usual_lines_of(messages, parse_usual(messages) or [], 11, 12) is None
    messages = [*usual, filler + b',"n":' + b"1" * 17 + b"}"]
    assert usual_lines_of(messages, parse_usual(messages) or [], 11, 12) is not None


def test_line_break_and_space_around_tokens_do_not_end_the_line() -> None:
    """A pretty-printed message is still one line."""
    line = make_line(TRADE.replace(b",", b",\n") + b" \n")

    assert line.count(b"\n") == 1
    assert read_trade(line, "KRW-BTC").qty_e8 == 150_000_000


@pytest.mark.parametrize(
    ("put", "says"),
    [
        (b'"big":18446744073709551616', "message.big = 18446744073709551616"),
        (b'"big":{"a":[-9223372036854775809]}', "message.big.a[...] = -9223372036854775809"),
        (b'"memo":"\xff"', "cannot be read whole"),
    ],
)
def test_what_later_stores_cannot_take_is_refused(put: bytes, says: str) -> None:
    """Integers beyond 64 bits and broken UTF-8, in fields that the parser ignores too."""
    with pytest.raises(CorruptLineError) as caught:
        make_line(TRADE[:-1] + b"," + put + b"}")

    assert says in str(caught.value)


def test_largest_integer_and_long_text_pass() -> None:
    """The limit itself is valid; digits in a string or a fraction are no integer."""
    line = make_line(
        TRADE[:-1] + b',"a":18446744073709551615,"b":"99999999999999999999","c":0.12345678901234567890123}'
    )

    assert line.endswith(b'"}\n')


def test_repair_line_has_the_same_identity_and_reads_back() -> None:
    """What REST does not tell is absent; the quantity keeps its exact decimals."""
    trade = Trade("KRW-BTC", 17, 1_705_881_600_005, 0, 0, 58_000_000.0, 124_000, Side.SELL, Change.FALL, Source.REST)

    line = repair_line(trade, ts_received_ns=21, arrival=22)

    assert json.loads(line) == {
        "type": "trade",
        "code": "KRW-BTC",
        "trade_date": "2024-01-22",
        "trade_time": "00:00:00",
        "trade_timestamp": 1_705_881_600_005,
        "trade_price": 58_000_000.0,
        "trade_volume": 0.00124,
        "ask_bid": "ASK",
        "change": "FALL",
        "sequential_id": 17,
        "source": "rest",
        "ts_received": 21,
        "arrival": 22,
        "@timestamp": "2024-01-22T00:00:00.005Z",
        "doc_id": "trade:KRW-BTC:17",
    }
    assert (read_trade(line, "KRW-BTC").qty_e8, read_trade(line, "KRW-BTC").source) == (124_000, "rest")
    assert trade_marker("KRW-BTC") in line
    assert has_doc_id(line.rstrip())
