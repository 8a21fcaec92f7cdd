"""A journal line is the message's own bytes and four fields of ours."""

import json

import pytest

from tickloop.adapters.local.journal_line import has_doc_id, line_of, read_trade, repair_line, trade_marker
from tickloop.adapters.upbit.events import TickerEvent, TradeEvent
from tickloop.adapters.upbit.parse import parse_frame
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
