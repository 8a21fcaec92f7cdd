"""Live forecasts: the champion and its shadow challengers of one market, used by the API and by the bot alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import structlog
from numpy.typing import NDArray

from tickloop.domain.bars import candle_frame
from tickloop.domain.features import FEATURE_SETS, compute_features, feature_set_named
from tickloop.domain.forecast import MAX_BAR_AGE_MIN, Forecast
from tickloop.domain.market import Candle, Change, Side, Trade
from tickloop.domain.recent_bars import RecentBars
from tickloop.domain.tables import FORECAST
from tickloop.domain.window import MINUTE_MS, Window, to_datetime
from tickloop.errors import DataError, UsageError
from tickloop.ports import MarketData, Model, ModelRegistry, ModelVersion, Warehouse

MAX_SHADOWS = 4
"""Challengers that forecast beside the champion; each costs its prediction once a minute."""

HISTORY_MIN = 200
"""Minutes of bars a live forecaster keeps and starts with: more than the longest feature window."""

LoadModel = Callable[[ModelRegistry, ModelVersion], Model]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class View:
    """What a model may see for one target minute: the newest bar before it, and the features up to that bar."""

    last_bar_ms: int
    last_price: float
    features: NDArray[np.float64]


def view_before(bars: pl.DataFrame, minute_ms: int, feature_set: str) -> View | None:
    """Give what may be seen for `minute_ms` from bars that opened before it.

    Args:
        bars: a BAR_1M frame of one market, oldest first; rows at or after the minute are not looked at.

    Returns:
        None when the newest bar is more than `MAX_BAR_AGE_MIN` old or the feature set's window is not full.
    """
    opens = bars["ts_open"].to_physical()
    known = int(opens.search_sorted(minute_ms, "left"))
    if known == 0 or minute_ms - int(opens[known - 1]) > MAX_BAR_AGE_MIN * MINUTE_MS:
        return None
    window = feature_set_named(feature_set).window
    seen = bars.slice(max(0, known - window), min(known, window))
    times, features = compute_features(seen, feature_set)
    if len(times) == 0:
        return None
    return View(int(times[-1]), float(seen["close"][-1]), features[-1:])


def forecast_from(
    view: View, model: Model, market: str, minute_ms: int, version_name: str, made_at_ms: int
) -> Forecast:
    """Ask one model; `DataError` when its answer is no price."""
    log_return = float(model.predict(view.features)[0])
    price = view.last_price * math.exp(log_return) if abs(log_return) < 1 else math.nan
    if not math.isfinite(price):
        raise DataError(
            f"model {version_name} of {market} gave log return {log_return} for {to_datetime(minute_ms).isoformat()}; "
            "valid: a finite number between -1 and 1"
        )
    return Forecast(market, minute_ms, version_name, made_at_ms, view.last_bar_ms, view.last_price, log_return, price)


def make_forecast(
    model: Model, bars: pl.DataFrame, market: str, minute_ms: int, version_name: str, made_at_ms: int
) -> Forecast | None:
    """Forecast one market-minute from the bars before it.

    Args:
        bars: a BAR_1M frame of the market, oldest first.

    Returns:
        None when the newest bar is too old or there are too few (see `view_before`).

    Raises:
        DataError: if the model's answer is no price.
    """
    view = view_before(bars, minute_ms, model.feature_set)
    return None if view is None else forecast_from(view, model, market, minute_ms, version_name, made_at_ms)


@dataclass(frozen=True, slots=True)
class Serving:
    """The models of one moment, champion first; replaced as a whole, never changed."""

    models: tuple[tuple[ModelVersion, Model], ...] = ()

    @property
    def champion(self) -> ModelVersion | None:
        return self.models[0][0] if self.models else None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(version.name for version, _ in self.models)


class LiveForecaster:
    """Champion and shadows of one market, following the registry's aliases.

    `refresh` may run in another thread than `forecast`: what is served changes by one assignment.
    """

    def __init__(
        self,
        market: str,
        registry: ModelRegistry,
        load_model: LoadModel,
        warehouse: Warehouse | None = None,
        max_shadows: int = MAX_SHADOWS,
    ) -> None:
        """Start without models; `refresh` loads them. Without a warehouse nothing is stored."""
        self.market = market
        self._registry = registry
        self._load_model = load_model
        self._warehouse = warehouse
        self._max_shadows = max_shadows
        self._serving = Serving()
        self._refused: set[str] = set()

    @property
    def serving(self) -> Serving:
        return self._serving

    def refresh(self) -> bool:
        """Read the registry again, load models that are new, and swap; give whether anything changed.

        A champion that cannot be loaded raises and leaves the old models in place; a shadow is left out for good.
        """
        champion = self._registry.champion(self.market)
        if champion is None:
            return False
        models = [(champion, self._model_of(champion))]
        for version in challengers(self._registry.versions(self.market), champion, self._max_shadows):
            if version.name in self._refused:
                continue
            try:
                models.append((version, self._model_of(version)))
            except (DataError, UsageError) as exc:
                self._refused.add(version.name)
                log.warning("shadow left out", market=self.market, model=version.name, reason=str(exc))
        new = Serving(tuple(models))
        if new.names == self._serving.names:
            return False
        self._serving = new
        return True

    def champion_forecast(self, bars: pl.DataFrame, minute_ms: int, made_at_ms: int) -> Forecast | None:
        """Forecast one minute by the champion alone; None without a champion or without fresh bars."""
        models = self._serving.models
        if not models:
            return None
        version, model = models[0]
        return make_forecast(model, bars, self.market, minute_ms, version.name, made_at_ms)

    def forecast(self, bars: pl.DataFrame, minute_ms: int, made_at_ms: int) -> list[Forecast]:
        """Forecast one minute by all models, champion first; features are computed once per feature set.

        Args:
            bars: a BAR_1M frame of the market, oldest first; only bars before the minute are used.

        Returns:
            Empty without models, when the newest bar is too old, or when there are too few bars. A shadow whose
            answer is no price is left out.

        Raises:
            DataError: if the champion's answer is no price.
        """
        serving = self._serving
        views: dict[str, View | None] = {}
        made: list[Forecast] = []
        for version, model in serving.models:
            if model.feature_set not in views:
                views[model.feature_set] = view_before(bars, minute_ms, model.feature_set)
            view = views[model.feature_set]
            if view is None:
                continue
            try:
                made.append(forecast_from(view, model, self.market, minute_ms, version.name, made_at_ms))
            except DataError as exc:
                if version is serving.champion:
                    raise
                log.warning("shadow forecast left out", reason=str(exc))
        return made

    def store(self, forecasts: Sequence[Forecast]) -> int:
        """Store forecasts; of two for one key the first stays. Give how many were new."""
        if self._warehouse is None or not forecasts:
            return 0
        return self._warehouse.add_new(FORECAST, forecast_frame(forecasts))

    def _model_of(self, wanted: ModelVersion) -> Model:
        for version, model in self._serving.models:
            if version.name == wanted.name:
                return model
        model = self._load_model(self._registry, wanted)
        feature_set_named(model.feature_set)
        return model


def challengers(versions: Iterable[ModelVersion], champion: ModelVersion, limit: int) -> list[ModelVersion]:
    """Pick the versions that forecast in the champion's shadow: the newest of each family, newest first.

    Every slot trains each family once, so these are the candidates of the newest slot and the baseline.
    """
    newest: dict[str, ModelVersion] = {}
    for version in sorted(versions, key=lambda version: version.number):
        newest[version.family] = version
    by_age = sorted(newest.values(), key=lambda version: version.number, reverse=True)
    return [version for version in by_age if version.name != champion.name][:limit]


def start_up_candles(market_data: MarketData, market: str, now_ms: int, minutes: int = HISTORY_MIN) -> list[Candle]:
    """Fetch the candles of the last whole minutes before now."""
    end = now_ms - now_ms % MINUTE_MS
    return market_data.candles(market, Window(end - minutes * MINUTE_MS, end))


def start_up_bars(market_data: MarketData, market: str, now_ms: int, minutes: int = HISTORY_MIN) -> pl.DataFrame:
    """Fetch the candles of the last whole minutes before now, as a CANDLE frame to seed recent bars with."""
    return candle_frame(start_up_candles(market_data, market, now_ms, minutes))


def warm_up() -> None:
    """Make one bar and one feature row from made-up values, so that no live minute waits for the compiler."""
    recent = RecentBars("KRW-NONE", HISTORY_MIN)
    recent.lost(None, 0)
    for minute in range(HISTORY_MIN):
        at_ms = minute * MINUTE_MS
        recent.add(Trade(recent.market, minute, at_ms, 0, minute, 1.0, 1, Side.BUY, Change.EVEN))
    recent.close(HISTORY_MIN * MINUTE_MS)
    for name in FEATURE_SETS:
        view_before(recent.frame(), HISTORY_MIN * MINUTE_MS, name)


def forecast_frame(forecasts: Sequence[Forecast]) -> pl.DataFrame:
    """Lay forecasts out as a FORECAST frame."""
    columns = {
        "market": [one.market for one in forecasts],
        "target_minute": [one.target_minute_ms for one in forecasts],
        "model_version": [one.model_version for one in forecasts],
        "made_at": [one.made_at_ms for one in forecasts],
        "last_bar": [one.last_bar_ms for one in forecasts],
        "last_price": [one.last_price for one in forecasts],
        "log_return": [one.log_return for one in forecasts],
        "price": [one.price for one in forecasts],
    }
    return pl.DataFrame(columns, schema=FORECAST.columns)
