"""The bot over a scripted feed and a fake exchange: what it sends, when, and what it makes of the answers."""

import asyncio
from decimal import Decimal

import polars as pl
import pytest

from fakes import MemoryWarehouse
from tickloop.domain import strategy
from tickloop.domain.market import Side, Trade
from tickloop.domain.orders import OrderEvent, OrderState
from tickloop.domain.tables import EQUITY, ORDER, Table
from tickloop.errors import AuthError, HomeNotWritableError, OperatorError, RejectedError, SettingsError
from tickloop.ports import Disconnected
from trading_fakes import CONNECTED, MARKET, Act, MemoryOrderLog, Stage, at, trade

BUY_PRICE = 50_000_000.0
HIGH = 60_000_000.0


async def test_one_buy_and_its_take_profit_sell() -> None:
    """Ids, amounts and cash written out: 6,000 KRW at 50,000,000, sold at 50,100,000."""
    stage = Stage({at(0): HIGH})

    async def rise() -> None:
        stage.broker.price = Decimal(50_100_000)

    bot = await stage.play(
        trade(at(0, 500), BUY_PRICE),  # before the forecast may be used
        trade(at(0, 1_000), BUY_PRICE),
        stage.settled,
        trade(at(0, 2_000), 50_099_000.0),  # a tick below the target
        rise,
        trade(at(0, 3_000), 50_100_000.0),
        stage.settled,
        trade(at(0, 4_000), 50_100_000.0),
    )

    buy, sell = stage.broker.placed
    assert (buy.client_order_id, buy.side, buy.krw, buy.qty) == (
        "tl-b-1705881601000-1",
        Side.BUY,
        Decimal(6_000),
        None,
    )
    assert (sell.client_order_id, sell.side, sell.krw, sell.qty) == (
        "tl-b-1705881603000-2",
        Side.SELL,
        None,
        Decimal("0.00012"),
    )
    assert bot.purse.cash == Decimal("50000") - Decimal("6003") + Decimal("6012") - Decimal("3.006")
    assert not bot.purse.lots


async def test_orders_are_those_of_decide_asked_by_hand() -> None:
    """The same tape through `decide` and a plain list of lots gives the same sides and times."""
    forecasts = {at(minute): 50_000_000.0 + 40_000 * (minute % 5) for minute in range(12)}
    prices = [50_000_000.0 + 7_000 * ((17 * step) % 31) for step in range(72)]
    tape = [trade(at(0, 10_000 * step + 1_500), price) for step, price in enumerate(prices)]
    stage = Stage(forecasts, preset="seed2023", order_notional=Decimal(6_000))

    def fill_at(price: float) -> Act:
        async def act() -> None:
            stage.broker.price = Decimal(str(price))

        return act

    script = [item for one in tape for item in (fill_at(one.price), one, stage.settled)]
    await stage.play(*script)

    assert len(stage.broker.placed) > 5
    sent = [(order.side, int(order.client_order_id.split("-")[2])) for order in stage.broker.placed]
    assert sent == _by_hand(tape, forecasts)


def _by_hand(tape: list[Trade], forecasts: dict[int, float]) -> list[tuple[Side, int]]:
    params = strategy.PRESETS["seed2023"]._replace(order_krw=6_000.0)
    cash, last_buy = 50_000.0, strategy.NEVER
    lots: list[tuple[float, int, float]] = []
    made: list[tuple[Side, int]] = []
    for one in tape:
        ts, price = one.ts_event_ms, one.price
        due = [lot for lot in lots if strategy.is_due(params, lot[0], lot[1], ts, price)]
        if due and price * sum(lot[2] for lot in due) >= 5_000:
            cash += sum(lot[2] for lot in due) * price * 0.9995
            lots = [lot for lot in lots if lot not in due]
            made.append((Side.SELL, ts))
        elif price < forecasts[ts - ts % 60_000] and ts - last_buy > 60_000 and cash >= 6_003:
            cash, last_buy = cash - 6_003, ts
            lots.append((price, ts, int(6_000 / price * 1e8) / 1e8))
            made.append((Side.BUY, ts))
    return made


