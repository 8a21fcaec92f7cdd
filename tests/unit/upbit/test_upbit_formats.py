"""Every type of message in every format gives the same typed event, and nothing else ever comes out."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickloop.adapters.common.stored_line import has_doc_id, read_trade
from tickloop.adapters.local.journal_line import line_of
from tickloop.adapters.upbit.events import (
    CANDLES,
    CandleEvent,
    ExchangeErrorEvent,
    OrderbookEvent,
    StatusEvent,
    TickerEvent,
    TradeEvent,
)
from tickloop.adapters.upbit.parse import parse_frame, parse_private_frame
from tickloop.adapters.upbit.private_events import MyAssetEvent, MyOrderEvent
from tickloop.adapters.upbit.simple import default_form, spell_out
from tickloop.errors import CorruptLineError

SEEDED = settings(derandomize=True, deadline=None, max_examples=400)
CAPTURE = Path(__file__).parents[2] / "data" / "upbit-ws-2021" / "frames-simple.jsonl"

TRADE = (
    b'{"type":"trade","code":"KRW-BTC","timestamp":1772600801347,"trade_date":"2026-03-04","trade_time":"05:06:41",'
    b'"trade_timestamp":1772600801291,"trade_price":131251000.0,"trade_volume":0.00124000,"ask_bid":"BID",'
    b'"prev_closing_price":130900000.0,"change":"RISE","change_price":351000.0,"sequential_id":17726008012910000,'
    b'"best_ask_price":131251000,"best_ask_size":0.0399,"best_bid_price":131250000,"best_bid_size":0.118,'
    b'"stream_type":"REALTIME"}',
    b'{"ty":"trade","cd":"KRW-BTC","tms":1772600801347,"td":"2026-03-04","ttm":"05:06:41","ttms":1772600801291,'
    b'"tp":131251000.0,"tv":0.00124000,"ab":"BID","pcp":130900000.0,"c":"RISE","cp":351000.0,"sid":17726008012910000,'
    b'"bap":131251000,"bas":0.0399,"bbp":131250000,"bbs":0.118,"st":"REALTIME"}',
)
TICKER = (
    b'{"type":"ticker","code":"KRW-BTC","trade_price":131251000.0,"prev_closing_price":130900000.0,"change":"RISE",'
    b'"signed_change_rate":0.0026814362,"trade_timestamp":1772600801291,"market_state":"ACTIVE","delisting_date":null,'
    b'"timestamp":1772600801317,"acc_trade_price_24h":190034567890.55,"acc_trade_volume_24h":1450.02,'
    b'"stream_type":"REALTIME"}',
    b'{"ty":"ticker","cd":"KRW-BTC","tp":131251000.0,"pcp":130900000.0,"c":"RISE","scr":0.0026814362,'
    b'"ttms":1772600801291,"ms":"ACTIVE","dd":null,"tms":1772600801317,"atp24h":190034567890.55,"atv24h":1450.02,'
    b'"st":"REALTIME"}',
)
ORDERBOOK = (
    b'{"type":"orderbook","code":"KRW-BTC","timestamp":1772600801302,"total_ask_size":3.1204,"total_bid_size":4.5521,'
    b'"orderbook_units":[{"ask_price":131251000.0,"bid_price":131250000.0,"ask_size":0.0412,"bid_size":0.118}],'
    b'"stream_type":"SNAPSHOT","level":10000}',
    b'{"ty":"orderbook","cd":"KRW-BTC","tms":1772600801302,"tas":3.1204,"tbs":4.5521,'
    b'"obu":[{"ap":131251000.0,"bp":131250000.0,"as":0.0412,"bs":0.118}],"st":"SNAPSHOT","lv":10000}',
)
CANDLE = (
    b'{"type":"candle.1m","code":"KRW-BTC","candle_date_time_utc":"2026-03-04T05:06:00",'
    b'"candle_date_time_kst":"2026-03-04T14:06:00","opening_price":131240000.0,"high_price":131262000.0,'
    b'"low_price":131238000.0,"trade_price":131251000.0,"candle_acc_trade_volume":0.70951128,'
    b'"candle_acc_trade_price":93120455.1278,"timestamp":1772600801317,"stream_type":"REALTIME"}',
    b'{"ty":"candle.1m","cd":"KRW-BTC","cdttmu":"2026-03-04T05:06:00","cdttmk":"2026-03-04T14:06:00",'
    b'"op":131240000.0,"hp":131262000.0,"lp":131238000.0,"tp":131251000.0,"catv":0.70951128,"catp":93120455.1278,'
    b'"tms":1772600801317,"st":"REALTIME"}',
)
MY_ORDER = (
    b'{"type":"myOrder","code":"KRW-BTC","uuid":"6f1c1f0e","ask_bid":"BID","order_type":"limit","state":"trade",'
    b'"trade_uuid":"c0d1b2a3","price":131250000.0,"avg_price":131250000.10,"volume":0.00020000,'
    b'"remaining_volume":0.0,"executed_volume":0.0002,"trades_count":1,"reserved_fee":13.125,"remaining_fee":0.0,'
    b'"paid_fee":13.1250000000000001,"locked":0.0,"executed_funds":26250.0,"time_in_force":null,"trade_fee":13.125,'
    b'"is_maker":true,"identifier":"bot-000017","smp_type":null,"prevented_volume":"0","prevented_locked":0.5,'
    b'"trade_timestamp":1772600802110,"order_timestamp":1772600800000,"timestamp":1772600802131,'
    b'"stream_type":"REALTIME"}',
    b'{"ty":"myOrder","cd":"KRW-BTC","uid":"6f1c1f0e","ab":"BID","ot":"limit","s":"trade","tuid":"c0d1b2a3",'
    b'"p":131250000.0,"ap":131250000.10,"v":0.00020000,"rv":0.0,"ev":0.0002,"tc":1,"rsf":13.125,"rmf":0.0,'
    b'"pf":13.1250000000000001,"l":0.0,"ef":26250.0,"tif":null,"tf":13.125,"im":true,"id":"bot-000017","smpt":null,'
    b'"pv":"0","pl":0.5,"ttms":1772600802110,"otms":1772600800000,"tms":1772600802131,"st":"REALTIME"}',
)
MY_ASSET = (
    b'{"type":"myAsset","asset_uuid":"2f0e4a8c","assets":[{"currency":"KRW","balance":973736.875,"locked":0.0},'
    b'{"currency":"BTC","balance":0.0126,"locked":0.0}],"asset_timestamp":1772600802110,"timestamp":1772600802131,'
    b'"stream_type":"REALTIME"}',
    b'{"ty":"myAsset","astuid":"2f0e4a8c","ast":[{"cu":"KRW","b":973736.875,"l":0.0},{"cu":"BTC","b":0.0126,"l":0.0}],'
    b'"asttms":1772600802110,"tms":1772600802131,"st":"REALTIME"}',
)
PUBLIC = {"trade": TRADE, "ticker": TICKER, "orderbook": ORDERBOOK, "candle": CANDLE}
PRIVATE = {"myOrder": MY_ORDER, "myAsset": MY_ASSET}
EVERY = {**PUBLIC, **PRIVATE}


def forms(pair: tuple[bytes, bytes]) -> list[bytes]:
    """DEFAULT, SIMPLE, JSON_LIST and SIMPLE_LIST."""
    return [*pair, *(b"[" + one + b"]" for one in pair)]


ALL_FORMS = [form for pair in EVERY.values() for form in forms(pair)]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("is_text", [False, True], ids=["binary", "text"])
def test_four_formats_give_the_same_event(name: str, is_text: bool) -> None:
    """As bytes of a binary frame and as the text of a text frame."""
    parse = parse_frame if name in PUBLIC else parse_private_frame
    events = [parse(form.decode() if is_text else form) for form in forms(EVERY[name])]

    assert type(events[0]).__name__ in ("TradeEvent", "TickerEvent", "OrderbookEvent", "Candle1m", "MyOrderEvent", "MyAssetEvent")  # fmt: skip # noqa: E501
    assert events == [events[0]] * 4


@pytest.mark.parametrize("pair", EVERY.values(), ids=EVERY)
def test_short_keys_are_spelled_out_without_touching_a_value(pair: tuple[bytes, bytes]) -> None:
    """A number such as 0.00124000 keeps its zeros; the order of the keys is that of the message."""
    default, simple = pair
    long = msgspec.json.decode(spell_out(simple), type=dict[str, msgspec.Raw])
    expected = msgspec.json.decode(default, type=dict[str, msgspec.Raw])

    assert {name: bytes(value) for name, value in long.items()} == {
        name: bytes(value) for name, value in expected.items()
    }


def test_prices_quantities_and_book_are_those_of_the_message() -> None:
    """Read from short keys."""
    trade, book = parse_frame(TRADE[1]), parse_frame(ORDERBOOK[1])
    ticker = parse_frame(TICKER[1])

    assert isinstance(trade, TradeEvent)
    assert isinstance(book, OrderbookEvent)
    assert isinstance(ticker, TickerEvent)
    assert (trade.trade_volume, trade.sequential_id) == (Decimal("0.00124"), 17_726_008_012_910_000)
    assert (book.orderbook_units[0].ask_price, book.orderbook_units[0].bid_size, book.level) == (
        131_251_000,
        0.118,
        1e4,
    )
    assert (ticker.market_state, ticker.acc_trade_volume_24h) == ("ACTIVE", 1450.02)


def test_market_was_called_mk_in_old_messages() -> None:
    """Samples of 2022 and before."""
    event = parse_frame(TRADE[1].replace(b'"cd"', b'"mk"'))

    assert isinstance(event, TradeEvent)
    assert event.code == "KRW-BTC"


@pytest.mark.parametrize("name", CANDLES.values())
def test_every_unit_of_candles_has_its_type(name: str) -> None:
    """One class a unit, with its type and its start in UTC."""
    event = parse_frame(CANDLE[0].replace(b"candle.1m", name.encode()))

    assert isinstance(event, CandleEvent)
    assert event.type == name
    assert event.start.isoformat() == "2026-03-04T05:06:00+00:00"
    assert len(CANDLES) == 9


def test_money_of_an_order_is_exact() -> None:
    """Digits that a float would lose, numbers and strings alike, and absent values."""
    order = parse_private_frame(MY_ORDER[0])
    waiting = parse_private_frame(
        b'{"type":"myOrder","code":"KRW-BTC","uuid":"u","ask_bid":"BID","order_type":"price","state":"wait",'
        b'"trade_uuid":null,"price":10000,"volume":null,"trade_fee":null,"is_maker":null,"timestamp":1772600802131}'
    )

    assert isinstance(order, MyOrderEvent)
    assert isinstance(waiting, MyOrderEvent)
    assert (order.paid_fee, order.prevented_volume, order.prevented_locked) == (
        Decimal("13.1250000000000001"), Decimal(0), Decimal("0.5")
    )  # fmt: skip
    assert (str(order.volume), order.is_maker, order.time_in_force) == ("0.00020000", True, None)
    assert (waiting.price, waiting.volume, waiting.trade_fee, waiting.is_maker) == (Decimal(10_000), None, None, None)


def test_assets_are_exact() -> None:
    """Each currency that has changed."""
    event = parse_private_frame(MY_ASSET[1])

    assert isinstance(event, MyAssetEvent)
    assert [(one.currency, one.balance) for one in event.assets] == [
        ("KRW", Decimal("973736.875")), ("BTC", Decimal("0.0126"))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b'"price":131250000.0', b'"price":-1', "price = -1 is not an amount"),
        (b'"price":131250000.0', b'"price":"NaN"', "price = NaN is not an amount"),
        (b'"price":131250000.0', b'"price":1e999999', "price = 1E\\+999999 is not an amount"),
        (b'"state":"trade"', b'"state":"lost"', "state = 'lost'"),
    ],
)
def test_order_with_an_impossible_value_is_refused(old: bytes, new: bytes, says: str) -> None:
    """The message names the field and the value."""
    with pytest.raises(CorruptLineError, match=says):
        parse_private_frame(MY_ORDER[0].replace(old, new))


@pytest.mark.parametrize("parse", [parse_frame, parse_private_frame])
def test_status_and_error_are_read_in_every_format(parse) -> None:  # type: ignore[no-untyped-def]
    """The lists wrap them too."""
    for status, error in (
        (b'{"status":"UP"}', b'{"error":{"name":"NO_CODES","message":"m"}}'),
        (b'[{"status":"UP"}]', b'[{"error":{"name":"NO_CODES","message":"m"}}]'),
    ):
        assert parse(status) == StatusEvent("UP")
        assert parse(error) == ExchangeErrorEvent("NO_CODES", "m")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"[]", "is not one of Upbit's"),
        (b"[" + TRADE[0] + b"," + TRADE[0] + b"]", "is not one of Upbit's"),
        (TRADE[1].replace(b'"ty"', b'"code":"KRW-ETH","ty"'), "code: given twice"),
        (TRADE[1].replace(b'"tp":131251000.0', b'"tp":-1'), "trade_price = -1: .* > 0"),
        (TRADE[1].replace(b'"ty":"trade"', b'"ty":["trade"]'), "is not one of Upbit's"),
        (ORDERBOOK[1].replace(b"[{", b"{").replace(b"}]", b"}"), "orderbook_units"),
    ],
)
def test_what_is_no_single_message_is_refused_by_name(raw: bytes, says: str) -> None:
    """An empty array, two messages in one, a field given twice, a value out of range."""
    with pytest.raises(CorruptLineError, match=says):
        parse_frame(raw)


def test_private_message_is_no_market_data() -> None:
    """A balance never reaches the journal."""
    with pytest.raises(CorruptLineError):
        parse_frame(MY_ASSET[0])
    with pytest.raises(CorruptLineError):
        parse_private_frame(TRADE[0])


@SEEDED
@given(st.sampled_from(ALL_FORMS), st.data())
def test_any_damage_to_any_message_gives_an_event_or_our_error(form: bytes, data: st.DataObject) -> None:
    """Cut, overwritten, spliced with a part of another message, at any place."""
    at = data.draw(st.integers(0, len(form)))
    other = data.draw(st.sampled_from(ALL_FORMS))
    begin = data.draw(st.integers(0, len(other)))
    put = data.draw(st.binary(max_size=8) | st.just(other[begin : begin + 40]))
    raw = form[:at] + put + form[at + data.draw(st.integers(0, 40)) :]

    for parse in (parse_frame, parse_private_frame):
        try:
            event = parse(raw)
        except CorruptLineError:
            continue
        assert isinstance(event, msgspec.Struct)


@SEEDED
@given(st.text(alphabet=st.characters(), max_size=60))
def test_any_text_gives_an_event_or_our_error(text: str) -> None:
    """Lone surrogates too, which no bytes can hold."""
    for parse in (parse_frame, parse_private_frame):
        with pytest.raises(CorruptLineError):
            parse(text)


def test_every_captured_message_is_read_and_keeps_its_ids_and_prices() -> None:
    """Real messages of 2021 in SIMPLE format, compared with what plain JSON says."""
    lines = CAPTURE.read_bytes().splitlines()
    trades = books = 0
    for line in lines:
        event, plain = parse_frame(line), msgspec.json.decode(line)
        if isinstance(event, TradeEvent):
            trades += 1
            assert (event.code, event.sequential_id, event.trade_price, float(event.trade_volume)) == (
                plain["cd"], plain["sid"], plain["tp"], plain["tv"]
            )  # fmt: skip
        if isinstance(event, OrderbookEvent):
            books += 1
            assert [unit.ask_price for unit in event.orderbook_units] == [unit["ap"] for unit in plain["obu"]]

    assert (trades, books, len(lines)) == (26, 9, 35)


def test_journal_keeps_short_messages_in_default_form() -> None:
    """Its readers know one form only; the text of the volume is the exchange's."""
    event = parse_frame(TRADE[1])
    assert isinstance(event, TradeEvent)

    line = line_of(TRADE[1], event, 5, 7)

    assert b'"trade_volume":0.00124000' in line
    assert has_doc_id(line.rstrip(b"\n"))
    assert line == line_of(spell_out(TRADE[1]), event, 5, 7)
    read = read_trade(line, "KRW-BTC")
    assert (read.sequential_id, read.trade_volume, read.arrival) == (17_726_008_012_910_000, Decimal("0.00124"), 7)


@pytest.mark.parametrize("pair", PUBLIC.values(), ids=PUBLIC)
def test_default_form_is_the_same_for_all_four(pair: tuple[bytes, bytes]) -> None:
    """And a DEFAULT message is given as it is."""
    default, simple, *lists = (default_form(form) for form in forms(pair))

    assert default is pair[0]
    assert lists == [default, simple]
    assert parse_frame(simple) == parse_frame(default)


def test_candle_line_has_its_own_doc_id() -> None:
    """`TYPE:CODE:TIMESTAMP:crc32`, as for every message that is a state."""
    event = parse_frame(CANDLE[0])
    assert isinstance(event, CandleEvent)

    line = line_of(CANDLE[0], event, 5, 7)

    assert b'"@timestamp":"2026-03-04T05:06:41.317Z"' in line
    assert b'"doc_id":"candle.1m:KRW-BTC:1772600801317:' in line
