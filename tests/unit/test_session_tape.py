"""A session beside the back-test's engine: with fills alike both send the same orders, else each its own."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from tickloop.domain.fills import FILL_MODELS
from tickloop.domain.market import Trade
from tickloop.errors import NotEnoughDataError, UsageError
from tickloop.services.session_tape import beside_model
from trading_fakes import Act, Stage, at, trade

PRICE = 50_000_000.0


def seeded_stage(seed: int, markets: tuple[str, ...]) -> tuple[Stage, list[Trade | Act]]:
    """Give a bot whose orders fill whole at the price of the trade that they were decided at, as `last` assumes."""
    chance = random.Random(seed)
    stage = Stage(preset="seed2023", order_notional=Decimal(6_000))
    stage.ports.markets = markets
    stage.forecaster.prices = {at(minute): PRICE * chance.uniform(0.999, 1.003) for minute in range(100)}
    script: list[Trade | Act] = []
    ms = 0
    for number in range(150):
        ms += 1 + int(chance.expovariate(1 / 18_000))
        one = trade(at(0, ms), round(PRICE * (1 + chance.gauss(0, 0.002)), -3), number, chance.choice(markets))
        script += [_fill_at(stage, one.price), one, stage.settled]
    return stage, script


def _fill_at(stage: Stage, price: float) -> Act:
    async def act() -> None:
        stage.broker.price = Decimal(str(price))

    return act


@pytest.mark.parametrize("markets", [("KRW-BTC",), ("KRW-BTC", "KRW-ETH")])
@pytest.mark.parametrize("seed", range(2))
async def test_engine_sends_the_orders_of_the_bot_when_fills_are_alike(seed: int, markets: tuple[str, ...]) -> None:
    """Two programs, compiled over arrays and live over frames: sides, times, prices, quantities and cash."""
    stage, script = seeded_stage(seed, markets)
    bot = await stage.play(*script)

    beside = beside_model(stage.session, FILL_MODELS["last"])

    assert stage.replayed is not None
    sent = [one.order for one in stage.replayed.orders]
    assert len(sent) >= 10
    assert [(one["market"], one["side"], one["decided_ms"], one["price"]) for one in beside.orders] == [
        (one.intent.market, one.intent.side.value, one.intent.decided_at_ms, one.intent.price) for one in sent
    ]
    assert [one["qty_e8"] for one in beside.orders] == [int(one.execution.qty * 10**8) for one in sent]
    assert beside.cash == pytest.approx(float(bot.purse.cash), abs=0.01 * len(sent))
    assert beside.summary()["same_decisions"] == len(sent)


async def test_other_fills_are_shown_beside_those_of_the_session() -> None:
    stage, script = seeded_stage(1, ("KRW-BTC",))
    await stage.play(*script)

    figures = beside_model(stage.session, FILL_MODELS["spread"]).summary()

    assert figures["fill_model"] == "spread"
    assert 0 < figures["same_decisions"] <= figures["modelled_orders"]
    assert float(figures["modelled_cash"]) != float(figures["session_cash"])


async def test_session_that_began_with_lots_or_decided_nothing_is_refused() -> None:
    stage = Stage({at(0): 6e7})
    await stage.play()
    with pytest.raises(NotEnoughDataError, match="session memory has no trade that was decided on"):
        beside_model(stage.session, FILL_MODELS["spread"])
    await stage.play(trade(at(0, 1_000), PRICE), stage.settled)

    await stage.play(trade(at(0, 2_000), PRICE))

    with pytest.raises(UsageError, match="began with 1 lots and 0 open orders; valid for a modelled run"):
        beside_model(stage.session, FILL_MODELS["spread"])
