"""The exchange in a box: wires recording, clock, account and protocol together and serves them on one port."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from tickloop.domain.window import DAY_MS, HOUR_MS, to_datetime
from tickloop.errors import HomeBusyError, HomeNotWritableError, OperatorError, PortInUseError, UsageError
from tickloop.simulator.account.desk import Desk
from tickloop.simulator.account.quotes import ExchangeQuotes
from tickloop.simulator.account.state import Store
from tickloop.simulator.clock import MarketClock
from tickloop.simulator.config import SimulatorConfig
from tickloop.simulator.control.api import ControlApi
from tickloop.simulator.control.fault_orders import FaultOrders
from tickloop.simulator.control.gapfile import GapFile
from tickloop.simulator.control.stepping import Stepper, ids_of, random_id
from tickloop.simulator.faults.board import FaultBoard
from tickloop.simulator.prices.days import TradeSource
from tickloop.simulator.prices.exchange import SimulatedExchange
from tickloop.simulator.prices.gaps import planned_gaps
from tickloop.simulator.prices.generator import GeneratedMarkets
from tickloop.simulator.prices.made_markets import SEEDED, market_codes
from tickloop.simulator.prices.price_files import load_file
from tickloop.simulator.prices.recording import RECORDINGS, Recording, load_recording
from tickloop.simulator.protocol.auth import Gatekeeper
from tickloop.simulator.protocol.private import PrivateSide
from tickloop.simulator.protocol.public import PublicSide
from tickloop.simulator.protocol.rest import RestApi
from tickloop.simulator.protocol.stream import Hub
from tickloop.simulator.protocol.websocket import WebSocketApi

FLUSH_DEADLINE_S = 2.0
CLOSE_DEADLINE_S = 0.5

_WEBSOCKET_PATH = "/websocket/v1"


async def serve(
    config: SimulatorConfig,
    ready: Callable[[str], None],
    stop: asyncio.Event,
    recording: Recording | None = None,
) -> None:
    """Run the simulator until it is asked to stop.

    On stop the clock is held, what happened until then is written out to the subscribers (2 s at most), then the
    sockets close. Another start on the same folder goes on from there.

    Args:
        ready: called with the base URL once requests are answered.
        recording: prices to use; None loads the shipped ones that the config names.

    Raises:
        PortInUseError: naming host, port and the remedy.
        HomeBusyError: another simulator holds the folder.
        UsageError: the start lies outside the recording.
        DataError: recording, clock or account cannot be read.
    """
    with _folder_of_ours(config.folder):
        exchange = await asyncio.to_thread(_exchange_of, config, recording)
        store = Store(config.folder / "account.sqlite", config.krw)
        try:
            clock = MarketClock(
                config.folder / "clock.json",
                _start_of(config, exchange),
                _span_of(exchange),
                config.speed,
                is_stepped=config.is_stepped,
            )
            board = FaultBoard()
            new_id = ids_of(config.seed, store.counts(), clock.now_ms()) if config.is_stepped else random_id
            desk = Desk(store, ExchangeQuotes(exchange), new_id, board=board, smp_default=config.smp_default)
            await _serve(config, exchange, desk, clock, board, ready, stop)
        finally:
            store.close()


async def _serve(
    config: SimulatorConfig,
    exchange: SimulatedExchange,
    desk: Desk,
    clock: MarketClock,
    board: FaultBoard,
    ready: Callable[[str], None],
    stop: asyncio.Event,
) -> None:
    gaps = GapFile(config.folder / "gaps.json")
    for gap in gaps.gaps:
        exchange.withhold(gap)
    hub = Hub(exchange, desk, clock, board)
    orders = FaultOrders(board, exchange, hub, clock, gaps)
    _order_all(orders, config)
    gate = Gatekeeper(config.access_key, config.secret_key)
    rest = RestApi(PublicSide(exchange), PrivateSide(desk), gate, hub, clock, config.order_limit_per_s, board)
    sockets = WebSocketApi(hub, clock, gate, is_binary=config.binary_frames, idle_s=config.idle_s)
    stepper = Stepper(hub, clock, config.step_deadline_s) if config.is_stepped else None
    app = _app(rest, sockets, ControlApi(exchange, desk, hub, clock, board, orders, stepper))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_DEADLINE_S)
    await runner.setup()
    try:
        url = await _listen(runner, config)
        if not config.is_held:
            clock.run()
        ready(url)
        await _until_stopped(stop, clock.keep(), hub.run())
        hub.hold()
        await hub.flush(FLUSH_DEADLINE_S)
        await sockets.close_all(CLOSE_DEADLINE_S)
    finally:
        await runner.cleanup()


def _order_all(orders: FaultOrders, config: SimulatorConfig) -> None:
    for fault in config.faults:
        try:
            orders.order(fault)
        except ValueError as exc:
            raise UsageError(f"fault {fault.kind}: {exc}") from exc


def _app(rest: RestApi, sockets: WebSocketApi, control: ControlApi) -> web.Application:
    async def answer(request: web.Request) -> web.StreamResponse:
        # Some clients double a slash (`//v1/...`); the exchange does not mind.
        path = "/" + "/".join(part for part in request.path.split("/") if part)
        if path in (_WEBSOCKET_PATH, f"{_WEBSOCKET_PATH}/private"):
            return await sockets.answer(request, is_private=path != _WEBSOCKET_PATH)
        if path.startswith("/control/"):
            return await control.answer(request, path)
        return await rest.answer(request, path)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


async def _listen(runner: web.AppRunner, config: SimulatorConfig) -> str:
    try:
        await web.TCPSite(runner, config.host, config.port).start()
    except OSError as exc:
        where = f"{config.host}:{config.port}"
        if exc.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"port {config.port} on {config.host} is in use by another program; stop it, or give another port"
                " (--port, 0 takes a free one)"
            ) from exc
        raise OperatorError(f"cannot listen on {where}: {exc.strerror or exc}") from exc
    port = runner.addresses[0][1]
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{host}:{port}"


async def _until_stopped(stop: asyncio.Event, *bodies: Coroutine[None, None, None]) -> None:
    """Return when asked to stop; raise what one of the endless tasks raised, if it did."""
    asked = asyncio.create_task(stop.wait())
    tasks = [asyncio.create_task(body) for body in bodies]
    try:
        await asyncio.wait({asked, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for each in (asked, *tasks):
            each.cancel()
        await asyncio.gather(asked, *tasks, return_exceptions=True)


def _exchange_of(config: SimulatorConfig, recording: Recording | None) -> SimulatedExchange:
    exchange = SimulatedExchange(recording or _source_of(config), config.seed)
    first, end = _span_of(exchange)
    start_ms = _start_of(config, exchange)
    if not first <= start_ms < end:
        raise UsageError(
            f"start {start_ms} ({_text(start_ms)}) lies outside the recording {config.recording!r};"
            f" valid: from {first} ({_text(first)}) to before {end} ({_text(end)})"
        )
    if config.with_gaps:
        exchange = exchange.with_gaps(planned_gaps(config.seed, start_ms, exchange))
    exchange.warm(start_ms)
    return exchange


def _start_of(config: SimulatorConfig, exchange: SimulatedExchange) -> int:
    """Give where a first start begins: where the config says, else with the hour of the first trade."""
    return exchange.start_ms - exchange.start_ms % HOUR_MS if config.start_ms is None else config.start_ms


def _source_of(config: SimulatorConfig) -> Recording | TradeSource:
    if config.recording == SEEDED:
        codes = market_codes(config.markets) if isinstance(config.markets, int) else config.markets
        unknown = sorted(set(config.spans) - set(codes))
        if unknown:
            shown = ", ".join(codes[:3]) + (f" to {codes[-1]}" if len(codes) > 3 else "")
            raise UsageError(f"market {unknown[0]!r} to list or delist is not made; valid: one of {shown}")
        return GeneratedMarkets(codes, config.spans, config.folder / "prints.jsonl")
    if config.spans:
        raise UsageError(
            f"market {min(config.spans)!r} cannot be listed or delisted, as prices are recorded; valid: {SEEDED!r}"
        )
    return load_recording(config.recording) if config.recording in RECORDINGS else load_file(Path(config.recording))


def _span_of(exchange: SimulatedExchange) -> tuple[int, int]:
    """Give the market times at which a clock may stand: up to a day before the first trade, to the end."""
    return exchange.start_ms - DAY_MS, exchange.end_ms


def _text(ts_ms: int) -> str:
    return f"{to_datetime(ts_ms):%Y-%m-%dT%H:%MZ}"


@contextmanager
def _folder_of_ours(folder: Path) -> Iterator[None]:
    """Hold the folder: two owners of one clock would send time back and forth."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise HomeNotWritableError(f"simulator folder {folder} cannot be written: {exc.strerror}") from exc
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise HomeBusyError(f"simulator folder {folder} is in use by another simulator; give another one") from exc
        yield
    finally:
        os.close(descriptor)
