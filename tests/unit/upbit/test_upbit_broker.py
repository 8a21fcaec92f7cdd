"""A placement goes out once, and what its answer leaves open is said to be open."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal

import pytest
from aiohttp import web

from tickloop.adapters.local.clock import SystemClock
from tickloop.adapters.upbit import signed as signed_module
from tickloop.adapters.upbit.broker import UpbitBroker, new_order
from tickloop.domain.market import Side
from tickloop.errors import AuthError, RejectedError, RetryableError, UnknownOutcomeError, UsageError
from tickloop.ports import OrderRequest
from upbit_fakes import SECRET, FakeAccount, listening, refusal

BUY = OrderRequest("tl-bot-1", "KRW-BTC", Side.BUY, krw=Decimal("6000"))


@pytest.fixture
def account() -> FakeAccount:
    return FakeAccount()


@pytest.fixture
async def broker(account: FakeAccount) -> AsyncIterator[UpbitBroker]:
    async with listening(account.app()) as url, UpbitBroker(url, "access", SECRET, SystemClock()) as opened:
        yield opened


def answer_with(status: int, body: str, **headers: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body, headers=headers)

    return answer


async def cut_off(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def never(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


@pytest.mark.parametrize(
    "answer",
    [
        cut_off,
        answer_with(500, '{"error":{"name":"internal_server_error","message":"m"}}'),
        answer_with(502, "<html>"),
        answer_with(408, ""),
        answer_with(201, '{"uuid":'),
        answer_with(307, "", Location="/v1/orders"),
        answer_with(201, "not gzip", **{"Content-Encoding": "gzip"}),
        answer_with(400, '{"error":{"name":"duplicated_identifier","message":"m"}}'),
        answer_with(401, '{"error":{"name":"nonce_used","message":"m"}}'),
    ],
    ids=[
        "connection cut",
        "500",
        "502",
        "408",
        "half an answer",
        "redirect",
        "bad gzip",
        "identifier taken",
        "nonce used",
    ],
)
async def test_lost_answer_is_an_unknown_outcome_after_exactly_one_post(
    account: FakeAccount, broker: UpbitBroker, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> None:
    """The order may exist; only asking for its id can tell."""
    account.answer = answer

    with pytest.raises(UnknownOutcomeError, match="order tl-bot-1: the answer was lost") as caught:
        await broker.place(BUY)

    assert len(account.posts) == 1
    assert SECRET not in str(caught.value)


async def test_time_out_is_an_unknown_outcome(
    account: FakeAccount, broker: UpbitBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for an exchange that accepts and says nothing."""
    monkeypatch.setattr(signed_module, "_TIMEOUT", signed_module.aiohttp.ClientTimeout(total=0.1))
    account.answer = never

    with pytest.raises(UnknownOutcomeError):
        await broker.place(BUY)
    assert len(account.posts) == 1


async def test_stale_connection_does_not_repeat_a_placement(account: FakeAccount, broker: UpbitBroker) -> None:
    """A connection that was used before and is cut at the next request."""
    await broker.balances()
    account.answer = cut_off

    with pytest.raises(UnknownOutcomeError):
        await broker.place(BUY)
    assert len(account.posts) == 1


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (400, '{"error":{"name":"insufficient_funds_bid","message":"m"}}', RejectedError, "insufficient_funds_bid"),
        (403, '{"error":{"name":"market_offline","message":"m"}}', RejectedError, "market_offline"),
        (429, "Too many API requests.", RejectedError, "too_many_requests"),
        (418, '{"error":{"name":"x","message":"m"}}', RejectedError, "too_many_requests"),
        (401, '{"error":{"name":"expired_access_key","message":"m"}}', AuthError, "expired_access_key"),
        (403, '{"error":{"name":"out_of_scope","message":"m"}}', AuthError, "out_of_scope"),
    ],
)
async def test_refusal_means_that_the_order_does_not_exist(
    account: FakeAccount, broker: UpbitBroker, status: int, body: str, error: type[Exception], says: str
) -> None:
    """The exchange's own name for it comes along."""
    account.answer = answer_with(status, body)

    with pytest.raises(error, match=says):
        await broker.place(BUY)


async def test_exchange_that_cannot_be_reached_was_sent_nothing() -> None:
    """No connection, no order."""
    async with listening(web.Application()) as url:
        pass
    async with UpbitBroker(url, "access", SECRET, SystemClock()) as broker:
        with pytest.raises(RejectedError, match="nothing was sent") as caught:
            await broker.place(BUY)
        with pytest.raises(RetryableError):
            await broker.find("tl-bot-1")

    assert caught.value.name == "not_sent"


async def test_wrong_key_is_said_at_once(account: FakeAccount) -> None:
    """Asking again does not mend it."""
    async with listening(account.app()) as url, UpbitBroker(url, "access", "wrong" * 16, SystemClock()) as stranger:
        with pytest.raises(AuthError, match="jwt_verification"):
            await stranger.balances()


async def test_not_found_is_none_only_for_an_order(broker: UpbitBroker) -> None:
    """Another 404 is a wrong address, not an answer."""
    app = web.Application()

    async def gone(_request: web.Request) -> web.Response:
        return refusal(404, "pocket_not_found")

    app.router.add_get("/v1/order", gone)
    async with listening(app) as url, UpbitBroker(url, "access", SECRET, SystemClock()) as other:
        with pytest.raises(RejectedError, match="pocket_not_found"):
            await other.find("tl-bot-1")

    assert await broker.find("tl-bot-1") is None


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (BUY, [("side", "bid"), ("ord_type", "price"), ("price", "6000")]),
        (
            OrderRequest("tl-bot-2", "KRW-BTC", Side.SELL, qty=Decimal("1E-8")),
            [("side", "ask"), ("ord_type", "market"), ("volume", "0.00000001")],
        ),
    ],
)
def test_market_orders_are_written_as_upbit_asks(request_: OrderRequest, expected: list[tuple[str, str]]) -> None:
    """A buy by KRW, a sell by volume, decimals without exponent."""
    assert new_order(request_).pairs() == [
        ("market", "KRW-BTC"),
        *expected,
        ("identifier", request_.client_order_id),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        OrderRequest("i", "KRW-BTC", Side.BUY, qty=Decimal(1)),
        OrderRequest("i", "KRW-BTC", Side.BUY, krw=Decimal(6000), qty=Decimal(1)),
        OrderRequest("i", "KRW-BTC", Side.SELL, qty=Decimal("NaN")),
        OrderRequest("i", "KRW-BTC", Side.SELL, qty=Decimal(0)),
    ],
)
def test_order_without_exactly_its_amount_is_not_written(wrong: OrderRequest) -> None:
    """Caught before anything is sent."""
    with pytest.raises(UsageError, match="valid for a market"):
        new_order(wrong)
