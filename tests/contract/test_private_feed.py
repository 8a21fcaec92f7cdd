"""The account's stream tells what happens to an order, and to the money, as REST does."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from decimal import Decimal
from typing import cast

import pytest

from simulated_exchange import ACCESS_KEY, SECRET_KEY, RunningSimulator, running_simulator
from tickloop.adapters.upbit.auth import Credentials
from tickloop.adapters.upbit.broker import UpbitBroker
from tickloop.adapters.upbit.parse import parse_private_frame
from tickloop.adapters.upbit.private_events import MyAssetEvent, MyOrderEvent
from tickloop.adapters.upbit.private_feed import UpbitPrivateFeed
from tickloop.domain.market import Side
from tickloop.errors import AuthError
from tickloop.ports import Disconnected, Frame, OrderRequest


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    with running_simulator(tmp_path_factory.mktemp("simulator")) as running:
        yield running


def open_feed(simulator: RunningSimulator, secret_key: str = SECRET_KEY) -> AsyncGenerator[Frame | Disconnected, None]:
    credentials = Credentials(ACCESS_KEY, secret_key)
    feed = UpbitPrivateFeed(simulator.websocket_url, credentials, ("myOrder", "myAsset"), simulator.clock)
    return cast("AsyncGenerator[Frame | Disconnected, None]", feed.frames())


async def test_order_is_told_from_its_acceptance_to_its_end(simulator: RunningSimulator) -> None:
    """Waiting, each fill, the end; then the account; in exact money, equal to what REST says."""
    broker = UpbitBroker(simulator.rest_url, ACCESS_KEY, SECRET_KEY, simulator.clock)
    orders: list[MyOrderEvent] = []
    async with asyncio.timeout(30), aclosing(open_feed(simulator)) as frames:
        assert isinstance(await anext(frames), Disconnected)
        await broker.place(OrderRequest("feed-1", "KRW-BTC", Side.BUY, krw=Decimal(10_000)))
        assets: MyAssetEvent | None = None
        while assets is None or not orders or orders[-1].state not in ("done", "cancel"):
            item = await anext(frames)
            assert isinstance(item, Frame)
            event = parse_private_frame(item.raw)
            if isinstance(event, MyOrderEvent):
                orders.append(event)
            elif isinstance(event, MyAssetEvent):
                assets = event
        order, balances = await broker.find("feed-1"), await broker.balances()
    await broker.close()

    fills = [event for event in orders if event.state == "trade"]
    assert order is not None
    assert [event.state for event in orders] == ["wait", *["trade"] * len(order.fills), "cancel"]
    assert {event.identifier for event in orders} == {"feed-1"}
    assert [(event.price, event.volume) for event in fills] == [(fill.price, fill.qty) for fill in order.fills]
    assert sum(event.trade_fee or 0 for event in fills) == order.paid_fee
    assert {one.currency: one.balance for one in assets.assets} == {one.currency: one.available for one in balances}


async def test_wrong_key_is_an_auth_error(simulator: RunningSimulator) -> None:
    """At once, and not tried again."""
    async with asyncio.timeout(30), aclosing(open_feed(simulator, "x" * 64)) as frames:
        with pytest.raises(AuthError, match="does not accept the API key"):
            await anext(frames)
