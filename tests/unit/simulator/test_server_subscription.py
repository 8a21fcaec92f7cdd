"""The request array of the WebSocket protocol."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickloop.simulator.protocol.subscription import ALL, CANDLES, StreamError, Want, listing_object, parse_request

_WORDS = st.sampled_from(["t", "trade", "orderbook", "KRW-BTC", "KRW-BTC.7", "SIMPLE", "LIST_SUBSCRIPTIONS"])
_NAMES = st.sampled_from(["ticket", "type", "codes", "format", "method", "level", "is_only_snapshot"])
_VALUES = st.one_of(_WORDS, st.none(), st.booleans(), st.integers())


def _nested(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(values), st.dictionaries(_NAMES, values))


def test_request_of_each_known_client_is_read() -> None:
    """Flags in both spellings, one object per symbol, order book codes with a depth."""
    text = (
        '[{"ticket":"c-1"},{"type":"trade","codes":["KRW-BTC"],"is_only_realtime":true},'
        '{"type":"trade","codes":["KRW-ETH"],"isOnlyRealtime":true},{"type":"ticker","codes":["KRW-BTC"],'
        '"isOnlySnapshot":true},{"type":"orderbook","codes":["KRW-BTC.15","KRW-ETH"]},{"format":"SIMPLE"}]'
    )

    request = parse_request(text)

    assert (request.ticket, request.form) == ("c-1", "SIMPLE")
    assert request.wants == (
        Want("trade", "KRW-BTC", has_snapshot=False),
        Want("trade", "KRW-ETH", has_snapshot=False),
        Want("ticker", "KRW-BTC", has_realtime=False),
        Want("orderbook", "KRW-BTC", depth=15),
        Want("orderbook", "KRW-ETH"),
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hello", "WRONG_FORMAT"),
        ('{"ticket":"t"}', "WRONG_FORMAT"),
        (b"\xff\xfe", "WRONG_FORMAT"),
        ('[{"ticket":"t"},{"type":"trade","codes":"KRW-BTC"}]', "WRONG_FORMAT"),
        ('[{"type":"trade","codes":["KRW-BTC"]}]', "NO_TICKET"),
        ('[{"ticket":"t"}]', "NO_TYPE"),
        ('[{"ticket":"t"},{"type":"trade"}]', "NO_CODES"),
        ('[{"ticket":"t"},{"type":"trade","codes":[]}]', "NO_CODES"),
        ('[{"ticket":"t"},{"type":"trades","codes":["KRW-BTC"]}]', "INVALID_PARAM"),
        ('[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC.7"]}]', "INVALID_PARAM"),
        ('[{"ticket":"t"},{"type":"trade","codes":["KRW-BTC"]},{"format":"XML"}]', "INVALID_PARAM"),
    ],
)
def test_request_that_cannot_be_read_has_the_name_of_its_fault(text: str | bytes, name: str) -> None:
    """Clients branch on the name."""
    with pytest.raises(StreamError) as caught:
        parse_request(text)

    assert caught.value.body["error"]["name"] == name


def test_level_of_a_book_is_read_as_a_number_or_a_text() -> None:
    """REST lists supported levels as texts; a request sends either."""
    levels = ["10000", 10000, 0.1, "0.1"]
    text = json.dumps(
        [{"ticket": "t"}, *({"type": "orderbook", "codes": ["KRW-BTC.5"], "level": one} for one in levels)]
    )

    wants = parse_request(text).wants

    assert [want.level for want in wants] == [Decimal(10000), Decimal(10000), Decimal("0.1"), Decimal("0.1")]
    assert {want.depth for want in wants} == {5}


@pytest.mark.parametrize("kind", CANDLES)
def test_candles_of_seconds_and_of_every_minute_unit_are_streams(kind: str) -> None:
    request = parse_request(json.dumps([{"ticket": "t"}, {"type": kind, "codes": ["KRW-BTC"]}]))

    assert request.wants == (Want(kind, "KRW-BTC"),)


def test_private_streams_are_of_all_markets_unless_orders_name_some() -> None:
    """Codes that are missing, null or empty mean all; there is no snapshot of what only tells of changes."""
    parts = [
        {"type": "myOrder"},
        {"type": "myOrder", "codes": []},
        {"type": "myOrder", "codes": None},
        {"type": "myAsset"},
    ]
    everything = parse_request(json.dumps([{"ticket": "t"}, *parts]), is_private=True)
    some = parse_request('[{"ticket":"t"},{"type":"myOrder","codes":["KRW-BTC","KRW-ETH"]}]', is_private=True)

    assert {(want.type, want.code) for want in everything.wants} == {("myOrder", ALL), ("myAsset", ALL)}
    assert [want.code for want in some.wants] == ["KRW-BTC", "KRW-ETH"]
    assert not any(want.has_snapshot for want in (*everything.wants, *some.wants))


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ({"type": "myAsset", "codes": ["KRW-BTC"]}, "WRONG_FORMAT"),
        ({"type": "myAsset", "codes": []}, "WRONG_FORMAT"),
        ({"type": "myOrder", "codes": "KRW-BTC"}, "WRONG_FORMAT"),
        ({"type": "trade", "codes": ["KRW-BTC"]}, "INVALID_PARAM"),
        ({"type": "candle.1s", "codes": ["KRW-BTC"]}, "INVALID_PARAM"),
    ],
)
def test_private_request_that_cannot_be_read_has_the_name_of_its_fault(part: dict[str, Any], name: str) -> None:
    """The exchange's page says so of myAsset with codes; that public types are refused here is our choice."""
    with pytest.raises(StreamError) as caught:
        parse_request(json.dumps([{"ticket": "t"}, part]), is_private=True)

    assert caught.value.body["error"]["name"] == name


