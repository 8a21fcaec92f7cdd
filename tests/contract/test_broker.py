"""Every broker places market orders once, finds them by our id, and keeps exact balances."""

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from itertools import count

import pytest

from simulated_exchange import ACCESS_KEY, SECRET_KEY, RunningSimulator, running_simulator
from tickloop.adapters.local.clock import SystemClock
from tickloop.adapters.upbit.broker import UpbitBroker
from tickloop.domain.market import Side
from tickloop.errors import RejectedError
from tickloop.ports import Broker, OrderRequest, VenueOrder
from upbit_fakes import SECRET, FakeAccount, listening

_LOOKS = 100


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    with running_simulator(tmp_path_factory.mktemp("simulator")) as running:
        yield running


@pytest.fixture(params=["loopback", "simulator"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    """An account with at least 100,000 KRW and no BTC that tests leave in it."""
    if request.param == "simulator":
        running: RunningSimulator = request.getfixturevalue("simulator")
        async with UpbitBroker(running.rest_url, ACCESS_KEY, SECRET_KEY, running.clock) as opened:
            yield opened
        return
    async with listening(FakeAccount().app()) as url, UpbitBroker(url, "access", SECRET, SystemClock()) as opened:
        yield opened


def new_id(numbers: Iterator[int] = count(1)) -> str:  # noqa: B008 (an account takes each id once for ever)
    return f"tl-t-{next(numbers)}"


def buy(krw: int) -> OrderRequest:
    return OrderRequest(new_id(), "KRW-BTC", Side.BUY, krw=Decimal(krw))


def sell(qty: Decimal) -> OrderRequest:
    return OrderRequest(new_id(), "KRW-BTC", Side.SELL, qty=qty)


async def closed(broker: Broker, client_order_id: str) -> VenueOrder:
    for _ in range(_LOOKS):
        order = await broker.find(client_order_id)
        if order is not None and order.is_closed:
            return order
    raise AssertionError(f"order {client_order_id} did not close")


async def balance(broker: Broker, currency: str) -> Decimal:
    return sum((held.available for held in await broker.balances() if held.currency == currency), Decimal(0))


async def test_market_buy_spends_its_krw_and_the_fee(broker: Broker) -> None:
    """Funds are the sum of the fills, at most what was asked for; the account moved by funds and fee."""
    krw, btc = await balance(broker, "KRW"), await balance(broker, "BTC")
    request = buy(6_000)

    placed = await broker.place(request)
    order = await closed(broker, request.client_order_id)

    assert (placed.client_order_id, placed.venue_order_id) == (request.client_order_id, order.venue_order_id)
    assert (order.market, order.side) == ("KRW-BTC", Side.BUY)
    assert 5_900 < order.executed_funds <= 6_000
    assert order.executed_funds == sum(fill.funds for fill in order.fills)
    assert order.executed_qty == sum(fill.qty for fill in order.fills)
    assert krw - await balance(broker, "KRW") == order.executed_funds + order.paid_fee
    assert await balance(broker, "BTC") - btc == order.executed_qty


async def test_market_sell_gives_the_whole_quantity(broker: Broker) -> None:
    """What was bought can be sold to the last unit."""
    bought = buy(20_000)
    await broker.place(bought)
    qty = (await closed(broker, bought.client_order_id)).executed_qty
    krw, btc = await balance(broker, "KRW"), await balance(broker, "BTC")
    request = sell(qty)

    await broker.place(request)
    order = await closed(broker, request.client_order_id)

    assert order.executed_qty == qty
    assert await balance(broker, "KRW") - krw == order.executed_funds - order.paid_fee
    assert btc - await balance(broker, "BTC") == qty


async def test_order_that_was_never_placed_is_none(broker: Broker) -> None:
    """Absent, and that is an answer."""
    assert await broker.find("tl-t-none") is None


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (buy(4_999), "under_min_total_bid"),
        (buy(1_100_000), "insufficient_funds_bid"),
        (sell(Decimal(1)), "insufficient_funds_ask"),
    ],
)
async def test_refused_order_changes_nothing(broker: Broker, request_: OrderRequest, name: str) -> None:
    """The exchange's own name of the reason comes along."""
    before = await broker.balances()

    with pytest.raises(RejectedError) as caught:
        await broker.place(request_)

    assert caught.value.name == name
    assert await broker.balances() == before
    assert await broker.find(request_.client_order_id) is None
