"""The request array of the WebSocket protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickloop.simulator.subscription import StreamError, Want, parse_request

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


@given(st.one_of(st.binary(max_size=200), st.recursive(_VALUES, _nested, max_leaves=12).map(json.dumps)))
def test_any_message_is_a_request_or_an_error_of_the_protocol(text: bytes | str) -> None:
    """Nothing that a client sends ends the connection's task."""
    try:
        request = parse_request(text)
    except StreamError:
        return
    assert request.ticket
