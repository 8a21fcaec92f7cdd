"""Public JSON, field for field as Upbit documents it."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import numpy as np
import pytest

from tickloop.domain.market import Change, Side
from tickloop.simulator.prices.book import Book, Level, make_book
from tickloop.simulator.prices.candles import Candles
from tickloop.simulator.prices.days import Extreme
from tickloop.simulator.prices.market import StreamEvent
from tickloop.simulator.prices.tape import SIDES, Tape
from tickloop.simulator.prices.ticker import Ticker
from tickloop.simulator.protocol.formats import Format, frame_bytes
from tickloop.simulator.protocol.wire_rest import (
    candle_objects,
    market_objects,
    orderbook_object,
    ticker_object,
    trade_objects,
)
from tickloop.simulator.protocol.wire_stream import orderbook_frame, ticker_frame, trade_frame

TS = 1_772_600_801_291  # 2026-03-04T05:06:41Z
SENT = 1_772_600_801_347
ID = 17_726_008_012_910_000
DAY = 1_772_582_400_000

TICKER = Ticker(
    market="KRW-BTC",
    state="ACTIVE",
    trade_ts_ms=TS,
    trade_id=ID,
    price=131_251_000.0,
    qty_e8=124_000,
    side=Side.BUY,
    change=Change.RISE,
    prev_close=130_900_000.0,
    open=130_900_000.0,
    high=131_900_000.0,
    low=130_210_000.0,
    notional=61_200_345_678.12,
    qty_e8_day=46_671_000_000,
    buy_qty_e8_day=24_631_000_000,
    notional_24h=190_034_567_890.55,
    qty_e8_24h=145_002_000_000,
    year=Extreme(179_000_000.0, DAY - 146 * 86_400_000, 88_000_000.0, DAY - 21 * 86_400_000),
    end_day_ms=DAY + 86_400_000,
)
EVENT = StreamEvent(
    TICKER, Level(Decimal(131_251_000), Decimal("0.0399")), Level(Decimal(131_250_000), Decimal("0.118"))
)
BOOK = Book(
    "KRW-BTC",
    TS,
    (Level(Decimal(131_251_000), Decimal("0.0412")), Level(Decimal(131_252_000), Decimal("0.1"))),
    (Level(Decimal(131_250_000), Decimal("0.118")),),
)


def test_trade_frame_is_the_documented_one_to_the_byte() -> None:
    """Order of the fields, numbers with and without a point, absolute change."""
    frame = trade_frame(EVENT, SENT, "REALTIME")

    assert frame_bytes(frame) == (
        b'{"type":"trade","code":"KRW-BTC","timestamp":1772600801347,"trade_date":"2026-03-04","trade_time":"05:06:41",'
        b'"trade_timestamp":1772600801291,"trade_price":131251000.0,"trade_volume":0.00124,"ask_bid":"BID",'
        b'"prev_closing_price":130900000.0,"change":"RISE","change_price":351000.0,"sequential_id":17726008012910000,'
        b'"best_ask_price":131251000,"best_ask_size":0.0399,"best_bid_price":131250000,"best_bid_size":0.118,'
        b'"stream_type":"REALTIME"}'
    )
    assert frame_bytes(frame, "SIMPLE_LIST") == (
        b'[{"ty":"trade","cd":"KRW-BTC","tms":1772600801347,"td":"2026-03-04","ttm":"05:06:41","ttms":1772600801291,'
        b'"tp":131251000.0,"tv":0.00124,"ab":"BID","pcp":130900000.0,"c":"RISE","cp":351000.0,"sid":17726008012910000,'
        b'"bap":131251000,"bas":0.0399,"bbp":131250000,"bbs":0.118,"st":"REALTIME"}]'
    )


def test_ticker_frame_is_the_documented_one_to_the_byte() -> None:
    """Volumes of sellers and buyers add up to the day's."""
    assert frame_bytes(ticker_frame(TICKER, SENT, "REALTIME")) == (
        b'{"type":"ticker","code":"KRW-BTC","opening_price":130900000.0,"high_price":131900000.0,"low_price":130210000.0,'
        b'"trade_price":131251000.0,"prev_closing_price":130900000.0,"acc_trade_price":61200345678.12,"change":"RISE",'
        b'"change_price":351000.0,"signed_change_price":351000.0,"change_rate":0.0026814362,'
        b'"signed_change_rate":0.0026814362,"ask_bid":"BID","trade_volume":0.00124,"acc_trade_volume":466.71,'
        b'"trade_date":"20260304","trade_time":"050641","trade_timestamp":1772600801291,"acc_ask_volume":220.4,'
        b'"acc_bid_volume":246.31,"highest_52_week_price":179000000.0,"highest_52_week_date":"2025-10-09",'
        b'"lowest_52_week_price":88000000.0,"lowest_52_week_date":"2026-02-11","market_state":"ACTIVE",'
        b'"is_trading_suspended":false,"delisting_date":null,"market_warning":"NONE","timestamp":1772600801347,'
        b'"acc_trade_price_24h":190034567890.55,"acc_trade_volume_24h":1450.02,"stream_type":"REALTIME"}'
    )


