"""Several markets with one purse as a service: whole and in chunks of the lake, the same."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
import pytest

from fakes import FixedClock, MemoryLake, MemoryRegistry, MemoryWarehouse, fill_lake
from jumpy import MINUTE, START, market
from tickloop.domain.backtest_inputs import minutes_of
from tickloop.domain.backtest_job import Job
from tickloop.domain.bars import trade_frame
from tickloop.domain.market import Change, Side, Trade
from tickloop.domain.models import persistence
from tickloop.domain.tables import BAR_1M, LEDGER, Table
from tickloop.domain.tape import Tape
from tickloop.domain.window import HOUR_MS, Window
from tickloop.errors import DataError, NotEnoughDataError, UnknownMarketError, UnsortedTradesError, UsageError
from tickloop.ports import Decision
from tickloop.services.backtest_purse import run_purse
from tickloop.services.backtest_run import run_job
from tickloop.services.backtest_stream import stream_purse
from tickloop.services.lake_tape import read_tape
from tickloop.settings import StrategySettings, TrainingSettings

NAMES = ("KRW-BTC", "KRW-ETH", "KRW-XRP")
HOURS = 6
FIRST = START + HOUR_MS
WINDOW = Window(FIRST, FIRST + HOURS * HOUR_MS)


@dataclass
class Ports:
    """What a back-test uses of a step's ports."""

    clock: FixedClock = field(default_factory=FixedClock)
    warehouse: MemoryWarehouse = field(default_factory=MemoryWarehouse)
    lake: MemoryLake = field(default_factory=MemoryLake)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    strategy: StrategySettings = field(default_factory=StrategySettings)
    markets: tuple[str, ...] = NAMES
    is_path_invented: bool = False

    def __post_init__(self) -> None:
        self.registry = MemoryRegistry(self.clock)


@pytest.fixture(scope="module")
def ports() -> Ports:
    """Three jumpy markets with settled minutes, and persistence as champion of each."""
    made = Ports()
    for seed, name in enumerate(NAMES, start=20):
        tape, _ = market(seed, name, 1_500)
        _store(made, tape)
        model = persistence.fit(np.zeros((1, 1)), np.zeros(1), ("x",), "bar", seed=0)
        params = {"feature_set": "bar"}
        version = made.registry.register(
            name, "persistence", model.files(), params=params, metrics={}, lineage={}, slot=None
        )
        made.registry.decide(Decision(name, START, version.name, None, False, "the first", {}, START))
    return made


def _store(ports: Ports, tape: Tape) -> None:
    trades = trade_frame(
        [
            Trade(tape.market, row + 1, ts, ts * 10**6 + row, ts * 10**6 + row, price, 1_000, Side.BUY, Change.RISE)
            for row, (ts, price) in enumerate(zip(tape.ts_ms.tolist(), tape.price.tolist(), strict=True))
        ]
    )
    span = Window(START, START + 24 * HOUR_MS)
    fill_lake(ports.lake, trades, span)
    bars = minutes_of(tape)
    rows = zip(bars.ts_ms.tolist(), bars.open.tolist(), bars.high.tolist(), bars.close.tolist(), strict=True)
    ports.warehouse.upsert(
        BAR_1M,
        _frame(
            BAR_1M,
            [
                {
                    "market": tape.market, "ts_open": ts, "open": opened, "high": high, "low": min(opened, close),
                    "close": close, "vwap": close, "mean_price": close, "volume": 1.0, "notional": close, "trades": 1,
                    "buy_volume": 1.0, "sell_volume": 0.0, "change_mode": "RISE", "state": "verified",
                }
                for ts, opened, high, close in rows
            ],
        ),
    )  # fmt: skip
    ports.warehouse.upsert(
        LEDGER,
        _frame(
            LEDGER,
            [
                {
                    "market": tape.market, "minute": minute, "state": "verified", "reason": None, "our_volume": 1.0,
                    "candle_volume": 1.0, "trades": 1, "is_rounded": False,
                }
                for minute in range(span.start_ms, span.end_ms, MINUTE)
            ],
        ),
    )  # fmt: skip


def _frame(table: Table, rows: list[dict[str, object]]) -> pl.DataFrame:
    whole = {name: pl.Int64() if dtype.is_temporal() else dtype for name, dtype in table.columns.items()}
    return pl.DataFrame(rows, schema=whole).cast(pl.Schema(table.columns))


def _jobs(*names: str, strategy: str = "grid", **others: object) -> list[Job]:
    values = {"fall_bp": 20, "rise_bp": 20, "max_lots": 3} if strategy == "grid" else {}
    if strategy == "sma_cross":
        values = {"fast": 2, "slow": 5}
    job = Job(NAMES[0], WINDOW, strategy, values=values, mode="ticks", budget=50_000.0)
    return [replace(job, market=name, **others) for name in names]  # type: ignore[arg-type]


@pytest.mark.parametrize("hours", [1, 4, 24])
@pytest.mark.parametrize(
    ("strategy", "preset"), [("default", "seed2023"), ("grid", "default"), ("sma_cross", "default")]
)
def test_stream_in_chunks_gives_the_result_of_one_piece(ports: Ports, strategy: str, preset: str, hours: int) -> None:
    """Orders, trips, equity of every minute and every figure; a signal reaches back over the cuts."""
    jobs = _jobs(*NAMES, strategy=strategy, preset=preset)

    whole = run_purse(ports, jobs)  # type: ignore[arg-type]
    streamed = stream_purse(ports, jobs, hours)  # type: ignore[arg-type]

    assert streamed.orders.equals(whole.orders)
    assert streamed.trips.equals(whole.trips)
    assert streamed.equity.equals(whole.equity)
    assert streamed.markets.equals(whole.markets)
    assert streamed.summary() == whole.summary()
    assert strategy == "default" or whole.orders.height > 20


