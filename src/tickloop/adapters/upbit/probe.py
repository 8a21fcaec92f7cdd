"""One question to the exchange, asked once and soon answered: is it there, and what time does it have."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from tickloop.adapters.upbit.answers import decode
from tickloop.adapters.upbit.errors import error_of
from tickloop.adapters.upbit.quotation_rows import MarketRow
from tickloop.domain.health import ExchangeAnswer
from tickloop.errors import RetryableError
from tickloop.ports import Clock

_PATH = "/v1/market/all"
_TIMEOUT = httpx.Timeout(5.0, connect=3.0)


def ask_exchange(rest_url: str, clock: Clock, transport: httpx.BaseTransport | None = None) -> ExchangeAnswer:
    """Read the list of markets, without a retry.

    Raises:
        RetryableError: no answer within five seconds.
        ExchangeError: it answered, but not with its markets.
    """
    with httpx.Client(base_url=rest_url, timeout=_TIMEOUT, transport=transport, trust_env=False) as client:
        sent_ms = clock.now_ms()
        try:
            answer = client.get(_PATH)
        except httpx.TransportError as exc:
            raise RetryableError(f"no answer to GET {_PATH} from {rest_url}: {exc!r}") from exc
        received_ms = clock.now_ms()
    if not answer.is_success:
        raise error_of(answer.status_code, answer.content, answer.headers)
    markets = tuple(row.market for row in decode(answer.content, list[MarketRow], "market/all"))
    return ExchangeAnswer(sent_ms, received_ms, _date_ms(answer.headers.get("Date")), markets)


def _date_ms(text: str | None) -> int | None:
    try:
        moment: datetime = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) * 1000