def test_rest_ticker_is_the_documented_one_to_the_byte() -> None:
    """With the times of Korea, which only REST has."""
    assert msgspec.json.encode([ticker_object(TICKER, 1_772_600_801_317)]) == (
        b'[{"market":"KRW-BTC","trade_date":"20260304","trade_time":"050641","trade_date_kst":"20260304",'
        b'"trade_time_kst":"140641","trade_timestamp":1772600801291,"opening_price":130900000.0,"high_price":131900000.0,'
        b'"low_price":130210000.0,"trade_price":131251000.0,"prev_closing_price":130900000.0,"change":"RISE",'
        b'"change_price":351000.0,"change_rate":0.0026814362,"signed_change_price":351000.0,'
        b'"signed_change_rate":0.0026814362,"trade_volume":0.00124,"acc_trade_price":61200345678.12,'
        b'"acc_trade_price_24h":190034567890.55,"acc_trade_volume":466.71,"acc_trade_volume_24h":1450.02,'
        b'"highest_52_week_price":179000000.0,"highest_52_week_date":"2025-10-09","lowest_52_week_price":88000000.0,'
        b'"lowest_52_week_date":"2026-02-11","timestamp":1772600801317}]'
    )


def test_orderbook_is_whole_and_pads_a_thin_side_with_zeros() -> None:
    """REST and stream carry the same units; the sums are of the levels shown."""
    units = [
        {"ask_price": 131_251_000.0, "bid_price": 131_250_000.0, "ask_size": 0.0412, "bid_size": 0.118},
        {"ask_price": 131_252_000.0, "bid_price": 0.0, "ask_size": 0.1, "bid_size": 0.0},
    ]

    frame, entry = orderbook_frame(BOOK, "SNAPSHOT"), orderbook_object(BOOK, 1)

    assert list(frame) == [
        "type",
        "code",
        "timestamp",
        "total_ask_size",
        "total_bid_size",
        "orderbook_units",
        "stream_type",
        "level",
    ]
    assert (frame["orderbook_units"], frame["total_ask_size"], frame["total_bid_size"]) == (units, 0.1412, 0.118)
    assert (entry["orderbook_units"], entry["total_ask_size"]) == (units[:1], 0.0412)
    short = msgspec.json.decode(frame_bytes(frame, "SIMPLE"))
    assert short["obu"][0] == {"ap": 131_251_000.0, "bp": 131_250_000.0, "as": 0.0412, "bs": 0.118}


@pytest.mark.parametrize(("form", "is_list"), [("DEFAULT", False), ("JSON_LIST", True), ("SIMPLE_LIST", True)])
def test_list_formats_wrap_one_message(form: Format, is_list: bool) -> None:
    """Every message is an array that holds the object."""
    decoded = msgspec.json.decode(frame_bytes(ticker_frame(TICKER, SENT, "SNAPSHOT"), form))

    assert isinstance(decoded, list) == is_list


def test_candle_object_is_the_documented_one_to_the_byte() -> None:
    """Naive times of UTC and Korea; the exchange's order of fields."""
    ints = [np.array([value]) for value in (1_772_600_760_000, 70_951_128, 1_772_600_801_317)]
    floats = [
        np.array([value]) for value in (131_240_000.0, 131_262_000.0, 131_238_000.0, 131_251_000.0, 93_120_455.1278)
    ]

    objects = candle_objects("KRW-BTC", Candles(ints[0], *floats, ints[1], ints[2]), 1)

    assert msgspec.json.encode(objects) == (
        b'[{"market":"KRW-BTC","candle_date_time_utc":"2026-03-04T05:06:00","candle_date_time_kst":"2026-03-04T14:06:00",'
        b'"opening_price":131240000.0,"high_price":131262000.0,"low_price":131238000.0,"trade_price":131251000.0,'
        b'"timestamp":1772600801317,"candle_acc_trade_price":93120455.1278,"candle_acc_trade_volume":0.70951128,"unit":1}]'
    )


def test_trade_object_has_a_signed_change_and_an_exact_quantity() -> None:
    """Also past 2^53 units, where only whole-number division gives the recorded number back."""
    tape = Tape(
        "KRW-BTT",
        np.array([TS, TS]),
        np.array([ID, ID + 1]),
        np.array([0.3, 0.1]),
        np.array([1_035_564_782_738_891_000, 1]),
        np.array([SIDES.index(Side.SELL)] * 2, dtype=np.uint8),
        np.array([2, 0], dtype=np.uint8),
        np.array([0.1, 0.3]),
    )

    first, second = trade_objects(tape)

    assert first == {
        "market": "KRW-BTT",
        "trade_date_utc": "2026-03-04",
        "trade_time_utc": "05:06:41",
        "timestamp": TS,
        "trade_price": 0.3,
        "trade_volume": 10_355_647_827.38891,
        "prev_closing_price": 0.1,
        "change_price": 0.2,
        "ask_bid": "ASK",
        "sequential_id": ID,
    }
    assert (second["change_price"], second["trade_volume"]) == (-0.2, 1e-08)


def test_market_list_gives_details_only_when_asked() -> None:
    """Names are known for the two demo markets."""
    assert market_objects(["KRW-BTC", "KRW-XRP"]) == [
        {"market": "KRW-BTC", "korean_name": "비트코인", "english_name": "Bitcoin"},
        {"market": "KRW-XRP", "korean_name": "XRP", "english_name": "XRP"},
    ]
    assert market_objects(["KRW-BTC"], is_details=True)[0]["market_event"]["warning"] is False


def test_book_near_a_new_price_unit_and_near_zero_keeps_to_the_ladder() -> None:
    """Above 1,000,000 KRW steps of 1,000 (2026), below of 500; no bid at 0."""
    upper = make_book("KRW-XYZ", 999_500.0, ID, TS, seed=1, depth=3)
    lowest = make_book("KRW-XYZ", 0.00000002, ID, TS, seed=1, depth=3)

    assert [int(ask.price) for ask in upper.asks] == [1_000_000, 1_001_000, 1_002_000]
    assert [int(bid.price) for bid in upper.bids] == [999_000, 998_500, 998_000]
    assert [bid.price for bid in lowest.bids] == [Decimal("1E-8")]