@pytest.mark.parametrize("mode", ["ticks", "bars"])
def test_purse_of_one_market_is_the_job_of_one_market(ports: Ports, mode: str) -> None:
    """Every figure of the summary but the names of what is listed by market, and what the engine counts."""
    (job,) = _jobs("KRW-ETH", mode=mode)

    alone = run_job(ports, job)  # type: ignore[arg-type]
    purse = run_purse(ports, [job])  # type: ignore[arg-type]

    assert purse.orders.drop("market").equals(alone.orders)
    assert purse.trips.drop("market").equals(alone.trips)
    assert purse.equity.equals(alone.equity)
    shown = purse.summary()
    assert shown.pop("params_by_market") == {"KRW-ETH": shown["params"]}
    (row,) = shown.pop("markets")
    assert shown.pop("buy_and_hold_krw") == pytest.approx(alone.buy_and_hold_krw, abs=1e-4)
    assert shown == {name: value for name, value in alone.summary().items() if name != "buy_and_hold_krw"}
    assert {name: row[name] for name in row if name in shown} == pytest.approx(
        {name: shown[name] for name in row if name in shown}
    )


@pytest.mark.parametrize("mode", ["ticks", "bars"])
def test_markets_add_up_to_the_purse(ports: Ports, mode: str) -> None:
    """Profits, fees, turnover and counts; and the equity ends where cash and lots do."""
    result = run_purse(ports, _jobs(*NAMES, mode=mode))  # type: ignore[arg-type]
    shown = result.summary()

    assert set(result.orders["market"]) == set(NAMES)
    for name in ("profit_krw", "realized_krw", "fees_krw", "turnover_krw", "open_value_krw"):
        assert sum(row[name] for row in shown["markets"]) == pytest.approx(shown[name], abs=1e-3)
    for name in ("orders", "buys", "sells", "no_fill", "trades", "open_lots"):
        assert sum(row[name] for row in shown["markets"]) == shown[name]
    assert shown["market"] == "KRW-BTC,KRW-ETH,KRW-XRP"
    assert shown["minutes"] > max(row["minutes"] for row in shown["markets"])
    assert result.equity.filter(pl.col("cash") < 0.0).is_empty()


def test_purse_on_made_ticks_withholds_the_profits_of_its_markets_too(ports: Ports) -> None:
    """What came of invented paths is no figure, of one market as little as of all."""
    made = Ports(ports.clock, ports.warehouse, ports.lake, is_path_invented=True)
    made.registry = ports.registry

    shown = stream_purse(made, _jobs(*NAMES)).summary()  # type: ignore[arg-type]

    assert shown["profit_krw"] is None
    assert [row["profit_krw"] for row in shown["markets"]] == [None] * len(NAMES)
    assert all(row["orders"] > 0 for row in shown["markets"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": Window(FIRST, FIRST + HOUR_MS)}, "window differs between markets that share a purse"),
        ({"strategy": "default", "values": {}}, "strategy differs .*: grid, default; valid: one for all"),
        ({"market": "KRW-BTC"}, "cannot share a purse"),
    ],
)
def test_jobs_that_cannot_share_a_purse_are_refused(ports: Ports, change: dict[str, object], message: str) -> None:
    """The field and both values are named."""
    first, second = _jobs("KRW-BTC", "KRW-ETH")

    with pytest.raises(UsageError, match=message):
        run_purse(ports, [first, replace(second, **change)])  # type: ignore[arg-type]


def test_stream_refuses_what_it_cannot_read(ports: Ports) -> None:
    """Bars, an unknown market, minutes that are not settled, hours that were never written, a chunk of nothing."""
    with pytest.raises(UsageError, match="mode 'bars' is not read from the lake"):
        stream_purse(ports, _jobs("KRW-BTC", mode="bars"))  # type: ignore[arg-type]
    with pytest.raises(UnknownMarketError):
        stream_purse(ports, _jobs("KRW-DOGE"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="chunk of 0 hours"):
        stream_purse(ports, _jobs("KRW-BTC"), 0)  # type: ignore[arg-type]
    later = Window(START + 30 * HOUR_MS, START + 31 * HOUR_MS)
    with pytest.raises(DataError, match=r"60 minutes .* are unknown or not settled"):
        stream_purse(ports, _jobs("KRW-BTC", window=later))  # type: ignore[arg-type]
    with pytest.raises(NotEnoughDataError, match=r"the lake has no trades of KRW-BTC in .*; valid: hours that"):
        stream_purse(ports, _jobs("KRW-BTC", window=later, allow_unknown=True))  # type: ignore[arg-type]


def test_trades_may_not_go_backwards_across_a_cut() -> None:
    """Within a chunk `tape_from` sees it; between chunks the reader does."""
    lake, hour = MemoryLake(), Window(START, START + HOUR_MS)
    lake.put("KRW-BTC", hour, [trade_frame([Trade("KRW-BTC", 1, START, 1, 1, 5e7, 1, Side.BUY, Change.RISE)])])

    assert read_tape(lake, "KRW-BTC", hour, START).ts_ms.tolist() == [START]
    with pytest.raises(
        UnsortedTradesError, match=f"at {START} ms, is earlier than the last one before it, at {START + 1} ms"
    ):
        read_tape(lake, "KRW-BTC", hour, START + 1)
