"""Every endpoint of the client against the simulator, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from simulated_exchange import ACCESS_KEY, SECRET_KEY, RunningSimulator, running_simulator
from tickloop.adapters.upbit.auth import Credentials
from tickloop.adapters.upbit.orders import NewOrder, Replacement
from tickloop.adapters.upbit.private import UpbitPrivate
from tickloop.adapters.upbit.public import MINUTE_UNITS, UpbitPublic
from tickloop.domain.market import Side
from tickloop.errors import BadRequestError, ExchangeError, RejectedError, UsageError

NOON_MS = 1_705_924_800_000  # 2024-01-22T12:00Z
LOW = Decimal(50_000_000)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimulator]:
    with running_simulator(tmp_path_factory.mktemp("endpoints"), 120.0, NOON_MS) as running:
        yield running


@pytest.fixture(scope="module")
def public(simulator: RunningSimulator) -> Iterator[UpbitPublic]:
    with UpbitPublic(simulator.rest_url, simulator.clock) as opened:
        yield opened


def test_markets_come_with_and_without_details(public: UpbitPublic) -> None:
    assert [row.market for row in public.markets()] == ["KRW-BTC", "KRW-ETH"]
    details = public.markets(with_details=True)[0].market_event
    assert details is not None
    assert details.caution.price_fluctuations is False


def test_candles_of_every_period_agree_with_minutes(public: UpbitPublic) -> None:
    """The same past, put together differently: highs, lows and volume of an hour and a day."""
    end_ms = NOON_MS
    minutes = [row for row in public.minutes("KRW-BTC", end_ms, 60) if row.ts_open_ms >= end_ms - 3_600_000]
    (hour,) = public.minutes("KRW-BTC", end_ms, 1, unit=60)
    seconds = [row for row in public.seconds("KRW-BTC", end_ms, 200) if row.ts_open_ms >= minutes[0].ts_open_ms]
    day, before = public.days("KRW-BTC", end_ms - 12 * 3_600_000 + 1, 2)

    assert hour.high_price == max(row.high_price for row in minutes)
    assert hour.low_price == min(row.low_price for row in minutes)
    assert hour.candle_acc_trade_volume == pytest.approx(sum(row.candle_acc_trade_volume for row in minutes), abs=1e-8)
    assert max(row.high_price for row in seconds) == minutes[0].high_price
    assert day.prev_closing_price == before.trade_price
    assert day.converted_trade_price is None
    assert public.days("KRW-BTC", end_ms, 1, in_krw=True)[0].converted_trade_price is not None
    assert (minutes[0].unit, hour.unit) == (1, 60)
    assert minutes[0].timestamp is not None
    assert [public.minutes("KRW-BTC", end_ms, 2, unit=unit)[1].ts_open_ms for unit in MINUTE_UNITS]  # type: ignore[arg-type]
    for period in ("weeks", "months", "years"):
        assert public.longer(period, "KRW-BTC", count=1)[0].first_day_of_period  # type: ignore[arg-type]


def test_trades_are_paged_by_time_cursor_and_day(public: UpbitPublic) -> None:
    first = public.trades("KRW-BTC", 5, to="12:00:00")
    older = public.trades("KRW-BTC", 5, cursor=min(row.sequential_id for row in first))
    yesterday = public.trades("KRW-BTC", 1, days_ago=1)

    assert max(row.timestamp for row in older) <= min(row.timestamp for row in first) < NOON_MS
    assert NOON_MS - 12 * 3_600_000 - 86_400_000 <= yesterday[0].timestamp < NOON_MS - 12 * 3_600_000


def test_tickers_books_and_their_rules(public: UpbitPublic) -> None:
    tickers = public.tickers(["KRW-BTC", "KRW-ETH"])
    (book,) = public.books(["KRW-BTC"], count=5)
    instrument = public.instruments(["KRW-BTC"])[0]
    (levelled,) = public.books(["KRW-BTC"], level=str(instrument.supported_levels[1]))

    assert [row.market for row in tickers] == [row.market for row in public.all_tickers()] == ["KRW-BTC", "KRW-ETH"]
    assert len(book.orderbook_units) == 5
    assert book.orderbook_units[0].bid_price < book.orderbook_units[0].ask_price
    assert instrument.tick_size == 1_000
    assert (
        float(instrument.supported_levels[1])
        == levelled.level
        == public.supported_levels(["KRW-BTC"])[0].supported_levels[1]
    )
    assert public.books(["KRW-BTC"], level="3") == []


def test_what_we_asked_wrongly_is_our_bug_and_what_is_not_there_is_not(public: UpbitPublic) -> None:
    with pytest.raises(BadRequestError, match="400"):
        public.trades("KRW-BTC", days_ago=9)
    with pytest.raises(RejectedError, match="Code not found") as refusal:
        public.tickers(["KRW-NONE"])
    assert not isinstance(refusal.value, BadRequestError)


def limit(price: Decimal, volume: str, identifier: str | None = None) -> NewOrder:
    return NewOrder("KRW-BTC", Side.BUY, "limit", price, Decimal(volume), identifier=identifier)


async def refusal_of(account: UpbitPrivate, order: NewOrder) -> str:
    with pytest.raises(ExchangeError) as refusal:
        await account.place(order)
    return type(refusal.value).__name__


async def every_order_call(simulator: RunningSimulator) -> dict[str, Any]:
    order = limit(LOW, "0.001", "end-1")
    done: dict[str, Any] = {}
    async with UpbitPrivate(simulator.rest_url, Credentials(ACCESS_KEY, SECRET_KEY), simulator.clock) as account:
        done["krw"] = (await account.accounts())[0].balance
        done["fee"] = (await account.chance("KRW-BTC")).bid_fee
        done["test"] = await account.test(order)
        done["placed"] = await account.place(order)
        done["again"] = await account.order(identifier="end-1")
        done["open"] = await account.orders_open("KRW-BTC")
        done["replaced"] = await account.cancel_and_new(
            Replacement("limit", LOW, identifier="end-2"), identifier="end-1"
        )
        done["named"] = await account.orders_named(identifiers=["end-1", "end-2", "end-nobody"])
        done["cancelled"] = await account.cancel(identifier="end-2")
        done["closed"] = await account.orders_closed("KRW-BTC", ["cancel"])
        week_ms = 7 * 86_400_000
        done["all closed"] = await account.orders_closed_between(NOON_MS - 3 * week_ms, simulator.clock.now_ms())
        done["oldest"] = await account.orders_named(identifiers=["end-2", "end-1"], market="KRW-BTC", order_by="asc")
        for number in (3, 4):
            await account.place(
                NewOrder("KRW-BTC", Side.BUY, "limit", LOW, Decimal("0.001"), identifier=f"end-{number}")
            )
        done["batch"] = await account.cancel_named(identifiers=["end-3", "end-nobody"])
        done["all"] = await account.cancel_open(pairs=["KRW-BTC"], side="bid")
        done["bought"] = await account.place(
            NewOrder("KRW-BTC", Side.BUY, "price", Decimal(6_000), identifier="end-buy")
        )
        done["nobody"] = await account.order(identifier="end-nobody")
        for wrong in (
            order,
            NewOrder("KRW-BTC", Side.BUY, "limit", LOW, Decimal(10)),
            NewOrder("KRW-BTC", Side.BUY, "limit", LOW + 1, Decimal(1)),
        ):
            try:
                await account.place(wrong)
            except Exception as exc:
                done.setdefault("refused", []).append(type(exc).__name__)
    return done


def test_orders_live_through_every_call(simulator: RunningSimulator) -> None:
    done = asyncio.run(every_order_call(simulator))

    assert done["krw"] == 1_000_000
    assert done["fee"] == Decimal("0.0005")
    assert done["test"].uuid != done["placed"].uuid == done["again"].uuid
    assert [order.identifier for order in done["open"]] == ["end-1"]
    assert done["replaced"].new_order_identifier == "end-2"
    assert {order.identifier: order.state for order in done["named"]} == {"end-1": "cancel", "end-2": "wait"}
    assert done["cancelled"].remaining_volume == Decimal("0.001")
    assert {"end-1", "end-2"} <= {order.identifier for order in done["closed"]}
    assert {"end-1", "end-2"} <= {order.identifier for order in done["all closed"]}
    assert [order.identifier for order in done["oldest"]] == ["end-1", "end-2"]
    assert (done["batch"].success.count, done["batch"].failed.count) == (1, 1)
    assert done["all"].success.count == 1
    assert done["bought"].price == 6_000
    assert done["nobody"] is None
    # An identifier that was used may belong to an order that arrived; too little money is refused; a price between
    # two steps is a mistake of ours.
    assert done["refused"] == ["UnknownOutcomeError", "RejectedError", "BadRequestError"]


@pytest.mark.parametrize(
    "fields",
    [
        {"ord_type": "price", "side": Side.SELL, "price": Decimal(1)},
        {"ord_type": "limit", "side": Side.BUY, "price": Decimal(1)},
        {"ord_type": "market", "side": Side.SELL, "volume": Decimal(0)},
        {"ord_type": "best", "side": Side.BUY, "price": Decimal(6_000)},
        {"ord_type": "price", "side": Side.BUY, "price": Decimal("NaN")},
        {"ord_type": "limit", "side": Side.BUY, "price": LOW, "volume": LOW, "identifier": "x" * 65},
    ],
)
def test_order_that_cannot_be_is_refused_before_it_is_sent(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="valid"):
        NewOrder("KRW-BTC", **fields)
