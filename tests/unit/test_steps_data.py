"""The data steps over in-memory ports: what each writes, and that it is the same when run twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from chain_fakes import HOUR, FakePorts, candles_of, digest, home, made_trades, minute_of, repeated, same
from fakes import START_MS, FakeRawStore, read_whole
from tickloop.domain.features import FEATURE_SETS, compute_features
from tickloop.domain.tables import BAR_1M, FEATURE, LEDGER, TRADE
from tickloop.domain.window import HOUR_MS, MINUTE_MS, Window
from tickloop.errors import DataError, WindowError
from tickloop.ports import RawRead
from tickloop.services.build_bars import bars
from tickloop.services.build_features import features
from tickloop.services.chain import STEPS, run_window
from tickloop.services.extract import extract
from tickloop.services.load import load
from tickloop.services.verify import verify

MARKET = "KRW-BTC"
BUSY_HOUR = [minute for minute in range(60) if minute % 10 != 7]  # six minutes without a trade


def run_hour(ports: FakePorts, window: Window = HOUR) -> list[dict[str, object]]:
    return [step(ports, MARKET, window) for step in (extract, load, verify, bars, features)]


def test_an_hour_that_came_whole_is_verified_down_the_chain() -> None:
    """Repeats count once; every minute is verified or without trade; bars are the exchange's candles."""
    made = made_trades(BUSY_HOUR)
    ports = home(made)
    ports.raw.lines = repeated(made)

    counts = run_hour(ports)

    assert counts[0] == {"rows": 162, "lines": 195, "repeats": 33, "dead": 0}
    assert counts[1] == {"rows": 162}
    assert counts[2] == {"verified": 54, "no_trade": 6, "asked": 0, "fetched": 0}
    assert counts[3] == {"rows": 54, "from_candles": 0}
    found = ports.warehouse.read(BAR_1M, MARKET).select("open", "high", "low", "close", "volume").rows()
    assert found == [(c.open, c.high, c.low, c.close, c.volume) for c in candles_of(made)]


def test_every_data_step_gives_the_same_rows_when_run_twice() -> None:
    """Idempotence, one step after the other and as a whole."""
    ports = home(made_trades(range(60)))
    run_hour(ports)
    before = digest(ports)

    for step in (extract, load, verify, bars, features):
        step(ports, MARKET, HOUR)
        assert same(digest(ports), before), step.__name__
    run_hour(ports)

    assert same(digest(ports), before)
    assert [before[name].height for name in ("trade", "ledger", "bar_1m")] == [180, 60, 60]


def test_a_step_replaces_its_window_and_nothing_else() -> None:
    """Rows of the neighbouring hour stay."""
    ports = home(made_trades(range(120)), now_ms=START_MS + 3 * HOUR_MS)
    both = Window(START_MS, START_MS + 2 * HOUR_MS)
    run_hour(ports, both)
    before = digest(ports, both)

    run_hour(ports, HOUR)

    assert same(digest(ports, both), before)


def test_journal_lake_and_warehouse_agree() -> None:
    """The identity of the chain: also where a minute's bar is the candle."""
    made = made_trades(range(60))
    withheld = [trade for trade in made if minute_of(trade) in (20, 21)][:4]
    ports = home(made, lost=withheld, refused=withheld)

    run_window(ports, "all", MARKET, HOUR)

    lake = ports.lake.get(MARKET, HOUR)
    trades = ports.warehouse.read(TRADE, MARKET, HOUR)
    ledger = ports.warehouse.read(LEDGER, MARKET, HOUR)
    ours = ports.warehouse.read(BAR_1M, MARKET, HOUR).filter(pl.col("state").is_in(["verified", "repaired"]))
    elsewhere = ledger.filter(~pl.col("state").is_in(["verified", "repaired"]))
    assert lake is not None
    assert (
        len(made) - len(withheld) == read_whole(ports.raw, MARKET, HOUR).trades.height == lake.height == trades.height
    )
    assert trades.height == ours["trades"].sum() + elsewhere["trades"].sum()
    assert elsewhere["trades"].to_list() == [0, 2]


