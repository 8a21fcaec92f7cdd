"""The back-test step and the command's function, over in-memory ports."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pytest

from fakes import FixedClock, MemoryLake, MemoryRegistry, MemoryWarehouse, fill_lake
from tickloop.domain.backtest_job import Job
from tickloop.domain.bars import trade_frame
from tickloop.domain.market import Change, Side, Trade
from tickloop.domain.models import persistence
from tickloop.domain.tables import BACKTEST, BAR_1M, LEDGER, Table
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window, to_datetime
from tickloop.errors import DataError, NotEnoughDataError, UsageError
from tickloop.ports import Decision
from tickloop.services.backtest import BAR_STRATEGIES, backtest
from tickloop.services.backtest_run import run_job
from tickloop.services.findings import findings, headline
from tickloop.settings import StrategySettings, TrainingSettings

START = 1_705_881_600_000  # 2024-01-22T00:00Z
SLOT = Window(START, START + 6 * HOUR_MS)
GATE = Window(START + 5 * HOUR_MS, START + 6 * HOUR_MS)
DIP = GATE.start_ms + 10 * MINUTE_MS  # the one minute that opens below the close before it
MARKET = "KRW-BTC"


@dataclass
class Ports:
    """What the back-test uses of a step's ports."""

    clock: FixedClock = field(default_factory=FixedClock)
    warehouse: MemoryWarehouse = field(default_factory=MemoryWarehouse)
    lake: MemoryLake = field(default_factory=MemoryLake)
    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(gate_hours=1))
    strategy: StrategySettings = field(default_factory=StrategySettings)
    is_path_invented: bool = False
    markets: tuple[str, ...] = (MARKET,)

    def __post_init__(self) -> None:
        self.registry = MemoryRegistry(self.clock)


def _job(**more: Any) -> Job:
    return Job(MARKET, GATE, preset="seed2023", mode="ticks", **more)


def _frame(table: Table, rows: list[dict[str, object]]) -> pl.DataFrame:
    whole = {name: pl.Int64() if dtype.is_temporal() else dtype for name, dtype in table.columns.items()}
    return pl.DataFrame(rows, schema=whole).cast(dict(table.columns))


def _bar(ts_ms: int) -> dict[str, object]:
    opened = 49_990_000.0 if ts_ms == DIP else 50_000_000.0
    return {
        "market": MARKET, "ts_open": ts_ms, "open": opened, "high": 50e6, "low": opened, "close": 50e6, "vwap": 50e6,
        "mean_price": 50e6, "volume": 2.0, "notional": 1e8, "trades": 4, "buy_volume": 1.0, "sell_volume": 1.0,
        "change_mode": "RISE", "state": "verified",
    }  # fmt: skip


def _register(ports: Ports, slot: Window | None) -> str:
    model = persistence.fit(np.zeros((1, 1)), np.zeros(1), ("x",), "bar", seed=0)
    params = {} if slot is None else {"slot_start_ms": slot.start_ms}
    params["feature_set"] = "bar"
    return ports.registry.register(
        MARKET, "persistence", model.files(), params=params, metrics={}, lineage={}, slot=slot
    ).name


def _ports(*, with_bars: bool = True) -> Ports:
    """Flat bars of 50,000,000 with one dip, and persistence as champion: it forecasts the last close."""
    ports = Ports()
    if with_bars:
        bars = [_bar(ts_ms) for ts_ms in range(SLOT.start_ms - 12 * HOUR_MS, SLOT.end_ms, MINUTE_MS)]
        ports.warehouse.upsert(BAR_1M, _frame(BAR_1M, bars))
    name = _register(ports, None)
    ports.registry.decide(Decision(MARKET, START, name, None, False, "the first", {}, START))
    return ports


