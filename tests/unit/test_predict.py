"""Live forecasts: what they may see, whose they are, and which write stays."""

from __future__ import annotations

import math
import threading

import numpy as np
import polars as pl
import pytest

from fakes import FakeMarketData, FixedClock, MemoryRegistry, MemoryWarehouse
from serving import MARKET, ConstantModel, at, candles, load_constant, promote, register
from tickloop.domain.bars import bars_from_candles, candle_frame
from tickloop.domain.features import FEATURE_SETS
from tickloop.domain.tables import FORECAST
from tickloop.errors import DataError
from tickloop.ports import Model, ModelRegistry, ModelVersion
from tickloop.services.predict import LiveForecaster, challengers, forecast_frame, make_forecast, start_up_bars

WINDOW = FEATURE_SETS["bar"].window
ENOUGH = WINDOW + 20


def bars(count: int) -> pl.DataFrame:
    return bars_from_candles(candle_frame(candles(count)))


def test_forecast_price_is_the_last_price_times_the_models_return() -> None:
    """The log return is applied to the close of the newest bar before the minute."""
    forecast = make_forecast(
        ConstantModel(math.log(1.001)), bars(ENOUGH), MARKET, at(ENOUGH), "ridge-2", at(ENOUGH) + 5
    )

    assert forecast is not None
    assert (forecast.model_version, forecast.target_minute_ms) == ("ridge-2", at(ENOUGH))
    assert (forecast.last_bar_ms, forecast.made_at_ms) == (at(ENOUGH - 1), at(ENOUGH) + 5)
    assert forecast.last_price == bars(ENOUGH)["close"][-1]
    assert forecast.price == pytest.approx(forecast.last_price * 1.001, rel=1e-12)


def test_forecast_uses_nothing_at_or_after_its_minute() -> None:
    """Bars that are already there for later minutes change no bit."""
    known, later = ConstantModel(0.0), ConstantModel(0.0)

    honest = make_forecast(known, bars(ENOUGH), MARKET, at(ENOUGH), "a-1", 0)
    peeking = make_forecast(later, bars(ENOUGH + 30), MARKET, at(ENOUGH), "a-1", 0)

    assert honest == peeking
    assert np.array_equal(known.asked[0], later.asked[0])


@pytest.mark.parametrize(("minutes_after", "is_made"), [(1, True), (5, True), (6, False), (600, False)])
def test_last_bar_older_than_five_minutes_gives_no_forecast(minutes_after: int, is_made: bool) -> None:
    """Silence is not a price."""
    forecast = make_forecast(ConstantModel(0.0), bars(ENOUGH), MARKET, at(ENOUGH - 1 + minutes_after), "a-1", 0)

    assert (forecast is not None) == is_made


@pytest.mark.parametrize(("count", "is_made"), [(0, False), (WINDOW - 1, False), (WINDOW, True)])
def test_too_few_bars_give_no_forecast(count: int, is_made: bool) -> None:
    """The feature window must be full."""
    forecast = make_forecast(ConstantModel(0.0), bars(count), MARKET, at(count), "a-1", 0)

    assert (forecast is not None) == is_made


@pytest.mark.parametrize("log_return", [math.nan, math.inf, 800.0, -1.5])
def test_answer_that_is_no_price_is_refused(log_return: float) -> None:
    """The message names model and value."""
    with pytest.raises(DataError, match=r"model a-1 of KRW-BTC gave log return .*valid: a finite number"):
        make_forecast(ConstantModel(log_return), bars(ENOUGH), MARKET, at(ENOUGH), "a-1", 0)


def test_champion_comes_first_then_the_newest_of_each_other_family() -> None:
    """Shadows are the candidates of the newest slot and the baseline."""
    registry = MemoryRegistry(FixedClock())
    register(registry, "persistence", "0.0")
    for slot in (0, 1):
        register(registry, "ridge", "0.0", slot)
        register(registry, "lightgbm", "0.0", slot)
    promote(registry, "ridge-2")
    live = LiveForecaster(MARKET, registry, load_constant)

    assert live.forecast(bars(ENOUGH), at(ENOUGH), 0) == []
    assert live.refresh()
    made = live.forecast(bars(ENOUGH), at(ENOUGH), 0)

    assert [one.model_version for one in made] == ["ridge-2", "lightgbm-5", "ridge-4", "persistence-1"]
    assert not live.refresh()


