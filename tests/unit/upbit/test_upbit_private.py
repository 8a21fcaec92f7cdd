"""Private endpoints: what goes out once goes out once, and orders of long ago are found in spans of a week."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from fakes import START_MS, FixedClock
from tickloop.adapters.local.clock import SystemClock
from tickloop.adapters.upbit.auth import Credentials
from tickloop.adapters.upbit.orders import NewOrder, Replacement
from tickloop.adapters.upbit.private import CLOSED_SPAN_MS, MOST_CLOSED, UpbitPrivate
from tickloop.domain.market import Side
from tickloop.domain.window import DAY_MS
from tickloop.errors import ExchangeError, RejectedError, RetryableError, UnknownOutcomeError, UsageError
from tickloop.ports import Clock
from upbit_fakes import SECRET, FakeAccount, FastClock, listening, refusal

ORDER = NewOrder("KRW-BTC", Side.BUY, "limit", Decimal(50_000_000), Decimal("0.001"), identifier="tl-1")


class Watching:
    """An exchange that says what `answer` says, and keeps method, path and token of every request."""

    def __init__(self, answer: web.Response | None = None) -> None:
        self.answer = answer
        self.seen: list[tuple[str, str]] = []
        self.tokens: list[str] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/accounts", self._accounts)
        app.router.add_route("*", "/{path:.*}", self._other)
        return app

    async def _accounts(self, _request: web.Request) -> web.Response:
        return web.json_response([])

    async def _other(self, request: web.Request) -> web.Response:
        self.seen.append((request.method, request.path))
        self.tokens.append(request.headers["Authorization"])
        if self.answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(status=self.answer.status, body=self.answer.body, headers=self.answer.headers)


@asynccontextmanager
async def opened(app: web.Application, clock: Clock | None = None) -> AsyncIterator[UpbitPrivate]:
    credentials = Credentials("access", SECRET)
    async with listening(app) as url, UpbitPrivate(url, credentials, clock or SystemClock()) as account:
        yield account


async def test_nothing_that_changes_something_is_repeated_on_a_stale_connection() -> None:
    """The HTTP library would send a DELETE again, with the same token."""
    exchange = Watching()
    async with opened(exchange.app()) as account:
        for change in (
            lambda: account.place(ORDER),
            lambda: account.test(ORDER),
            lambda: account.cancel(uuid="u"),
            lambda: account.cancel_named(uuids=["u"]),
            lambda: account.cancel_open(),
            lambda: account.cancel_and_new(Replacement("limit", Decimal(1)), uuid="u"),
        ):
            await account.accounts()  # the connection has been used
            with pytest.raises(UnknownOutcomeError, match="do not send it again"):
                await change()

    assert Counter(exchange.seen) == {
        ("POST", "/v1/orders"): 1,
        ("POST", "/v1/orders/test"): 1,
        ("DELETE", "/v1/order"): 1,
        ("DELETE", "/v1/orders/uuids"): 1,
        ("DELETE", "/v1/orders/open"): 1,
        ("POST", "/v1/orders/cancel_and_new"): 1,
    }


async def test_every_try_of_a_read_has_a_token_of_its_own() -> None:
    """The exchange takes a nonce once, also when its answer was lost."""
    exchange = Watching()
    async with opened(exchange.app()) as account:
        await account.accounts()
        with pytest.raises(RetryableError):
            await account.chance("KRW-BTC")

    assert len(exchange.tokens) == len(set(exchange.tokens)) == 4


async def test_order_is_not_sent_late_out_of_a_lock_out() -> None:
    """418 for a minute: the next order is refused at once, and a read is told how long to wait."""
    exchange = Watching(web.Response(status=418, text="blocked", headers={"Retry-After": "60"}))
    clock = FixedClock()
    async with opened(exchange.app(), clock) as account:
        with pytest.raises(RejectedError, match="too_many_requests"):
            await account.place(ORDER)
        with pytest.raises(RejectedError, match=r"order tl-1 would wait 60\.0 s for its turn; nothing was sent"):
            await account.place(ORDER)
        with pytest.raises(RejectedError, match="too_many_requests"):
            await account.cancel(uuid="u")
        with pytest.raises(RetryableError, match="would wait 60 s") as caught:
            await account.accounts()

    assert exchange.seen == [("POST", "/v1/orders"), ("DELETE", "/v1/order")]
    assert caught.value.retry_after_s == 60.0


async def test_read_over_the_limit_is_repeated_when_it_may_be() -> None:
    """Its own account answers 429 twice, then as usual."""
    refusals = [refusal(429, "too_many_requests"), web.Response(status=429, text="Too many API requests.")]

    async def answer(_request: web.Request) -> web.Response:
        return refusals.pop() if refusals else web.json_response([])

    app = web.Application()
    app.router.add_get("/v1/accounts", answer)
    async with opened(app, FastClock()) as account:
        assert await account.accounts() == []

    assert refusals == []


# --- ended orders -----------------------------------------------------------------------------------------------

KST = timezone(timedelta(hours=9))


class History:
    """Ended orders, by the second in which they were made; answers as the exchange does: spans, newest first."""

    def __init__(self, made_ms: list[int]) -> None:
        self.orders = [(at - at % 1_000, f"order-{number}") for number, at in enumerate(made_ms)]
        self.asked: list[tuple[int, int]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/orders/closed", self._closed)
        return app

    async def _closed(self, request: web.Request) -> web.Response:
        assert request.query_string.startswith("states[]=done&states[]=cancel&start_time=")
        start_ms, end_ms = int(request.query["start_time"]), int(request.query["end_time"])
        self.asked.append((start_ms, end_ms))
        if end_ms - start_ms > CLOSED_SPAN_MS:
            return refusal(400, "invalid_parameter")
        # Without either end: whether they belong to a span is not documented.
        found = sorted((one for one in self.orders if start_ms < one[0] < end_ms), reverse=True)
        return web.json_response([self._row(*one) for one in found[: int(request.query["limit"])]])

    def _row(self, made_ms: int, uuid: str) -> dict[str, Any]:
        made = datetime.fromtimestamp(made_ms / 1_000, UTC).astimezone(KST)
        return {
            "uuid": uuid,
            "market": "KRW-BTC",
            "side": "bid",
            "state": "done",
            "executed_volume": "1",
            "paid_fee": "0",
            "created_at": made.isoformat(timespec="seconds"),
        }


async def test_closed_orders_of_a_month_come_once_each_over_spans_and_full_answers() -> None:
    """One at the edge of a span, and a day with more than one answer holds."""
    busy_ms = START_MS + 10 * DAY_MS
    made = [START_MS + 1_000, START_MS + 30 * DAY_MS - CLOSED_SPAN_MS, START_MS + 20 * DAY_MS]
    made += [busy_ms + number * 333 for number in range(2_500)]
    history = History(made)
    async with opened(history.app(), FastClock()) as account:
        found = await account.orders_closed_between(START_MS, START_MS + 30 * DAY_MS)

    assert sorted(row.uuid for row in found) == sorted(uuid for _, uuid in history.orders)
    times = [row.created_at for row in found if row.created_at is not None]
    assert times == sorted(times, reverse=True)
    assert len(history.asked) == 6


async def test_more_orders_in_a_second_than_an_answer_holds_are_not_passed_over() -> None:
    history = History([START_MS + 5_000] * (MOST_CLOSED + 1))
    async with opened(history.app(), FastClock()) as account:
        with pytest.raises(ExchangeError, match="1000 orders of the second"):
            await account.orders_closed_between(START_MS, START_MS + DAY_MS)
        with pytest.raises(UsageError, match="valid: a start before the end"):
            await account.orders_closed_between(START_MS, START_MS)


# --- replacements -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replacement", "expected"),
    [
        (
            Replacement("limit", Decimal("1E+3"), identifier="i"),
            {"new_price": "1000", "new_volume": "remain_only", "new_identifier": "i"},
        ),
        (Replacement("price", Decimal(6_000)), {"new_price": "6000"}),
        (Replacement("market", volume=Decimal("1E-8")), {"new_volume": "0.00000001"}),
        (
            Replacement("best", Decimal(6_000), time_in_force="ioc"),
            {"new_price": "6000", "new_time_in_force": "ioc"},
        ),
        (
            Replacement("best", time_in_force="fok", smp_type="reduce"),
            {"new_volume": "remain_only", "new_time_in_force": "fok", "new_smp_type": "reduce"},
        ),
    ],
)
def test_replacement_is_written_as_upbit_asks(replacement: Replacement, expected: dict[str, str]) -> None:
    assert dict(replacement.pairs()) == {"new_ord_type": replacement.ord_type, **expected}


@pytest.mark.parametrize(
    "fields",
    [
        {"ord_type": "limit"},
        {"ord_type": "market", "price": Decimal(1)},
        {"ord_type": "price", "price": Decimal(6_000), "volume": Decimal(1)},
        {"ord_type": "best", "price": Decimal(6_000)},
        {"ord_type": "limit", "price": Decimal("Infinity")},
        {"ord_type": "limit", "price": Decimal(1), "identifier": ""},
        {"ord_type": "limit", "price": Decimal(1), "time_in_force": "post_only", "smp_type": "reduce"},
        {"ord_type": "stop"},
    ],
)
def test_replacement_that_cannot_be_is_refused_before_it_is_sent(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="valid"):
        Replacement(**fields)


async def test_ids_that_make_no_request_are_named() -> None:
    """Neither id, both, or more than a request takes: nothing is sent."""
    exchange = Watching()
    async with opened(exchange.app()) as account:
        for call in (
            lambda: account.order(),
            lambda: account.cancel(uuid="u", identifier="i"),
            lambda: account.orders_named(),
            lambda: account.orders_named(uuids=["u"] * 101),
            lambda: account.cancel_named(identifiers=["i"] * 21),
            lambda: account.cancel_open(pairs=["KRW-BTC"], quotes=["KRW"]),
        ):
            with pytest.raises(UsageError, match="valid"):
                await call()
    assert exchange.seen == []


async def test_account_is_read_as_documented() -> None:
    async with opened(FakeAccount().app()) as account:
        rows = await account.accounts()

    assert [(row.currency, row.balance, row.unit_currency) for row in rows] == [
        ("KRW", Decimal(100_000), "KRW"),
        ("BTC", Decimal(0), "KRW"),
    ]
