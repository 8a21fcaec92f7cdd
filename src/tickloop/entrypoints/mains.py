"""The body of each long-running process: adapters from `bootstrap`, one service, status for everybody."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tickloop.adapters.local.home import NEEDED_BYTES, prepare_home
from tickloop.adapters.local.status import StatusBoard
from tickloop.bootstrap import open_app
from tickloop.entrypoints.process import configure_logging, die_with_parent, run_async, run_threaded
from tickloop.errors import HomeNotWritableError, SettingsError
from tickloop.settings import Settings, load_settings

if TYPE_CHECKING:
    from pydantic import SecretStr

    from tickloop.simulator.config import SimulatorConfig

STATUS_EVERY_S = 2.0
"""Real seconds between two lines of status of the API."""


def start(name: str, home: Path | None) -> Settings:
    """Tie this process to its supervisor, set up its log, read its settings and see that its home can be used."""
    die_with_parent()
    configure_logging()
    settings = load_settings(home)
    # These wait for room on a full disk, which ends the others: what is not delivered cannot be removed.
    prepare_home(settings.paths.home, 0 if name in ("collector", "shipper") else NEEDED_BYTES)
    StatusBoard(settings.paths.status).write(name, "starting")
    return settings


def simulator(settings: Settings, config: SimulatorConfig) -> int:
    from tickloop.simulator.server import serve

    board = StatusBoard(settings.paths.status)

    def ready(url: str) -> None:
        board.write("simulator", "ready", f"{config.recording} at {config.speed:g}x on {url}", url=url)

    return run_async("simulator", board, lambda stop: serve(config, ready, stop))


def collector(settings: Settings) -> int:
    from tickloop.entrypoints.collector import run_collector

    app = open_app(settings)
    with app:
        return run_async("collector", app.board, lambda stop: run_collector(app, stop))


def pipeline(settings: Settings) -> int:
    from tickloop.services.pipeline import run_pipeline

    app = open_app(settings)

    def status(state: str, message: str = "", **detail: Any) -> None:
        app.board.write("pipeline", state, message, **detail)

    def main(stop: threading.Event) -> None:
        with app:
            run_pipeline(app, settings.history, status, stop)

    return run_threaded("pipeline", app.board, main)


def api(settings: Settings) -> int:
    from tickloop.entrypoints.api.runtime import ServingRuntime
    from tickloop.entrypoints.api.server import serve_api
    from tickloop.entrypoints.api.views import status_view
    from tickloop.entrypoints.decoding import decode

    app = open_app(settings)

    async def tell(runtime: ServingRuntime, url: str) -> None:
        while True:
            markets = {row["market"]: row["message"] for row in status_view(runtime)["markets"]}
            words = "; ".join(f"{market} {message}" for market, message in markets.items())
            app.board.write("api", "ready", f"{url}/docs; {words}", url=url, markets=markets)
            await asyncio.sleep(STATUS_EVERY_S)

    async def main(stop: asyncio.Event) -> None:
        telling: list[asyncio.Task[None]] = []

        def ready(url: str) -> None:
            telling.append(asyncio.create_task(tell(runtime, url)))

        runtime = ServingRuntime(
            clock=app.clock,
            feed=app.feed(("trade", "ticker")),
            decode=decode,
            market_data=app.market_data,
            warehouse=app.warehouse,
            registry=app.registry,
            forecasters=[app.forecaster(market, is_stored=True) for market in app.markets],
            forecast_delay_ms=app.strategy.forecast_delay_ms,
            notice=exchange_notice(settings),
        )
        serve = settings.serve
        try:
            await serve_api(runtime, serve.host, serve.port, _secret(serve.token), ready, stop)
        finally:
            for task in telling:
                task.cancel()

    with app:
        return run_async("api", app.board, main)


def dashboard(settings: Settings) -> int:
    from tickloop.entrypoints.dashboard.client import ApiClient
    from tickloop.entrypoints.dashboard.run import serve_dashboard

    board = StatusBoard(settings.paths.status)
    pages, serve = settings.dashboard, settings.serve

    def ready(url: str) -> None:
        board.write("dashboard", "ready", f"pages on {url}", url=url)

    async def main(stop: asyncio.Event) -> None:
        client = ApiClient(f"http://{serve.host}:{serve.port}", _secret(serve.token))
        await serve_dashboard(client, pages.host, pages.port, ready, stop)

    return run_async("dashboard", board, main)


def bot(settings: Settings) -> int:
    from tickloop.entrypoints.decoding import decode_trade
    from tickloop.services.trade import Bot

    require_simulator(settings)
    app = open_app(settings)

    def report(message: str, detail: dict[str, Any]) -> None:
        app.board.write("bot", "ready", message, **detail)

    async def main(stop: asyncio.Event) -> None:
        broker, order_log = app.broker(), app.order_log()
        with suppress(HomeNotWritableError):  # old sessions that stay are no reason not to trade
            app.bot_sessions().prune(app.clock.now_ms())
        session = app.bot_session()
        try:
            bot = Bot(
                name=settings.bot,
                ports=app,
                feed=app.feed(("trade",)),
                broker=broker,
                order_log=order_log,
                session=session,
                parse=decode_trade,
                forecaster_for=lambda market: app.forecaster(market, is_stored=False),
                report=report,
            )
            await bot.run(stop)
        finally:
            await session.close()
            await broker.close()
            order_log.close()

    with app:
        return run_async("bot", app.board, main)


def exchange_notice(settings: Settings) -> str:
    """Say of a simulated exchange that it is one, and which of its prices are invented."""
    if not is_simulated(settings):
        return ""
    if settings.exchange.makes_its_path:
        return "Simulated exchange: prices are real, the path inside a minute is invented"
    return "Simulated exchange: a recording is replayed"


def is_simulated(settings: Settings) -> bool:
    return settings.exchange.is_on_this_machine


def require_simulator(settings: Settings) -> None:
    """Refuse an exchange that is not on this machine: live trading comes with an opt-in of its own."""
    if not is_simulated(settings):
        raise SettingsError(
            f"exchange.rest_url = {settings.exchange.rest_url!r} is not a simulator on this machine; valid so far for"
            " `tickloop trade`: http://127.0.0.1:PORT"
        )


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