def test_step_stores_a_row_per_version_and_strategy_and_logs_the_profits() -> None:
    """The champion and the slot's candidate; a candidate of another slot is left alone; twice is once."""
    ports = _ports()
    _register(ports, Window(START - 6 * HOUR_MS, START))
    _register(ports, SLOT)

    first = backtest(ports, MARKET, SLOT)
    backtest(ports, MARKET, SLOT)

    rows = ports.warehouse.read(BACKTEST, MARKET, SLOT)
    assert first == {"versions": 2, "strategies": 4, "bars": 60, "rows": 8}
    assert rows.height == 8
    assert set(rows["model_version"]) == {"persistence-1", "persistence-3"}
    assert set(rows["strategy"]) == set(BAR_STRATEGIES)
    assert rows["window_start"].unique().to_list() == [GATE.start]
    metrics = {version.name: version.metrics for version in ports.registry.versions(MARKET)}
    assert metrics["persistence-2"] == {}
    assert metrics["persistence-3"]["profit_default_krw"] == 0.0
    # seed2023 buys the dip: 0.00010001 BTC at 49,991,000, worth 50,000,000 less the fee at the end
    assert metrics["persistence-3"]["profit_seed2023_krw"] == pytest.approx(-4.1, abs=1e-4)
    assert metrics["persistence-3"]["profit_do_nothing_krw"] == 0.0


def test_headline_says_costs_move_and_all_four_strategies() -> None:
    """Persistence forecasts no move; buying and holding costs a tick and both fees."""
    ports = _ports()
    backtest(ports, MARKET, SLOT)

    text = headline(ports.warehouse.read(BACKTEST, MARKET, SLOT), "persistence-1")

    assert text == (
        "A round trip costs 10 bp; the average move forecast is 0.0 bp; in bar mode over 60 minutes default made "
        "+0 KRW in 0 round trips, seed2023 -4 KRW in 0 round trips, buy and hold -51 KRW, doing nothing 0 KRW."
        " The path inside a minute is invented."
    )


def test_headline_without_its_rows_names_the_step_to_run() -> None:
    """A version that was never back-tested."""
    with pytest.raises(NotEnoughDataError, match="run the step backtest first"):
        headline(BACKTEST.empty(), "ridge-2")


def test_findings_speak_of_the_champion_of_the_newest_slot_or_say_why_not() -> None:
    """Before the first back-test, and right after a rollback, there is nothing to tell."""
    ports = _ports()
    before = findings(ports.warehouse, ports.registry, MARKET)

    backtest(ports, MARKET, SLOT)

    champion = ports.registry.champion(MARKET)
    assert champion is not None
    assert before == "Nothing was back-tested yet."
    assert findings(ports.warehouse, ports.registry, MARKET) == headline(
        ports.warehouse.read(BACKTEST, MARKET, SLOT), champion.name
    )


def test_stored_result_is_json_that_names_its_assumptions() -> None:
    """A reader of one row sees mode, path, fees and what a number is set against."""
    ports = _ports()
    backtest(ports, MARKET, SLOT)

    rows = ports.warehouse.read(BACKTEST, MARKET, SLOT).filter(pl.col("strategy") == "seed2023")
    result = json.loads(rows["result"][0])

    assert result["mode"] == "bars"
    assert result["is_path_invented"] is True
    assert result["rules_confirmed"] is True
    assert result["model_version"] == "persistence-1"
    assert (result["buys"], result["sells"], result["open_lots"]) == (1, 0, 1)
    assert result["do_nothing_krw"] == 0.0
    assert result["buy_and_hold_krw"] == pytest.approx(-50.97398, abs=1e-4)


def test_step_without_models_or_bars_says_what_to_run() -> None:
    """Both are named."""
    with pytest.raises(NotEnoughDataError, match="run the step train first"):
        backtest(Ports(), MARKET, SLOT)
    with pytest.raises(NotEnoughDataError, match="has no bar in"):
        backtest(_ports(with_bars=False), MARKET, SLOT)


def _store_ticks(ports: Ports, states: dict[int, str]) -> None:
    """A trade each second of the gate; ledger states by minute of it, `verified` unless told."""
    trades = [
        Trade(MARKET, ts, ts, ts * 10**6, ts * 10**6, 49_990_000.0 if ts // MINUTE_MS == DIP // MINUTE_MS else 50e6,
              1_000, Side.BUY, Change.RISE)
        for ts in range(GATE.start_ms, GATE.end_ms, 1_000)
    ]  # fmt: skip
    fill_lake(ports.lake, trade_frame(trades), GATE)
    rows = [
        {"market": MARKET, "minute": GATE.start_ms + minute * MINUTE_MS, "state": states.get(minute, "verified"),
         "reason": None, "our_volume": 1.0, "candle_volume": 1.0, "trades": 60, "is_rounded": False}
        for minute in range(60)
        if states.get(minute) != "absent"
    ]  # fmt: skip
    ports.warehouse.upsert(LEDGER, _frame(LEDGER, rows))


