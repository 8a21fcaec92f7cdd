"""Settings in, adapters out: the one place that knows which adapter stands behind each port."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tickloop.adapters.local.clock import SharedClock, SystemClock
from tickloop.adapters.local.status import StatusBoard
from tickloop.errors import SettingsError
from tickloop.settings import PromotionSettings, Settings, StrategySettings, TrainingSettings

if TYPE_CHECKING:  # opened on first use: a command pays only for the adapters it needs
    from tickloop.adapters.local.journal import JournalStore
    from tickloop.adapters.local.journal_writer import JournalWriter
    from tickloop.adapters.local.order_log import FileOrderLog
    from tickloop.adapters.local.sessions import FileSessionLog
    from tickloop.adapters.upbit.broker import UpbitBroker
    from tickloop.adapters.upbit.feed import UpbitFeed
    from tickloop.ports import Clock, Lake, MarketData, ModelRegistry, Warehouse, WindowLock
    from tickloop.services.predict import LiveForecaster


def open_app(settings: Settings) -> App:
    """Give the adapters of a home; each is opened when it is first used."""
    return App(settings)


class App:
    """All ports of one home. `close` (or leaving its `with`) closes what was opened."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.paths = settings.paths
        self.board = StatusBoard(settings.paths.status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if "warehouse" in self.__dict__:
            self.warehouse.close()

    @property
    def markets(self) -> tuple[str, ...]:
        return self.settings.markets

    @property
    def training(self) -> TrainingSettings:
        return self.settings.training

    @property
    def promotion(self) -> PromotionSettings:
        return self.settings.promotion

    @property
    def strategy(self) -> StrategySettings:
        return self.settings.strategy

    @cached_property
    def clock(self) -> Clock:
        return SharedClock(self.paths.clock) if self.settings.clock == "shared" else SystemClock()

    @cached_property
    def raw(self) -> JournalStore:
        from tickloop.adapters.local.journal import JournalStore

        return JournalStore(self.paths.journal, self.paths.dead_letters, self.clock)

    @cached_property
    def lake(self) -> Lake:
        from tickloop.adapters.local.lake import ParquetLake

        return ParquetLake(self.paths.lake)

    @cached_property
    def warehouse(self) -> Warehouse:
        from tickloop.adapters.local.warehouse import SqliteWarehouse

        return SqliteWarehouse(self.paths.warehouse)

    @cached_property
    def lock(self) -> WindowLock:
        from tickloop.adapters.local.lock import FileWindowLock

        return FileWindowLock(self.paths.locks)

    @cached_property
    def registry(self) -> ModelRegistry:
        from tickloop.adapters.mlflow.registry import MlflowRegistry

        return MlflowRegistry(self.paths.registry, self.paths.artifacts, self.clock)

    @cached_property
    def market_data(self) -> MarketData:
        from tickloop.adapters.upbit.rest import UpbitMarketData

        return UpbitMarketData(self.settings.exchange.rest_url, self.clock)

    def feed(self, types: Sequence[str]) -> UpbitFeed:
        """Give a stream of its own; types are `trade`, `ticker` and `orderbook`."""
        from tickloop.adapters.upbit.feed import UpbitFeed

        return UpbitFeed(self.settings.exchange.websocket_url, self.markets, types, self.clock)

    def journal(self) -> JournalWriter:
        """Open the collector's journal; one collector per home."""
        from tickloop.adapters.local.journal_writer import JournalWriter

        collect = self.settings.collect
        return JournalWriter(
            self.paths.journal,
            self.paths.dead_letters,
            "collector",
            self.clock,
            segment_bytes=collect.segment_bytes,
            sync_interval_s=collect.sync_interval_s,
            queue_frames=collect.queue_frames,
        ).open()

    def sessions(self) -> FileSessionLog:
        from tickloop.adapters.local.sessions import FileSessionLog

        return FileSessionLog(self.paths.journal / "sessions.log")

    def broker(self) -> UpbitBroker:
        """Give the account of the settings.

        Raises:
            SettingsError: without keys.
        """
        from tickloop.adapters.upbit.broker import UpbitBroker

        exchange = self.settings.exchange
        if exchange.access_key is None or exchange.secret_key is None:
            raise SettingsError(
                "exchange.access_key and exchange.secret_key are not set; valid: the keys of an account,"
                " by TICKLOOP_EXCHANGE__ACCESS_KEY and TICKLOOP_EXCHANGE__SECRET_KEY"
            )
        return UpbitBroker(
            exchange.rest_url, exchange.access_key.get_secret_value(), exchange.secret_key.get_secret_value()
        )

    def order_log(self) -> FileOrderLog:
        from tickloop.adapters.local.order_log import FileOrderLog

        return FileOrderLog(self.paths.bot(self.settings.bot))

    def forecaster(self, market: str, *, is_stored: bool) -> LiveForecaster:
        """Give the live forecaster of one market; the API's stores what it makes, the bot's does not."""
        from tickloop.services.families import load_model
        from tickloop.services.predict import LiveForecaster

        return LiveForecaster(market, self.registry, load_model, self.warehouse if is_stored else None)
