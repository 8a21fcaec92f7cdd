"""Settings in, adapters out: the one place that knows which adapter stands behind each port."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tickloop.adapters.local.clock import SharedClock, SteppedClock, SystemClock, acknowledger
from tickloop.adapters.local.status import StatusBoard
from tickloop.bootstrap.stores import Stores, extra, open_opensearch, stores_of
from tickloop.settings import HomePaths, PromotionSettings, Settings, StrategySettings, TrainingSettings, account_keys

if TYPE_CHECKING:  # opened on first use: a command pays only for the adapters it needs
    from tickloop.adapters.fluentd.config import FluentdPaths
    from tickloop.adapters.local.bot_session import BotSessionWriter
    from tickloop.adapters.local.bot_session_keep import BotSessions
    from tickloop.adapters.local.journal import JournalStore
    from tickloop.adapters.local.journal_intake import LineMaker
    from tickloop.adapters.local.journal_writer import JournalWriter
    from tickloop.adapters.local.order_log import FileOrderLog
    from tickloop.adapters.local.probes import HomeProbes
    from tickloop.adapters.local.sessions import FileSessionLog
    from tickloop.adapters.upbit.broker import UpbitBroker
    from tickloop.adapters.upbit.connection import TakePacked
    from tickloop.adapters.upbit.feed import UpbitFeed
    from tickloop.adapters.upbit.rest import UpbitMarketData
    from tickloop.adapters.webhook.notify import WebhookNotifier
    from tickloop.domain.arrivals import ArrivalWatch, PassUsual
    from tickloop.domain.universe import Span
    from tickloop.ports import (
        Clock,
        EventSink,
        Lake,
        LineSource,
        MarketLog,
        ModelRegistry,
        Notifier,
        Prunable,
        RawStore,
        RecordedSession,
        RefusedLines,
        SegmentKeeper,
        Warehouse,
        WindowLock,
    )
    from tickloop.services.predict import LiveForecaster
    from tickloop.services.repair import Repairs
    from tickloop.services.universe import MarketWatch

CONSTRAINTS = Path(__file__).parents[3] / "constraints.txt"
"""Versions that were tested, in a checkout; a wheel does not bring them."""


BUSY_MARKETS = 50
"""From as many markets on, messages are cut and kept by compiled code: it takes a second to load, and 60 MB."""

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
        if "stores" in self.__dict__:
            self.stores.close()
        if "market_data" in self.__dict__:
            self.market_data.close()
        if "webhook" in self.__dict__ and self.webhook is not None:
            self.webhook.close()

    @property
    def markets(self) -> tuple[str, ...]:
        return self.settings.markets

    @property
    def collected(self) -> dict[str, Span]:
        return {market: span for market, span in self.market_log.load().items() if market not in self.markets}

    @cached_property
    def market_log(self) -> MarketLog:
        from tickloop.adapters.local.markets import FileMarketLog

        return FileMarketLog(self.paths.journal / "markets.json")

    @property
    def training(self) -> TrainingSettings:
        return self.settings.training

    @property
    def promotion(self) -> PromotionSettings:
        return self.settings.promotion

    @property
    def strategy(self) -> StrategySettings:
        return self.settings.strategy

    @property
    def is_path_invented(self) -> bool:
        return self.settings.exchange.makes_its_path

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
    def stores(self) -> Stores:
        return stores_of(self.settings, self.clock, lambda: self.journal_store)

    @cached_property
    def journal_store(self) -> JournalStore:
        """Give the raw events of this home, whichever store the steps read."""
        from tickloop.adapters.local.journal import JournalStore

        return JournalStore(self.paths.journal, self.paths.dead_letters, self.clock)

    @property
    def raw(self) -> RawStore:
        return self.stores.raw

    @property
    def lake(self) -> Lake:
        return self.stores.lake

    @property
    def warehouse(self) -> Warehouse:
        return self.stores.warehouse

    @property
    def lock(self) -> WindowLock:
        return self.stores.lock

    @property
    def registry(self) -> ModelRegistry:
        return self.stores.registry

    def event_sink(self) -> EventSink:
        """Give where the journal is delivered."""
        with extra("OpenSearch", "cluster"):
            from tickloop.adapters.opensearch.sink import OpensearchSink

        return OpensearchSink(open_opensearch(self.settings.opensearch), self.settings.opensearch.index_prefix)

    @contextmanager
    def line_source(self) -> Iterator[LineSource]:
        """Give the lines of the journal that the event sink has not got yet; one shipper per home."""
        from tickloop.adapters.local.journal_follow import JournalFollower
        from tickloop.adapters.local.ship_positions import ShipPositions, hold_shipping

        opensearch = self.settings.opensearch
        target = f"{opensearch.url} {opensearch.index_prefix}"
        with hold_shipping(self.paths.ship):
            yield JournalFollower(self.paths.journal, ShipPositions(self.paths.ship, target))

    def refused_lines(self) -> RefusedLines:
        from tickloop.adapters.local.ship_refusals import ShipDeadLetter

        return ShipDeadLetter(self.paths.dead_letters, self.clock)

    def segment_keeper(self) -> SegmentKeeper:
        from tickloop.adapters.fluentd.state import read_offsets
        from tickloop.adapters.local.segment_keeper import JournalKeeper
        from tickloop.adapters.local.ship_positions import delivered_offsets

        shippers = (
            lambda: delivered_offsets(self.paths.ship),
            lambda: read_offsets(self._fluentd_paths.positions),
        )
        return JournalKeeper(self.paths.journal, shippers)

    def prunables(self) -> list[Prunable]:
        """Give the stores that forget old days."""
        return [*self.stores.prunables(), self.bot_sessions()]

    @property
    def journal_keep_ms(self) -> int:
        """Give how long the janitor keeps a segment; long where extract may read it again."""
        from tickloop.services.janitor import KEEP_MS, KEEP_RAW_MS

        return KEEP_RAW_MS if self.settings.profile == "laptop" else KEEP_MS

    @property
    def needs_delivery(self) -> bool:
        """Tell whether the steps read what was delivered, and not the journal."""
        return self.settings.profile == "cluster"

    @property
    def _fluentd_paths(self) -> FluentdPaths:
        from tickloop.adapters.fluentd.config import FluentdPaths

        paths = HomePaths(self.paths.home.absolute())
        return FluentdPaths(paths.journal, paths.fluentd, paths.dead_letters)

    def fluentd_config(self) -> tuple[str, Path]:
        """Render fluentd's configuration and write the index template that it names; give the text and that file."""
        import json

        from tickloop.adapters.fluentd.config import fluentd_config
        from tickloop.adapters.local.files import write_whole

        with extra("OpenSearch", "cluster"):
            from tickloop.adapters.opensearch.template import template
        opensearch, paths = self.settings.opensearch, self._fluentd_paths
        ca_file = None if opensearch.ca_file is None else opensearch.ca_file.expanduser().absolute()
        text = fluentd_config(paths, opensearch.url, opensearch.index_prefix, ca_file)
        write_whole(paths.template, json.dumps(template(opensearch.index_prefix), indent=2).encode())
        return text, paths.template

    @cached_property
    def market_data(self) -> UpbitMarketData:
        from tickloop.adapters.upbit.public import UpbitPublic
        from tickloop.adapters.upbit.rest import UpbitMarketData

        url = self.settings.exchange.rest_url
        return UpbitMarketData(UpbitPublic(url, self.clock, budgets=self.paths.budgets(url)), self.clock)

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
            idle_s=self.settings.collect.idle_s,
            take_packed=self._take_packed(),
        )

    def _take_packed(self) -> TakePacked | None:
        if not self._is_busy:
            return None
        from tickloop.adapters.upbit.wire_kernel import load

        return load()

    def _pass_usual(self) -> PassUsual | None:
        if not self._is_busy:
            return None
        from tickloop.domain.arrival_kernel import load

        return load()

    def _line_maker(self) -> LineMaker | None:
        if not self._is_busy:
            return None
        from tickloop.adapters.local.line_kernel import CompiledLineMaker

        return CompiledLineMaker()

    @property
    def _is_busy(self) -> bool:
        return self.settings.collect.universe == "krw" or len(self.markets) >= BUSY_MARKETS

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
            line_maker=self._line_maker(),
        ).open()

    def _arrivals(self) -> ArrivalWatch:
        """Give what the collector remembers of the newest trades, those at the end of its journal first."""
        from tickloop.adapters.local.journal_tail import last_trades
        from tickloop.domain.arrivals import ArrivalWatch

        watch = ArrivalWatch(pass_usual=self._pass_usual())
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
            self.journal_store,
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
            self.market_data,
            self.clock,
            own=self.markets,
            universe=collect.universe,
            check_s=collect.market_check_s,
            log=self.market_log,
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

    def bot_session(self) -> BotSessionWriter:
        """Begin the record of a run of the bot."""
        from tickloop.adapters.local.bot_session import BotSessionWriter

        return BotSessionWriter(self.paths.bot(self.settings.bot) / "sessions", self.clock)

    def bot_sessions(self) -> BotSessions:
        """Give the records of all bots of this home."""
        from tickloop.adapters.local.bot_session_keep import BotSessions

        return BotSessions(self.paths.bots, self.strategy.keep_sessions_days)

    def recorded_session(self, name: str) -> RecordedSession:
        """Give a session of the bot by its name or folder, or the `last` one; `UsageError` when there is none."""
        from tickloop.adapters.local.bot_session_read import BotSessionFiles

        return BotSessionFiles(self.bot_sessions().find(self.settings.bot, name))

    def forecaster(self, market: str, *, is_stored: bool) -> LiveForecaster:
        """Give the live forecaster of one market; the API's stores what it makes, the bot's does not."""
        from tickloop.services.families import load_model
        from tickloop.services.predict import LiveForecaster

        return LiveForecaster(market, self.registry, load_model, self.warehouse if is_stored else None)

    def probes(self, load_recordings: Callable[[], str]) -> HomeProbes:
        """Give what `tickloop doctor` looks at; nothing is opened that is not there."""
        from tickloop.adapters.local.probes import HomeProbes, ProbePaths
        from tickloop.adapters.upbit.probe import ask_exchange
        from tickloop.domain.health import SERVERS, Wiring

        is_cluster = self.settings.profile == "cluster"
        paths, rest_url = self.paths, self.settings.exchange.rest_url
        return HomeProbes(
            ProbePaths(
                home=paths.home,
                journal=paths.journal,
                dead_letters=paths.dead_letters,
                warehouse=None if is_cluster else paths.warehouse,
                status=paths.status,
                fluentd=paths.fluentd,
                constraints=CONSTRAINTS,
            ),
            self.markets,
            wiring=Wiring(rest_url, self.settings.exchange.is_on_this_machine, self.settings.clock),
            ask=lambda: ask_exchange(rest_url, self.clock),
            collected=lambda: self.collected,
            open_clock=lambda: self.clock,
            # The stores want the clock, which may not be there: they are opened within a check.
            servers={name: partial(self._try_server, name) for name in SERVERS} if is_cluster else {},
            open_warehouse=lambda: self.stores.made_warehouse(),
            champions=self._champions,
            load_recordings=load_recordings,
        )

    def _try_server(self, name: str) -> str:
        return self.stores.servers[name]()

    def _champions(self) -> str | None:
        registry = self.stores.made_registry()
        if registry is None:
            return None
        found = ((market, registry.champion(market)) for market in self.markets)
        return ", ".join(f"{market} {'none' if champion is None else champion.name}" for market, champion in found)