@pytest.mark.parametrize("kind", ["myOrder", "myAsset", "candle.2m", "announcement"])
def test_type_that_the_public_socket_does_not_offer_is_refused(kind: str) -> None:
    with pytest.raises(StreamError) as caught:
        parse_request(json.dumps([{"ticket": "t"}, {"type": kind, "codes": ["KRW-BTC"]}]))

    assert caught.value.body["error"]["name"] == "INVALID_PARAM"


def test_list_of_subscriptions_is_told_in_the_format_of_the_question() -> None:
    """Source: Upbit developer centre, WebSocket, list of subscriptions."""
    request = parse_request(
        '[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC"],"is_only_realtime":true},'
        '{"type":"orderbook","codes":["KRW-BTC.5"]}]'
    )
    long = {
        "method": "LIST_SUBSCRIPTIONS",
        "result": [
            {"type": "ticker", "codes": ["KRW-BTC"]},
            {"type": "orderbook", "codes": ["KRW-BTC.5"], "level": 0},
        ],
        "ticket": "q",
    }
    short = {
        "mthd": "LIST_SUBSCRIPTIONS",
        "rslt": [{"ty": "ticker", "cds": ["KRW-BTC"]}, {"ty": "orderbook", "cds": ["KRW-BTC.5"], "lv": 0}],
        "tckt": "q",
    }

    assert listing_object("q", request.listing, "DEFAULT") == long
    assert listing_object("q", request.listing, "JSON_LIST") == [long]
    assert listing_object("q", request.listing, "SIMPLE") == short
    assert listing_object("q", request.listing, "SIMPLE_LIST") == [short]


@given(st.one_of(st.binary(max_size=200), st.recursive(_VALUES, _nested, max_leaves=12).map(json.dumps)))
def test_any_message_is_a_request_or_an_error_of_the_protocol(text: bytes | str) -> None:
    """Nothing that a client sends ends the connection's task."""
    for is_private in (False, True):
        try:
            request = parse_request(text, is_private=is_private)
        except StreamError:
            continue
        assert request.ticket
        json.dumps(listing_object("q", request.listing, "SIMPLE"))
