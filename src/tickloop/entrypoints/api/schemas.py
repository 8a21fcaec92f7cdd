"""What the API takes and gives, for validation and for the OpenAPI page."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model, field_validator

from tickloop.domain.tables import BACKTEST, BAR_1M, EQUITY, FORECAST, LEDGER, ORDER, Table
from tickloop.domain.window import MINUTE_MS, to_ms

STRATEGIES = ("champion",)
"""Ways to choose the model of an answer that are valid now."""

MAX_BARS = 1_000
"""Bars of one market in a request: more than any feature window."""

Price = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class BarIn(BaseModel):
    """One closed one-minute bar; a row of `GET /v1/bars` fits, its other fields are not needed."""

    ts_open: AwareDatetime = Field(description="Start of the minute.", examples=["2024-01-22T00:00:00Z"])
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Amount = Field(description="Base units.")
    notional: Amount | None = Field(default=None, description="KRW; null when not known.")

    @field_validator("ts_open")
    @classmethod
    def _whole_minute(cls, value: datetime) -> datetime:
        if to_ms(value) % MINUTE_MS or value.microsecond:
            raise ValueError("valid: a whole minute")
        return value


Bars = Annotated[list[BarIn], Field(min_length=1, max_length=MAX_BARS)]


class ForecastRequest(BaseModel):
    """Markets to forecast, from the server's newest bars or from the caller's."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"markets": ["KRW-BTC", "KRW-ETH"]}]})

    markets: list[str] = Field(min_length=1, max_length=100, description="Answered in this order.")
    strategy: str = Field(default="champion", description="Whose forecast; valid now: champion.")
    bars: dict[str, Bars] = Field(
        default_factory=dict,
        description="Bars by market, oldest first, instead of the server's own; the minute after the last is forecast.",
    )

    @field_validator("bars")
    @classmethod
    def _ascending(cls, value: dict[str, list[BarIn]]) -> dict[str, list[BarIn]]:
        for market, bars in value.items():
            for earlier, later in pairwise(bars):
                if later.ts_open <= earlier.ts_open:
                    raise ValueError(
                        f"bars of {market}: {later.ts_open} comes after {earlier.ts_open}; valid: ascending"
                    )
        return value


class ForecastOut(BaseModel):
    """A forecast, or null figures with the reason why there is none."""

    market: str
    target_minute: datetime = Field(description="Start of the minute whose volume-weighted price is forecast.")
    model_version: str | None
    made_at: datetime | None = Field(description="Market time at which it was ready.")
    last_bar: datetime | None = Field(description="Start of the newest bar that was used.")
    last_price: float | None = Field(description="Close of that bar, KRW.")
    log_return: float | None = Field(description="log(price / last_price).")
    price: float | None = Field(description="KRW.")
    reason: str | None = Field(description="Why there is no forecast; null when there is one.")


class Problem(BaseModel):
    """One thing that was wrong with a request."""

    field: str = Field(examples=["strategy"])
    value: Any = Field(examples=["vote"])
    valid: Any = Field(examples=[["champion"]])
    message: str


class Problems(BaseModel):
    """The body of every answer that is an error."""

    errors: list[Problem]


class ModelOut(BaseModel):
    market: str
    name: str
    family: str
    aliases: list[str] = Field(examples=[["champion"]])
    is_serving: bool = Field(description="Loaded here, as champion or in its shadow.")
    created_at: datetime
    metrics: dict[str, float | None]
    params: dict[str, str]


class DecisionOut(BaseModel):
    market: str
    slot_start: datetime
    champion: str
    previous: str | None
    is_promoted: bool
    reason: str
    scores: dict[str, float | None]
    decided_at: datetime


def _python_type(dtype: pl.DataType) -> type:
    if dtype.is_temporal():
        return datetime
    if dtype.is_float():
        return float
    if dtype.is_integer():
        return int
    return bool if dtype == pl.Boolean() else str


def _rows_of(name: str, table: Table, **more: type) -> Any:
    """Describe a list of rows of a table; its columns are listed in `domain.tables` only."""
    types: dict[str, Any] = {column: _python_type(dtype) for column, dtype in table.columns.items()}
    fields: dict[str, Any] = {
        column: (found, ...) if column in table.required else (found | None, ...) for column, found in types.items()
    }
    fields |= {column: (found, ...) for column, found in more.items()}
    return list[create_model(name, **fields)]  # type: ignore[misc]  # a type made at run time, for OpenAPI alone


BAR_ROWS = _rows_of("Bar", BAR_1M, is_closed=bool)
FORECAST_ROWS = _rows_of("StoredForecast", FORECAST)
ORDER_ROWS = _rows_of("Order", ORDER)
EQUITY_ROWS = _rows_of("Equity", EQUITY)
BACKTEST_ROWS = _rows_of("Backtest", BACKTEST)
LEDGER_ROWS = _rows_of("LedgerMinute", LEDGER)


class LedgerOut(BaseModel):
    """Completeness of one market: minutes by state, and the newest that are not verified."""

    market: str
    counts: dict[str, int] = Field(examples=[{"verified": 118, "repaired": 2}])
    minutes: LEDGER_ROWS  # type: ignore[valid-type]  # made from the table


class MarketStatus(BaseModel):
    market: str
    stream: str = Field(description="connecting, open or ended (the market trades no more: no alarm).")
    last_trade: datetime | None
    last_price: float | None
    last_bar: datetime | None
    champion: str | None
    shadows: list[str]
    forecasts: int
    late_trades: int
    message: str


class StatusOut(BaseModel):
    market_time: datetime
    notice: str = Field(description="What must be known of all figures here; empty when nothing.")
    is_ready: bool
    problems: list[str]
    markets: list[MarketStatus]
    counts: dict[str, int]
