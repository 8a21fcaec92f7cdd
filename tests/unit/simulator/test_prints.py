"""A client's fills on a made market are public trades, and stay so over restarts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from running_simulator import Simulator, config_in, running

DAY = 1_772_582_400_000  # 2026-03-04T00:00Z
HOUR = 3_600_000
MADE: dict[str, Any] = {"recording": "seeded", "start_ms": DAY + HOUR, "markets": ("KRW-BTC", "KRW-S200")}


async def buy(simulator: Simulator, market: str) -> dict[str, Any]:
    """Buy for 100,000 KRW at the market, let the market pass that moment, and give the order with its fills."""
    body = {"market": market, "side": "bid", "ord_type": "price", "price": "100000"}
    status, placed = await simulator.signed("POST", "/v1/orders", body)
    assert status == 201, placed
    await simulator.clock(run=True)
    at_ms = (await simulator.get("/control/clock"))[1]["market_ms"]
    await simulator.until(lambda status: status["market_ms"] > at_ms + 1_000)
    await simulator.clock(run=False)
    _, order = await simulator.signed("GET", "/v1/order", query=f"uuid={placed['uuid']}")
    return dict(order)


async def seen(simulator: Simulator, market: str) -> list[tuple[float, float, str]]:
    """Give the public trades of the last second of the market or so: price, quantity, side of the taker."""
    _, trades = await simulator.get("/v1/trades/ticks", market=market, count=500)
    return [(trade["trade_price"], trade["trade_volume"], trade["ask_bid"]) for trade in trades]


async def test_fill_is_told_to_everybody_and_counted(tmp_path: Path) -> None:
    """In the stream, REST's trades, the candle and the truth: price, quantity and side of each fill."""
    async with running(config_in(tmp_path, **MADE)) as simulator:
        _, before = await simulator.get("/control/truth", start=DAY + HOUR, end=DAY + 2 * HOUR)
        socket = await simulator.subscribe({"type": "trade", "codes": ["KRW-S200"], "is_only_realtime": True})
        await simulator.until(lambda status: bool(status["subscribers"]) and bool(status["subscribers"][0]["codes"]))

        order = await buy(simulator, "KRW-S200")

        fills = [(float(fill["price"]), float(fill["volume"]), "BID") for fill in order["trades"]]
        told = [json.loads(await socket.receive_bytes(timeout=10)) for _ in fills]
        public = await seen(simulator, "KRW-S200")
        _, candles = await simulator.get("/v1/candles/minutes/1", market="KRW-S200")
        _, after = await simulator.get("/control/truth", start=DAY + HOUR, end=DAY + 2 * HOUR)

    assert fills
    assert [(frame["trade_price"], frame["trade_volume"], frame["ask_bid"]) for frame in told] == fills
    assert set(fills) <= set(public)
    assert candles[0]["candle_acc_trade_volume"] >= sum(volume for _, volume, _ in fills) - 1e-9
    made = [body["markets"]["KRW-S200"]["hours"][0]["made"] for body in (before, after)]
    assert made[1] - made[0] == len(fills)


async def test_simulator_that_starts_again_tells_the_same_past(tmp_path: Path) -> None:
    """Trades, candles and ids, the printed fill among them."""
    async with running(config_in(tmp_path, **MADE)) as simulator:
        order = await buy(simulator, "KRW-BTC")
        past = await simulator.get("/v1/trades/ticks", market="KRW-BTC", count=500)
        candles = await simulator.get("/v1/candles/minutes/1", market="KRW-BTC", count=20)

    async with running(config_in(tmp_path, **MADE)) as simulator:
        again = await simulator.get("/v1/trades/ticks", market="KRW-BTC", count=500)
        candles_again = await simulator.get("/v1/candles/minutes/1", market="KRW-BTC", count=20)

    assert (again, candles_again) == (past, candles)
    assert float(order["trades"][0]["volume"]) in {trade["trade_volume"] for trade in again[1]}


async def test_fill_on_a_recording_stays_the_clients_own(tmp_path: Path) -> None:
    """A recording says what was traded, and nobody else sees the rest."""
    async with running(config_in(tmp_path)) as simulator:
        _, before = await simulator.get("/control/truth", start=1_772_600_400_000, end=1_772_604_000_000)
        await simulator.clock(run=True)
        await simulator.until(lambda status: status["market_ms"] > 1_772_600_400_000 + 120_000)
        order = await buy(simulator, "KRW-BTC")
        _, after = await simulator.get("/control/truth", start=1_772_600_400_000, end=1_772_604_000_000)

    assert order["trades"]
    assert after["markets"] == before["markets"]
    assert not (tmp_path / "prints.jsonl").exists()


async def test_fill_is_told_at_once_where_nothing_else_is_traded(tmp_path: Path) -> None:
    """The stream does not sleep until the next trade of a nearly dead market."""
    async with running(config_in(tmp_path, **MADE | {"markets": ("KRW-S286",), "speed": 1.0})) as simulator:
        socket = await simulator.subscribe({"type": "trade", "codes": ["KRW-S286"], "is_only_realtime": True})
        await simulator.clock(run=True)
        await simulator.until(lambda status: bool(status["subscribers"]) and bool(status["subscribers"][0]["codes"]))
        body = {"market": "KRW-S286", "side": "bid", "ord_type": "price", "price": "100000"}

        _, placed = await simulator.signed("POST", "/v1/orders", body)

        frame = json.loads(await socket.receive_bytes(timeout=10))
        _, order = await simulator.signed("GET", "/v1/order", query=f"uuid={placed['uuid']}")
    assert frame["trade_volume"] == float(order["trades"][0]["volume"])
