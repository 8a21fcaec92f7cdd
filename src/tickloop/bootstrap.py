"""Settings in, adapters out: the one place that knows which adapter stands behind each port."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tickloop.adapters.local.clock import SharedClock, SteppedClock, SystemClock, acknowledger
from tickloop.adapters.local.status import StatusBoard
from tickloop.settings import PromotionSettings, Settings, StrategySettings, TrainingSettings, account_keys

if TYPE_CHECKING:  # opened on first use: a command pays only for the adapters it needs
    from tickloop.adapters.local.journal import JournalStore
    from tickloop.adapters.local.journal_writer import JournalWriter
    from tickloop.adapters.local.order_log import FileOrderLog
    from tickloop.adapters.local.probes import HomeProbes
    from tickloop.adapters.local.sessions import FileSessionLog
    from tickloop.adapters.upbit.broker import UpbitBroker
    from tickloop.adapters.upbit.feed import UpbitFeed
    from tickloop.adapters.upbit.rest import UpbitMarketData
    from tickloop.adapters.webhook.notify import WebhookNotifier
    from tickloop.domain.arrivals import ArrivalWatch
    from tickloop.ports import Clock, Lake, ModelRegistry, Notifier, Warehouse, WindowLock
    from tickloop.services.predict import LiveForecaster
    from tickloop.services.repair import Repairs
    from tickloop.services.universe import MarketWatch

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
"""Versions that were tested, in a checkout; a wheel does not bring them."""


COLLECTOR = "collector"
"""Name of the collector, also as the journal's writer."""


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
        if "market_data" in self.__dict__:
            self.market_data.close()
        if "webhook" in self.__dict__ and self.webhook is not None:
            self.webhook.close()

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
        if self.settings.clock == "system":
            return SystemClock()
        if self.settings.clock == "shared":
            return SharedClock(self.paths.clock)
        return SteppedClock(self.paths.clock, self.user_agent, acknowledger(self.settings.exchange.rest_url))

    @property
    def user_agent(self) -> str:
        """Name this process to the exchange; under a stepped clock each process is counted by a name of its own."""
        return f"tickloop/{os.getpid()}" if self.settings.clock == "stepped" else "tickloop"

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
    def market_data(self) -> UpbitMarketData:
        from tickloop.adapters.upbit.rest import UpbitMarketData

        exchange = self.settings.exchange
        return UpbitMarketData(exchange.rest_url, self.clock, budgets=self.paths.budgets(exchange.rest_url))

    def feed(self, types: Sequence[str], markets: Sequence[str] | None = None) -> UpbitFeed:
        """Give a stream of its own; types are `trade`, `ticker`, `orderbook` and `candle.1s`, markets our own."""
        from tickloop.adapters.upbit.feed import UpbitFeed

        return UpbitFeed(
            self.settings.exchange.websocket_url,
            self.markets if markets is None else markets,
            types,
            self.clock,
            user_agent=self.user_agent,
            codes_per_connection=self.settings.collect.codes_per_connection,
        )

    def journal(self) -> JournalWriter:
        """Open the collector's journal; one collector per home."""
        from tickloop.adapters.local.journal_writer import JournalWriter

        collect = self.settings.collect
        return JournalWriter(
            self.paths.journal,
            self.paths.dead_letters,
            COLLECTOR,
            self.clock,
            segment_bytes=collect.segment_bytes,
            sync_interval_s=collect.sync_interval_s,
            queue_frames=collect.queue_frames,
            min_free_bytes=collect.min_free_bytes,
            watch=self._arrivals(),
        ).open()

    def _arrivals(self) -> ArrivalWatch:
        """Give what the collector remembers of the newest trades, those at the end of its journal first."""
        from tickloop.adapters.local.journal_tail import last_trades
        from tickloop.domain.arrivals import ArrivalWatch

        watch = ArrivalWatch()
        for market, trade_id in last_trades(self.paths.journal, COLLECTOR):
            watch.recall(market, trade_id)
        return watch

    def sessions(self) -> FileSessionLog:
        from tickloop.adapters.local.sessions import FileSessionLog

        return FileSessionLog(self.paths.journal / "sessions.log")

    def repairs(self, has_kept: Callable[[str, int], bool]) -> Repairs:
        """Give the repair of what the stream misses; to be made before the collector's first connection.

        Args:
            has_kept: tells of a market's trade that it is in the journal.
        """
        from tickloop.adapters.local.gaps import FileGapLog
        from tickloop.adapters.local.journal_tail import last_received_ms
        from tickloop.services.extract_marks import extract_marker
        from tickloop.services.repair import Repairs

        last_line_ms = last_received_ms(self.paths.journal, COLLECTOR)
        return Repairs(
            self.market_data,
            self.raw,
            self.clock,
            FileGapLog(self.paths.journal / "gaps.json"),
            self.notifier,
            seen_until=self.sessions().ends(last_line_ms),
            has_kept=has_kept,
            mark_extract=extract_marker(self),
        )

    def market_watch(self) -> MarketWatch:
        from tickloop.services.universe import MarketWatch

        collect = self.settings.collect
        return MarketWatch(
            self.market_data, self.clock, own=self.markets, universe=collect.universe, check_s=collect.market_check_s
        )

    @cached_property
    def notifier(self) -> Notifier:
        """Give who is told when something needs a hand: the log, and the webhook of the settings."""
        from tickloop.adapters.local.notify import AllNotifiers, LogNotifier

        log = LogNotifier(COLLECTOR)
        return log if self.webhook is None else AllNotifiers((log, self.webhook))

    @cached_property
    def webhook(self) -> WebhookNotifier | None:
        from tickloop.adapters.webhook.notify import WebhookNotifier

        url = self.settings.alerts.webhook_url
        return None if url is None else WebhookNotifier(url.get_secret_value())

    def broker(self) -> UpbitBroker:
        """Give the account of the settings.

        Raises:
            SettingsError: without keys.
        """
        from tickloop.adapters.upbit.broker import UpbitBroker

        exchange = self.settings.exchange
        access, secret = account_keys(exchange)
        budgets = self.paths.budgets(exchange.rest_url, access)
        return UpbitBroker(exchange.rest_url, access, secret, self.clock, budgets)

    def order_log(self) -> FileOrderLog:
        from tickloop.adapters.local.order_log import FileOrderLog

        return FileOrderLog(self.paths.bot(self.settings.bot))

    def forecaster(self, market: str, *, is_stored: bool) -> LiveForecaster:
        """Give the live forecaster of one market; the API's stores what it makes, the bot's does not."""
        from tickloop.services.families import load_model
        from tickloop.services.predict import LiveForecaster

        return LiveForecaster(market, self.registry, load_model, self.warehouse if is_stored else None)

    def probes(self, load_recordings: Callable[[], str]) -> HomeProbes:
        """Give what `tickloop doctor` looks at; nothing is opened that is not there."""
        from tickloop.adapters.local.probes import HomeProbes, ProbePaths
        from tickloop.adapters.upbit.probe import ask_exchange

        paths = self.paths
        return HomeProbes(
            ProbePaths(
                home=paths.home,
                journal=paths.journal,
                dead_letters=paths.dead_letters,
                warehouse=paths.warehouse,
                registry=paths.registry,
                status=paths.status,
                constraints=CONSTRAINTS,
            ),
            self.markets,
            ask=lambda: ask_exchange(self.settings.exchange.rest_url, self.clock),
            open_clock=lambda: self.clock,
            open_warehouse=lambda: self.warehouse,
            champions=self._champions,
            load_recordings=load_recordings,
        )

    def _champions(self) -> str:
        found = ((market, self.registry.champion(market)) for market in self.markets)
        return ", ".join(f"{market} {'none' if champion is None else champion.name}" for market, champion in found)