class FailingRawStore(FakeRawStore):
    """Says at the end that what it gave was not all."""

    def read(self, market: str, window: Window) -> Iterator[RawRead]:
        yield from super().read(market, window)
        raise DataError("162 counted, 161 given")


def test_reading_that_fails_at_its_end_leaves_the_old_object() -> None:
    """No hour is put that the raw store does not stand for."""
    made = made_trades(BUSY_HOUR)
    ports = home(made)
    extract(ports, MARKET, HOUR)
    before = ports.lake.get(MARKET, HOUR)
    ports.raw = FailingRawStore(made[:90])

    with pytest.raises(DataError, match="162 counted, 161 given"):
        extract(ports, MARKET, HOUR)

    after = ports.lake.get(MARKET, HOUR)
    assert before is not None
    assert after is not None
    assert after.equals(before)


def test_verify_refuses_a_window_that_is_not_over() -> None:
    """A candle of a minute that still runs proves nothing."""
    ports = home([], now_ms=HOUR.end_ms - 1)

    with pytest.raises(WindowError, match="is not over"):
        verify(ports, MARKET, HOUR)


def test_load_names_the_hour_that_was_not_extracted() -> None:
    """A missing object is not an empty hour."""
    ports = home([])

    with pytest.raises(DataError, match="no object of KRW-BTC for hour 2024-01-22T00; run extract"):
        load(ports, MARKET, HOUR)


def test_bars_refuse_a_window_without_a_ledger() -> None:
    """Without a ledger nobody knows whether our trades stand."""
    ports = home([])

    with pytest.raises(DataError, match="0 of 60 minutes"):
        bars(ports, MARKET, HOUR)


def test_features_look_back_over_the_edge_of_the_window() -> None:
    """An hour's vectors are those of the whole range: float64, little-endian."""
    ports = home(made_trades(range(240)), now_ms=START_MS + 6 * HOUR_MS)
    for hour in Window(START_MS, START_MS + 4 * HOUR_MS).hours():
        run_hour(ports, hour)

    name = ports.training.feature_set
    opens, matrix = compute_features(ports.warehouse.read(BAR_1M, MARKET), name)
    stored = ports.warehouse.read(FEATURE, MARKET)
    assert stored.height == 240 - FEATURE_SETS[name].window + 1
    assert stored["ts_open"].to_physical().to_list() == opens.tolist()
    vectors = np.vstack([np.frombuffer(vector, "<f8") for vector in stored["vector"]])
    np.testing.assert_array_equal(vectors, matrix)


def test_an_hour_without_any_trade_goes_through() -> None:
    """No trades, no candles: sixty minutes of `no_trade`, no bars, no vectors."""
    ports = home([])

    counts = run_hour(ports)

    assert counts[2:] == [{"no_trade": 60, "asked": 0, "fetched": 0}, {"rows": 0, "from_candles": 0}, {"rows": 0}]


def test_the_chain_is_the_one_of_the_design() -> None:
    """Names and order, which schedulers and people rely on."""
    assert [step.name for step in STEPS] == [
        "extract",
        "load",
        "verify",
        "bars",
        "features",
        "train",
        "backtest",
        "promote",
    ]


def test_a_bar_of_a_short_minute_is_the_candle() -> None:
    """Its own trades are kept, and counted in the ledger."""
    made = made_trades(range(60))
    withheld = [trade for trade in made if minute_of(trade) == 30][:1]
    ports = home(made, lost=withheld, refused=withheld)

    run_window(ports, "all", MARKET, HOUR)

    minute = Window(START_MS + 30 * MINUTE_MS, START_MS + 31 * MINUTE_MS)
    bar = ports.warehouse.read(BAR_1M, MARKET, minute).row(0, named=True)
    candle = candles_of([trade for trade in made if minute_of(trade) == 30])[0]
    assert (bar["state"], bar["volume"], bar["trades"]) == ("candle", candle.volume, None)
    assert ports.warehouse.read(TRADE, MARKET, minute).height == 2
