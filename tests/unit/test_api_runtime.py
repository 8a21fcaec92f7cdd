"""The API process without HTTP: feed, minutes, storing, start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import httpx
import polars as pl
import pytest

from fakes import MemoryWarehouse
from serving import MARKET, NEVER_LEFT, NOW_MIN, OTHER, at, candles, promote, register, trade, world
from tickloop.domain.tables import FORECAST, Table
from tickloop.entrypoints.api.server import listening, serve_api
from tickloop.errors import OperatorError, PortInUseError, SettingsError
from tickloop.ports import Disconnected


async def test_minute_that_the_stream_missed_is_filled_before_it_is_forecast_from() -> None:
    """The candle of the minute stands in for trades that were not seen."""
    made = world(
        [NEVER_LEFT, trade(1, at(NOW_MIN) + 1_000), Disconnected(at(NOW_MIN) + 10_000, at(NOW_MIN) + 20_000, "")]
    )
    await made.prepare()
    made.market_data.stored_candles += candles(NOW_MIN + 1)[-1:]
    made.clock.set(at(NOW_MIN + 1) + 1_000)

    forecasts = await made.runtime.forecast_minute(at(NOW_MIN + 1))

    assert {one.market: one.last_bar_ms for one in forecasts}[MARKET] == at(NOW_MIN)
    assert forecasts[0].last_price == candles(NOW_MIN + 1)[-1].close
    assert made.runtime.counts.reconnects == 1


async def test_frame_that_cannot_be_read_and_registry_that_fails_are_counted() -> None:
    """One bad frame or file stops nothing."""
    made = world([NEVER_LEFT, None])
    register(made.registry, "broken", "broken")
    promote(made.registry, "broken-3", "ridge-2")
    await made.prepare()

    assert made.runtime.counts.corrupt_frames == 1
    assert dict(made.runtime.counts.failures) == {"prepare": 1}
    assert {one.market for one in await made.runtime.forecast_minute(at(NOW_MIN))} == {OTHER}


class SignallingWarehouse(MemoryWarehouse):
    """Says after every write of forecasts which minutes are there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self.minutes: asyncio.Queue[int] = asyncio.Queue()

    def add_new(self, table: Table, rows: pl.DataFrame) -> int:
        added = super().add_new(table, rows)
        newest = max(rows["target_minute"].to_physical().to_list())
        self._loop.call_soon_threadsafe(self.minutes.put_nowait, newest)
        return added


async def test_running_process_skips_to_the_newest_minute_when_it_is_late() -> None:
    """Late minutes are counted, not made up: their forecast would know what came after."""
    warehouse = SignallingWarehouse(asyncio.get_running_loop())
    trades = [trade(number, at(NOW_MIN + number) + 1) for number in range(5)]
    made = world([NEVER_LEFT, *trades], warehouse)
    stop = asyncio.Event()
    running = asyncio.create_task(made.runtime.run(stop))
    try:
        async with asyncio.timeout(5):
            while await warehouse.minutes.get() != at(NOW_MIN):
                pass
            made.clock.set(at(NOW_MIN + 4) + 1_000)
            while await warehouse.minutes.get() != at(NOW_MIN + 4):
                pass
    finally:
        stop.set()
        await running

    assert made.runtime.counts.skipped_minutes == 3
    assert made.warehouse.read(FORECAST, MARKET)["last_bar"].to_physical().unique().sort().to_list() == [
        at(NOW_MIN - 1),
        at(NOW_MIN + 3),
    ]


async def test_forecasts_that_wait_are_stored_before_the_process_ends() -> None:
    """Stop comes between making and storing."""
    made = world()
    await made.prepare()
    stop = asyncio.Event()
    stop.set()

    await made.runtime.run(stop)

    assert made.warehouse.read(FORECAST).height == 4


async def test_warehouse_that_cannot_be_written_ends_the_process_with_its_message() -> None:
    """A full disk is for the operator, not for a log line."""

    class FullWarehouse(MemoryWarehouse):
        def add_new(self, table: Table, rows: pl.DataFrame) -> int:
            raise OperatorError("disk full")

    with pytest.raises(OperatorError, match="disk full"):
        await asyncio.wait_for(world(warehouse=FullWarehouse()).runtime.run(asyncio.Event()), 5)


async def test_served_api_tells_when_it_is_ready_and_stops_when_asked() -> None:
    """Over a real loopback port: ready once the stream is open, gone within a second."""
    made = world()
    stop, told = asyncio.Event(), asyncio.Queue[str]()
    serving = asyncio.create_task(serve_api(made.runtime, "127.0.0.1", 0, None, told.put_nowait, stop))
    async with asyncio.timeout(5):
        url = await told.get()
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            answer = await client.post("/v1/forecasts", json={"markets": [MARKET]})

            stop.set()
            async with asyncio.timeout(1):
                await serving

    assert answer.json()[0]["market"] == MARKET


def test_listening_socket_names_its_protocol_so_that_answers_leave_at_once() -> None:
    """asyncio sets TCP_NODELAY on such sockets only; without it each kept-alive answer takes 40 ms more."""
    with listening("127.0.0.1", 0) as sock:
        assert sock.proto == socket.IPPROTO_TCP


async def test_port_in_use_and_open_host_without_token_are_refused() -> None:
    """Each message names the value and what would be valid."""
    made = world()

    async def serve(host: str, port: int) -> None:
        await serve_api(made.runtime, host, port, None, print, asyncio.Event())

    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(listening("127.0.0.1", 0))
        port = sock.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port} of 127.0.0.1 is in use"):
            await serve("127.0.0.1", port)
    with pytest.raises(SettingsError, match=r"'0.0.0.0' is open to other machines; valid: a token"):
        await serve("0.0.0.0", 0)
