"""One question to the exchange for `tickloop doctor`: its markets and its time, or why not."""

from __future__ import annotations

import httpx
import pytest

from fakes import START_MS, FixedClock
from tickloop.adapters.upbit.probe import ask_exchange
from tickloop.errors import ExchangeError, RetryableError

MARKETS = b'[{"market":"KRW-BTC","korean_name":"-","english_name":"Bitcoin"}]'


def asked(answer: httpx.Response | Exception, took_ms: int = 0) -> object:
    clock = FixedClock()
    requests: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        clock.advance(took_ms)
        if isinstance(answer, Exception):
            raise answer
        return answer

    try:
        return ask_exchange("http://exchange", clock, httpx.MockTransport(handle))
    finally:
        assert [request.url.path for request in requests] == ["/v1/market/all"]


def test_markets_and_time_are_read() -> None:
    """With our own clock before and after."""
    found = asked(httpx.Response(200, content=MARKETS, headers={"Date": "Mon, 22 Jan 2024 00:00:03 GMT"}), took_ms=250)

    assert (found.sent_ms, found.received_ms) == (START_MS, START_MS + 250)
    assert (found.date_ms, found.markets) == (START_MS + 3_000, ("KRW-BTC",))


@pytest.mark.parametrize("date", [None, "yesterday", ""])
def test_a_date_that_cannot_be_read_is_none(date: str | None) -> None:
    """Skew then cannot be told."""
    headers = {} if date is None else {"Date": date}

    assert asked(httpx.Response(200, content=MARKETS, headers=headers)).date_ms is None


def test_no_answer_is_not_asked_for_again() -> None:
    """A doctor says soon that nobody is at home."""
    with pytest.raises(RetryableError, match="no answer to GET /v1/market/all from http://exchange"):
        asked(httpx.ConnectError("refused"))


@pytest.mark.parametrize("answer", [httpx.Response(500, content=b"oops"), httpx.Response(429, content=b"Too many")])
def test_a_refusal_is_an_error_of_the_exchange(answer: httpx.Response) -> None:
    """It is there, but does not serve."""
    with pytest.raises(ExchangeError):
        asked(answer)