def test_tick_mode_trades_the_dip_and_is_labelled_as_the_caller_says() -> None:
    """Decided at 1 s of the minute, filled 300 ms later at the next trade, 2 s, a tick up."""
    ports = _ports()
    ports.is_path_invented = True
    _store_ticks(ports, {})

    result = run_job(ports, Job(MARKET, GATE, preset="seed2023", mode="ticks"))

    assert result.orders.select("side", "decided_at", "filled_at", "fill_price", "qty_e8").rows() == [
        ("BUY", to_datetime(DIP + 1_000), to_datetime(DIP + 2_000), 49_991_000.0, 10_001)
    ]
    summary = result.summary()
    assert (summary["mode"], summary["fill_model"], summary["latency_ms"]) == ("ticks", "spread", 300)
    assert summary["is_path_invented"] is True
    assert summary["minutes"] == 60


def test_latency_of_the_caller_replaces_the_models_own() -> None:
    """1,500 ms after 1 s is first reached by the trade at 3 s."""
    ports = _ports()
    _store_ticks(ports, {})

    result = run_job(ports, _job(version="persistence-1", latency_ms=1_500))

    assert result.orders["filled_at"].to_list() == [to_datetime(DIP + 3_000)]
    assert result.summary()["is_path_invented"] is False


def test_unsettled_minutes_are_refused_and_listed_and_let_through_when_asked() -> None:
    """Unknown and not settled; no_trade and repaired are fine; a candle has no trades whatever is asked."""
    ports = _ports()
    _store_ticks(ports, {3: "candle", 5: "unknown", 7: "absent", 9: "no_trade", 11: "repaired"})

    with pytest.raises(DataError, match=r"2 minutes \(2024-01-22T05:05, 2024-01-22T05:07\) .*; valid"):
        run_job(ports, _job())
    with pytest.raises(DataError, match=r"1 minute \(2024-01-22T05:03\) .* no complete trades"):
        run_job(ports, _job(allow_unknown=True))
    _store_ticks(ports, {3: "verified", 5: "unknown", 7: "unknown"})
    assert run_job(ports, _job(allow_unknown=True)).summary()["unknown_minutes"] == 2


def test_model_that_was_trained_on_a_part_of_the_window_is_refused() -> None:
    """Its forecasts there are memory."""
    ports = _ports()
    _store_ticks(ports, {})
    model = persistence.fit(np.zeros((1, 1)), np.zeros(1), ("x",), "bar", seed=0)
    params = {"feature_set": "bar", "train_end_ms": str(GATE.start_ms + MINUTE_MS)}
    name = ports.registry.register(
        MARKET, "persistence", model.files(), params=params, metrics={}, lineage={}, slot=SLOT
    ).name

    with pytest.raises(DataError, match=r"begins before 2024-01-22T05:01, and persistence-2 .* has seen"):
        run_job(ports, _job(version=name))


@pytest.mark.parametrize(
    ("version", "preset", "mode", "model", "latency_ms", "message"),
    [
        ("ridge-9", "default", "bars", "spread", None, "'ridge-9' of KRW-BTC is not registered; valid: persistence-1"),
        (None, "fast", "bars", "spread", None, "preset 'fast' of default is not known; valid: default, seed2023"),
        (None, "default", "candles", "spread", None, "mode 'candles' is not known; valid: bars, ticks"),
        (None, "default", "ticks", "best", None, "fill model 'best' is not known; valid: spread"),
        (None, "default", "ticks", "spread", -1, "latency -1 ms is not valid"),
    ],
)
def test_wrong_use_says_what_would_be_valid(
    version: str | None, preset: str, mode: str, model: str, latency_ms: int | None, message: str
) -> None:
    """One case per argument."""
    with pytest.raises(UsageError, match=message):
        run_job(_ports(), Job(MARKET, GATE, "default", preset, {}, mode, version, model, latency_ms))  # type: ignore[arg-type]