def test_shadows_are_at_most_so_many() -> None:
    """Each shadow costs time every minute."""
    champion = ModelVersion(MARKET, "f0-1", 1, "f0")
    others = [ModelVersion(MARKET, f"f{number}-{number}", number, f"f{number}") for number in range(2, 9)]

    assert [one.name for one in challengers([champion, *others], champion, 2)] == ["f8-8", "f7-7"]


def test_model_is_loaded_once_and_kept_over_a_change_of_champion() -> None:
    """Only what is new is loaded."""
    registry = MemoryRegistry(FixedClock())
    register(registry, "persistence", "0.0")
    register(registry, "ridge", "0.001")
    promote(registry, "persistence-1")
    loaded: list[str] = []

    def load(source: ModelRegistry, version: ModelVersion) -> Model:
        loaded.append(version.name)
        return load_constant(source, version)

    live = LiveForecaster(MARKET, registry, load)
    live.refresh()
    promote(registry, "ridge-2", "persistence-1")
    live.refresh()

    assert live.serving.names == ("ridge-2", "persistence-1")
    assert loaded == ["persistence-1", "ridge-2"]


def test_champion_that_cannot_be_loaded_leaves_the_old_one_in_place() -> None:
    """A broken file stops no forecasts; a broken shadow is left out."""
    registry = MemoryRegistry(FixedClock())
    register(registry, "persistence", "0.0")
    register(registry, "ridge", "broken")
    promote(registry, "persistence-1")
    live = LiveForecaster(MARKET, registry, load_constant)
    live.refresh()

    promote(registry, "ridge-2", "persistence-1")
    with pytest.raises(DataError, match="broken"):
        live.refresh()

    assert live.serving.names == ("persistence-1",)


def test_shadow_without_a_price_does_not_cost_the_champions_forecast() -> None:
    """Only the champion's failure is a failure."""
    registry = MemoryRegistry(FixedClock())
    register(registry, "persistence", "0.0")
    register(registry, "ridge", "nan")
    promote(registry, "persistence-1")
    live = LiveForecaster(MARKET, registry, load_constant)
    live.refresh()

    assert [one.model_version for one in live.forecast(bars(ENOUGH), at(ENOUGH), 0)] == ["persistence-1"]


def test_change_of_champion_is_never_seen_half() -> None:
    """A forecast made while aliases move is of one registry state: name and number belong together."""
    registry = MemoryRegistry(FixedClock())
    for family, log_return in (("a", "0.001"), ("b", "0.002")):
        register(registry, family, log_return)
    promote(registry, "a-1")
    live = LiveForecaster(MARKET, registry, load_constant)
    live.refresh()
    done = threading.Event()

    def swap() -> None:
        for _ in range(100):
            for name in ("b-2", "a-1"):
                promote(registry, name)
                live.refresh()
        done.set()

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen = set()
    frame = bars(ENOUGH)
    while not done.is_set():
        seen.add(tuple((one.model_version, one.log_return) for one in live.forecast(frame, at(ENOUGH), 0)))
    swapping.join(10)

    assert seen <= {(("a-1", 0.001), ("b-2", 0.002)), (("b-2", 0.002), ("a-1", 0.001))}


def test_first_write_of_a_forecast_stays() -> None:
    """What was known at the time is not rewritten by a later run."""
    warehouse = MemoryWarehouse()
    live = LiveForecaster(MARKET, MemoryRegistry(FixedClock()), load_constant, warehouse)
    first = make_forecast(ConstantModel(0.001), bars(ENOUGH), MARKET, at(ENOUGH), "a-1", at(ENOUGH) + 1)
    second = make_forecast(ConstantModel(0.009), bars(ENOUGH), MARKET, at(ENOUGH), "a-1", at(ENOUGH) + 2)
    assert first is not None
    assert second is not None

    counts = (live.store([first]), live.store([second]))

    assert counts == (1, 0)
    assert warehouse.read(FORECAST)["log_return"].to_list() == [0.001]


def test_forecast_frame_has_the_tables_columns() -> None:
    """Also when there is nothing to say."""
    assert forecast_frame([]).schema == pl.Schema(FORECAST.columns)


def test_start_up_bars_are_the_last_whole_minutes() -> None:
    """The minute under way is left to the stream."""
    market_data = FakeMarketData(candles(10))

    frame = start_up_bars(market_data, MARKET, at(8) + 30_000, minutes=3)

    assert frame["ts_open"].to_physical().to_list() == [at(5), at(6), at(7)]