async def test_nothing_is_decided_on_an_order_still_in_flight() -> None:
    """No second buy while the first is open; its fill is seen at the next trade."""
    stage = Stage({at(0): HIGH, at(2): HIGH})
    stage.broker.is_held = True

    async def release() -> None:
        stage.broker.release()
        await stage.settled()

    bot = await stage.play(
        trade(at(0, 1_000), BUY_PRICE),
        trade(at(2, 1_000), BUY_PRICE),
        release,
        trade(at(2, 2_000), BUY_PRICE),
        stage.settled,
    )

    assert [order.client_order_id for order in stage.broker.placed] == [
        "tl-b-1705881601000-1",
        "tl-b-1705881722000-2",
    ]
    assert len(bot.purse.lots) == 2


async def test_refused_buy_is_tried_again_and_a_taken_one_starts_the_cooldown() -> None:
    """A refusal starts no cooldown; its cash is free at once."""
    stage = Stage({at(0): HIGH})
    stage.broker.answers = [RejectedError("insufficient_funds_bid", "not enough", 400)]

    bot = await stage.play(
        trade(at(0, 1_000), BUY_PRICE),
        stage.settled,
        trade(at(0, 1_100), BUY_PRICE),
        stage.settled,
        trade(at(0, 1_200), BUY_PRICE),
        stage.settled,
    )

    states = [order.state for order in bot.purse.orders.values()]
    assert states == [OrderState.REJECTED, OrderState.CLOSED]


async def test_restart_rebuilds_the_purse_sends_nothing_again_and_takes_new_ids() -> None:
    """Stopped with an order open at the exchange: the next run asks for it, then goes on counting."""
    stage = Stage({at(0): HIGH, at(2): HIGH})
    stage.broker.is_held = True
    first = await stage.play(trade(at(0, 1_000), BUY_PRICE))
    assert [order.intent.client_order_id for order in first.purse.open_orders()] == ["tl-b-1705881601000-1"]
    stage.broker.release()

    second = await stage.play(trade(at(2, 1_000), BUY_PRICE), stage.settled)

    assert [order.client_order_id for order in stage.broker.placed] == [
        "tl-b-1705881601000-1",
        "tl-b-1705881721000-2",
    ]
    assert list(second.purse.lots) == ["tl-b-1705881601000-1", "tl-b-1705881721000-2"]
    assert second.purse.cash == Decimal(50_000) - 2 * Decimal(6_003)


async def test_market_whose_lots_the_account_does_not_hold_stands_still() -> None:
    """Somebody sold the bot's coins by hand: every sell would be refused."""
    stage = Stage({at(0): HIGH})
    await stage.play(trade(at(0, 1_000), BUY_PRICE), stage.settled)
    stage.broker.holdings["BTC"] = Decimal("0.0001")

    bot = await stage.play(trade(at(1, 1_000), 51_000_000.0))

    assert len(stage.broker.placed) == 1
    assert bot.desks[MARKET].halted == "the account holds 0.0001, less than the 0.00012000 of the bot's lots"
    assert "stands still on KRW-BTC" in stage.reports[-1][0]


async def test_old_repeated_and_overtaken_trades_are_no_reason_to_order() -> None:
    """More than a minute behind the clock, known already, or earlier than one that came before."""
    stage = Stage({at(0): HIGH, at(3): HIGH})

    async def an_hour_later() -> None:
        stage.clock.set(at(60))

    bot = await stage.play(
        trade(at(0, 900), HIGH, trade_id=1),
        trade(at(0, 1_500), HIGH, trade_id=2),
        trade(at(0, 1_400), BUY_PRICE, trade_id=3),  # overtaken
        trade(at(0, 1_600), HIGH, trade_id=2),  # the same trade again
        an_hour_later,
        trade(at(3, 1_500), BUY_PRICE, trade_id=4),  # 57 minutes old
    )

    assert stage.broker.placed == []
    assert (bot.seen.stale, bot.desks[MARKET].decided) == (1, 2)


async def test_minute_after_a_break_has_a_forecast_once_its_candles_are_there() -> None:
    """Minutes that the stream missed come from the exchange's candles; until then nothing is bought."""
    stage = Stage({at(3): HIGH})

    async def filled() -> None:
        while not stage.ports.market_data.asked[1:] or stage.bot.forecasts[MARKET].is_filling:  # type: ignore[union-attr]
            await asyncio.sleep(0)

    await stage.play(
        trade(at(0, 1_000), BUY_PRICE),
        Disconnected(at(0, 30_000), at(2, 30_000), "closed"),
        trade(at(3, 1_000), BUY_PRICE),  # asks for the candles of minutes 0 to 2
        filled,
        trade(at(3, 2_000), BUY_PRICE),
        stage.settled,
    )

    what, market, window = stage.ports.market_data.asked[1]
    assert (what, market, window.start_ms, window.end_ms) == ("candles", MARKET, at(0), at(3))
    assert [order.client_order_id for order in stage.broker.placed] == ["tl-b-1705881782000-1"]


