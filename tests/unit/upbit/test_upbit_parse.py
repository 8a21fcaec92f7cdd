"""Bytes of a message become one typed event, or an error that says what was wrong."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickloop.adapters.upbit.events import (
    ExchangeErrorEvent,
    OrderbookEvent,
    StatusEvent,
    TickerEvent,
    TradeEvent,
    check_code,
    qty_e8_of,
)
from tickloop.adapters.upbit.parse import parse_frame, parse_usual, trade_of
from tickloop.domain.market import Change, Side, Trade
from tickloop.errors import CorruptLineError

SEEDED = settings(derandomize=True, deadline=None)

TRADE = (
    b'{"type":"trade","code":"KRW-BTC","timestamp":1772600801347,"trade_date":"2026-03-04","trade_time":"05:06:41",'
    b'"trade_timestamp":1772600801291,"trade_price":131251000.0,"trade_volume":0.00124,"ask_bid":"BID",'
    b'"prev_closing_price":130900000.0,"change":"RISE","change_price":351000.0,"sequential_id":17726008012910000,'
    b'"best_ask_price":131251000,"best_ask_size":0.0399,"stream_type":"REALTIME","new_field":{"x":[1]}}'
)
TICKER = (
    b'{"type":"ticker","code":"KRW-ETH","trade_price":4500000.0,"change":"FALL","trade_timestamp":1772600801291,'
    b'"timestamp":1772600801317,"delisting_date":null,"stream_type":"SNAPSHOT"}'
)
ORDERBOOK = (
    b'{"type":"orderbook","code":"KRW-BTC","timestamp":1772600801302,"total_ask_size":3.1204,"total_bid_size":4.5521,'
    b'"orderbook_units":[{"ask_price":131251000.0,"bid_price":131250000.0,"ask_size":0.0412,"bid_size":0.118}],'
    b'"stream_type":"SNAPSHOT","level":0}'
)


def test_trade_message_becomes_a_trade_of_the_taker_side() -> None:
    """BID is a buyer who hit an ask; the quantity comes from the text, the event time from `trade_timestamp`."""
    event = parse_frame(TRADE)
    assert isinstance(event, TradeEvent)

    assert trade_of(event, ts_received_ns=5, arrival=7) == Trade(
        market="KRW-BTC",
        trade_id=17_726_008_012_910_000,
        ts_event_ms=1_772_600_801_291,
        ts_received_ns=5,
        arrival=7,
        price=131_251_000.0,
        qty_e8=124_000,
        side=Side.BUY,
        change=Change.RISE,
    )


def test_other_messages_have_their_own_types() -> None:
    """Ticker, orderbook, status and error are told apart; a status or error is never data."""
    ticker, book = parse_frame(TICKER), parse_frame(ORDERBOOK)
    error = parse_frame(b'{"error":{"name":"NO_CODES","message":"codes"}}')

    assert isinstance(ticker, TickerEvent)
    assert (ticker.code, ticker.trade_price) == ("KRW-ETH", 4_500_000.0)
    assert isinstance(book, OrderbookEvent)
    assert book.orderbook_units[0].bid_size == 0.118
    assert parse_frame(b'{"status":"UP"}') == StatusEvent("UP")
    assert error == ExchangeErrorEvent("NO_CODES", "codes")


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        (b"131251000.0,", b"-1.0,", ("trade_price", "-1.0", "> 0")),
        (b"131251000.0,", b"0,", ("trade_price", "0", "> 0")),
        (b"131251000.0,", b"NaN,", ("not one of Upbit's", "malformed")),
        (b"131251000.0,", b"1e999,", ("trade_price", "out of range")),
        (b"0.00124", b"0.000000001", ("more than 8 decimals",)),
        (b"0.00124", b"1e999999", ("is not a number above 0",)),
        (b'"BID"', b'"BUY"', ("ask_bid", "'BUY'")),
        (b'"RISE"', b"null", ("change", "None")),
        (b"0.00124", b"0.000000001", ("trade_volume", "1e-09")),
        (b"0.00124", b'"NaN"', ("trade_volume", "is not a number above 0")),
        (b"0.00124", b"92233720368.54775808", ("trade_volume", "below 92233720369")),
        (b"KRW-BTC", b"btc", ("code", "'btc'", "matching regex")),
        (b"KRW-BTC", b"KRW-BTC\\n", ("code", "matching regex")),
        (b"17726008012910000", b"9223372036854775808", ("sequential_id", "9223372036854775808")),
        (b"1772600801291", b"-5", ("trade_timestamp", "-5")),
        (b'"type":"trade"', b'"type":"candle.2s"', ("type", "candle.2s")),
        (b'"type":"trade"', b'"type":"candle.1s"', ("candle_date_time_utc",)),
        (b'"change":"RISE",', b'"status":"UP",', ("change",)),
    ],
)
def test_wrong_value_is_named_with_what_would_be_valid(old: bytes, new: bytes, names: tuple[str, ...]) -> None:
    """The person with the failure reads field, value and rule."""
    with pytest.raises(CorruptLineError) as caught:
        parse_frame(TRADE.replace(old, new, 1))

    assert [name for name in names if name not in str(caught.value)] == []


@SEEDED
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_give_an_event_or_our_error(raw: bytes) -> None:
    """Nothing that a socket delivers raises anything else."""
    _parses_or_refuses(raw)


@SEEDED
@given(st.integers(0, len(TRADE) - 1), st.binary(max_size=6), st.integers(0, 30))
def test_any_damage_to_a_message_gives_an_event_or_our_error(at: int, put: bytes, cut: int) -> None:
    """Damaged real messages reach deeper than random bytes."""
    _parses_or_refuses(TRADE[:at] + put + TRADE[at + cut :])


@pytest.mark.parametrize("raw", [TRADE, TICKER, ORDERBOOK])
def test_code_is_checked_in_every_type_of_message(raw: bytes) -> None:
    """Also when thousands of right ones were seen before."""
    for number in range(5_000):
        check_code(f"KRW-N{number}")

    for wrong in (b"KRW", b"KRW-btc", b"KRW-BTC ", b"", b"-BTC", b"KRW-" + b"X" * 21, b"KRW-\xea\xb0\x80"):
        with pytest.raises(CorruptLineError, match="message field code = "):
            parse_frame(re.sub(rb'"code":"[^"]*"', b'"code":"%b"' % wrong, raw))

    assert parse_frame(raw) == parse_frame(raw)


def test_usual_messages_are_read_together_and_others_not() -> None:
    """One that is wrong or no data leaves it to the reading of each."""
    usual = [TRADE, TICKER, ORDERBOOK]

    assert parse_usual(usual) == [parse_frame(raw) for raw in usual]
    for other in (b'{"status":"UP"}', b"", TRADE.replace(b"BID", b"BUY")):
        assert parse_usual([*usual, other]) is None


def test_deep_nesting_is_refused() -> None:
    """A hostile message does not end the process."""
    with pytest.raises(CorruptLineError):
        parse_frame(b'{"type":"trade","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@SEEDED
@given(st.integers(1, 2**63 - 1))
def test_quantity_is_read_without_loss(qty_e8: int) -> None:
    """Every amount that 8 decimals can write comes back exactly."""
    text = f"{qty_e8 // 10**8}.{qty_e8 % 10**8:08d}"

    assert qty_e8_of(Decimal(text)) == qty_e8


def test_real_trades_of_2021_are_read() -> None:
    """Recorded in SIMPLE format; numbers such as 43.20000000 stay as the exchange wrote them."""
    folder = Path(__file__).parents[2] / "data" / "upbit-ws-2021"
    events = [parse_frame(line) for line in (folder / "trades-simple.jsonl").read_bytes().splitlines()]

    first = events[0]
    assert len(events) == 12
    assert isinstance(first, TradeEvent)
    assert (first.code, first.trade_price, first.qty_e8) == ("KRW-IQ", 41.2, 1_211_168_782_622)
    assert (first.trade_timestamp, first.sequential_id) == (1_617_646_620_000, 1_617_646_620_000_000)


def _parses_or_refuses(raw: bytes) -> None:
    try:
        event = parse_frame(raw)
    except CorruptLineError:
        return
    if isinstance(event, TradeEvent):
        assert event.trade_price > 0
        assert event.qty_e8 > 0