async def test_bad_frame_and_bad_model_answer_stop_nothing() -> None:
    """Both are counted or logged; the next minute trades."""
    stage = Stage({at(1): HIGH})
    stage.forecaster.failing = {at(0)}

    bot = await stage.play(
        None,
        trade(at(0, 1_000), BUY_PRICE),
        trade(at(1, 1_000), BUY_PRICE),
        stage.settled,
    )

    assert (bot.seen.corrupt, bot.purse.fills) == (1, 1)
    assert stage.feed.is_closed


class AwayWarehouse(MemoryWarehouse):
    def upsert(self, table: Table, rows: pl.DataFrame) -> int:
        raise OperatorError("the warehouse is away")


async def test_trading_goes_on_without_a_warehouse() -> None:
    """Rows are for others to look at; the order log is what counts."""
    stage = Stage({at(0): HIGH})
    stage.ports.warehouse = AwayWarehouse()

    bot = await stage.play(trade(at(0, 1_000), BUY_PRICE), stage.settled)

    assert bot.purse.fills == 1


async def test_orders_and_equity_of_every_minute_reach_the_warehouse() -> None:
    """One equity row per market minute with a trade, however fast the clock runs."""
    stage = Stage({at(0): HIGH})

    await stage.play(
        trade(at(0, 1_000), BUY_PRICE),
        stage.settled,
        trade(at(1, 1_000), BUY_PRICE),
        trade(at(2, 1_000), BUY_PRICE),
    )

    orders, equity = stage.ports.warehouse.read(ORDER), stage.ports.warehouse.read(EQUITY)
    assert orders.select("state", "requested", "executed_qty", "paid_fee", "model_version").row(0) == (
        "closed",
        "6000",
        "0.00012000",
        "3.000000000000",
        "fake-1",
    )
    assert equity["ts"].to_physical().to_list() == [at(0), at(1), at(2)]
    assert equity["equity"].to_list() == ["49994.00", "49994.00", "49994.00"]


class FullDisk(MemoryOrderLog):
    def append(self, event: OrderEvent) -> None:
        raise HomeNotWritableError("full")


async def test_intent_that_is_not_on_the_disk_is_never_sent() -> None:
    """The bot ends with the reason."""
    stage = Stage({at(0): HIGH})
    stage.order_log = FullDisk()

    with pytest.raises(HomeNotWritableError):
        await stage.play(trade(at(0, 1_000), BUY_PRICE))

    assert stage.broker.placed == []
    assert stage.feed.is_closed


async def test_refused_keys_end_the_bot() -> None:
    """No order will ever be taken with them."""
    stage = Stage({at(0): HIGH})
    stage.broker.answers = [AuthError("the exchange does not accept the API key")]

    async def never() -> None:
        await asyncio.Event().wait()

    with pytest.raises(AuthError):
        await stage.play(trade(at(0, 1_000), BUY_PRICE), never)

    assert stage.order_log.events[-1].state is OrderState.REJECTED


async def test_orders_per_market_minute_are_limited() -> None:
    """A storm of refusals ends after 20 orders; the next minute may send again."""
    stage = Stage({at(0): HIGH, at(1): HIGH})
    stage.broker.answers = [RejectedError("validation_error", "no", 400) for _ in range(40)]
    first = [item for n in range(30) for item in (trade(at(0, 1_000 + n), BUY_PRICE), stage.settled)]

    await stage.play(*first, trade(at(1, 1_000), BUY_PRICE), stage.settled)

    assert len(stage.broker.placed) == 21


def test_budget_that_pays_no_order_is_refused_at_the_start() -> None:
    """It would run for ever and never buy."""
    stage = Stage(budget=Decimal(6_002))

    with pytest.raises(SettingsError, match="budget = 6002 KRW does not pay one order of 6000 KRW"):
        asyncio.run(stage.play(CONNECTED))
